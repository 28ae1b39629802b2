"""MuJoCo world of two FR3 arms that speaks the topics of the real controllers."""
