"""`clwm demo`: the course, its recording and its report."""
