"""`clwm console`: the running stack on one page of a browser."""
