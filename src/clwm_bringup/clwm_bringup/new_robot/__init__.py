"""A first description of a robot, made from its URDF."""
