"""Success, calibration and every measurement, under a virtual clock or on the running stack."""
