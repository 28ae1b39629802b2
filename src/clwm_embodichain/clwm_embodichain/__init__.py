"""Data engine, trainers and virtual-clock evaluation."""
