"""Training of the image encoder."""
