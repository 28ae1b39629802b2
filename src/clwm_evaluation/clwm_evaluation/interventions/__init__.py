"""What a policy learns from a human who takes over when it goes wrong."""
