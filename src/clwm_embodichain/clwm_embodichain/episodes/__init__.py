"""Episodes: recorded, stored, and with their features."""
