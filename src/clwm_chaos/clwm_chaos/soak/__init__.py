"""`clwm soak`: the stack at work for a long time."""
