"""Who moves the arms: arbitration, teleoperation, and what everybody is told of it."""
