"""What is checked before the stack runs: installation and robot."""
