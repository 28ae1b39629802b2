"""The operator's side of a running stack: task, mode, watch, teleoperation, demo, recording."""
