"""How sure a share of counted successes is."""

from __future__ import annotations


def wilson95(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927); (0, 1) without trials.

    Raises ValueError unless 0 <= successes <= trials.
    """
    from scipy.stats import binomtest  # takes a second to import

    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials; expected 0 <= successes <= trials")
    interval = binomtest(successes, trials).proportion_ci(method="wilson") if trials else (0.0, 1.0)
    return float(interval[0]), float(interval[1])
