"""What is sent: trajectories, streams, gripper goals, and the controllers behind them."""
