"""Data sets in LeRobot's format v3.0: written, read, and turned into episodes of this project and back."""
