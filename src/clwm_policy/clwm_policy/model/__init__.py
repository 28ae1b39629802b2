"""The world-action model, its scales and its checkpoint."""
