"""`clwm chaos --virtual`: the executor's core among faults under a virtual clock."""
