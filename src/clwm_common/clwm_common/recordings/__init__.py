"""Recorded episodes of the running stack: what is in a file, and what people say of it."""
