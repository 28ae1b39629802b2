"""Domain expansion: what varies between simulated episodes."""
