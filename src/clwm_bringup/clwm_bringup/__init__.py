"""The node graph and the clwm command line."""
