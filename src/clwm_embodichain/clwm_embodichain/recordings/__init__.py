"""Episodes from what real or simulated arms did: recordings of `clwm record`, and bags of other robots."""
