"""From nothing to the files of a shipped model, step by step."""
