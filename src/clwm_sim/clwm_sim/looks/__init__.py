"""How a stage looks in an episode: surfaces, lamps, cameras and what else stands on the table, as data."""
