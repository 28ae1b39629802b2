"""What may be asked for in a scene: predicates, sentences and experts."""
