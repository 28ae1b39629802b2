"""Scenes and robots in the forms that other simulators and controllers read, made from what MuJoCo simulates."""
