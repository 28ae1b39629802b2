"""What drives arms and hands, simulated or real: a controller of trajectories, and how goals of hands end."""
