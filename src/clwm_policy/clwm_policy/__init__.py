"""The world-action model, its test-time-training memory and the denoising engine."""
