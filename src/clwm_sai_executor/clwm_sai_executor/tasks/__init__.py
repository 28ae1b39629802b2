"""Tasks, their runs and their ends."""
