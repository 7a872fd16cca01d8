"""Vectors as a map on which neighbours stay neighbours: t-SNE (van der Maaten and Hinton, JMLR 2008)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 5  # vectors


def tsne(vectors: NDArray[Any], seed: int = 0) -> NDArray[np.float32] | None:
    """(N, D) -> (N, 2), after PCA to 50; None of fewer than LEAST, of vectors that are all the same, or not finite."""
    values = vectors.astype(np.float64)
    if len(values) < LEAST or not np.isfinite(values).all() or np.ptp(values, axis=0).max() <= 1e-9:
        return None
    from sklearn.decomposition import PCA  # heavy: not at import
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    perplexity = min(30.0, (len(values) - 1) / 4)
    with threadpool_limits(1):  # for so few points threads cost up to ten times what they save
        small = PCA(min(50, *values.shape), random_state=seed).fit_transform(values)
        found = TSNE(perplexity=perplexity, init="random", random_state=seed, max_iter=500).fit_transform(small)
    return np.asarray(found, np.float32)
