"""Randomness is counted, not stored: every draw comes from (seed, counters), so any run can be resumed at any step."""

import numpy as np


def generator(seed: int, *counters: int) -> np.random.Generator:
    """A generator that depends on `seed` and `counters` (step, sample, ...) alone: same numbers, same draws, anywhere."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *counters))))


def permutation(n: int, seed: int, *counters: int) -> np.ndarray:
    """(n,) int64: a shuffle of 0..n-1 fixed by (seed, counters)."""
    return generator(seed, *counters).permutation(n)
