"""The whole stack in one process on a virtual clock."""
