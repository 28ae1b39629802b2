"""The measurements of `clwm bench`, one file each."""
