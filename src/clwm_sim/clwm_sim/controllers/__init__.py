"""Simulated controllers with the semantics of ros2_control's."""
