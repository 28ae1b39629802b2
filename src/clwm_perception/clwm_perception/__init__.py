"""Cameras to DINOv3 feature frames."""
