"""The dual-state test-time-training memory."""
