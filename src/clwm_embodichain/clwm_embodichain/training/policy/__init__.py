"""Training of the policy."""
