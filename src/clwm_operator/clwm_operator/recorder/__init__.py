"""Episodes of the running stack as MCAP files."""
