"""A chunk's first rows, led over from the committed motion, so that what it corrects does not come all at its seam.

Let x[-2], x[-1], x[0] be the last committed positions, x[1], x[2], ... the rows, and their second differences

    b[i] = x[i+1] - 2 x[i] + x[i-1]

the jumps of the velocity from row to row. b[0] and b[1] alone mix committed positions with rows. Had both been sampled
from one cubic, they would lie on the straight line from b[-1] to b[2]; e[0] and e[1] are their excess over that. The
correction c[1..N] of the first N rows is the one that spreads it with the least sum of squares,

    minimise  sum over i = 0 .. N+1 of  (e[i] + c[i+1] - 2 c[i] + c[i-1])^2,   c[i] = 0 for i < 1 and i > N,

the discrete form of the smoothest cubic spline between two states (Holladay's theorem; de Boor, A Practical Guide to
Splines, chapter V). c is linear in e, by a matrix that depends on N only.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LINE = np.array([[2.0, 1.0], [1.0, 2.0]]) / 3.0  # b[0] and b[1] on the line from b[-1] to b[2]


def blend(committed: Array, rows: Array, count: int) -> Array:
    """Rows (n, joints) [rad] whose first `count` lead over from the motion under way; from there on they are as given.

    committed: (3, joints) [rad], the last positions of that motion, one row apart, the last one a row before `rows`.
    The two rows that follow the blended ones say where these lead, so at most n - 2 are blended. Rows that continue
    the motion along one cubic come out as they are, and no row is moved by more than twice the larger excess.
    """
    count = min(count, len(rows) - 2)
    if count < 1:
        return rows
    jumps = np.diff(np.concatenate([committed, rows[:3]]), n=2, axis=0)
    blended = rows.copy()
    blended[:count] += _spreading(count) @ (jumps[1:3] - _LINE @ jumps[::3])
    return blended


@cache
def _spreading(count: int) -> Array:
    """Matrix (count, 2) from the excess e[0], e[1] to the correction c[1..count]."""
    differences = np.zeros((count + 2, count))
    for row in range(count):
        differences[row : row + 3, row] = 1.0, -2.0, 1.0
    return -np.linalg.pinv(differences)[:, :2]
