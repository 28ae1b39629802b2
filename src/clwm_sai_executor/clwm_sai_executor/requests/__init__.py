"""What is asked of the policy, when, and what became of it."""
