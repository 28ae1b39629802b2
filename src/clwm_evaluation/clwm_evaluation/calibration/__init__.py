"""`clwm calibrate`: the bounds that adaptive re-entry trusts."""
