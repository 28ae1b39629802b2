"""The commands of `clwm`, one module each with a function `command`; imported only when called for."""
