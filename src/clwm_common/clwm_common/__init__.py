"""What every package shares: the 30-number action layout, the robot description, kinematics, messages, ROS helpers."""
