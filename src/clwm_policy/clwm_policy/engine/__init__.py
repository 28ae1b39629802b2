"""The denoising engine: programs, speculation, re-entry, refinement, evidence."""
