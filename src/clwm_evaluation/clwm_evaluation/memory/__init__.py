"""`clwm bench memory`: what the memory keeps and costs."""
