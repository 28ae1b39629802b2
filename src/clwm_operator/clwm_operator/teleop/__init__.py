"""`clwm teleop`: a human moves the arms."""
