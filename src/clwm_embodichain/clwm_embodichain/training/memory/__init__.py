"""Training of the memory."""
