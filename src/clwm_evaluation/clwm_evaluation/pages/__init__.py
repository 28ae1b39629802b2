"""`clwm results`: the documents that are made of kept result files."""
