"""What arms and hands are told over ROS, for whoever drives them."""
