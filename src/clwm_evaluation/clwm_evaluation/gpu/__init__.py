"""`clwm bench gpu`: the model at full size against its roofline."""
