"""Whether what was asked for holds: the head that says so, its episodes, its training."""
