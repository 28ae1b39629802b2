"""`clwm eval`: how often tasks succeed."""
