"""`clwm chaos --all`: faults on the running stack."""
