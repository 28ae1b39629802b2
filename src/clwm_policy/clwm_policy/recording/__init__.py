"""Recorded episodes, and their replay bit for bit."""
