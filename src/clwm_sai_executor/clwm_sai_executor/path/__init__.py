"""The motion as it is commanded: splices, knots, limits and the braking tail."""
