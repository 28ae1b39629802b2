"""What DDS Security needs to know of the graph."""
