"""Scripted experts that solve the tasks from the true state."""
