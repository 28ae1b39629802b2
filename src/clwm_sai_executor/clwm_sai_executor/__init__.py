"""Schedules, splices and guards action chunks, and drives the controllers of both arms."""
