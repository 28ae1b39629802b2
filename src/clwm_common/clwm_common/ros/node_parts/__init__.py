"""What every node of ours has beside its lifecycle."""
