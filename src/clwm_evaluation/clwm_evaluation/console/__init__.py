"""What the operator's console costs."""
