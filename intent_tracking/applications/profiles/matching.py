"""Which new segment is which old one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intent_tracking.applications.profiles.space import Floats, Whole


def overlaps(old: Whole, new: Whole, olds: int, news: int) -> Floats:
    """Jaccard index of each old with each new segment over the same shoppers, shape (olds, news)."""
    both: Floats = np.bincount(old * news + new, minlength=olds * news).reshape(olds, news).astype(np.float64)
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    common: Floats = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return common


def kept_ids(ids: Sequence[str], old: Whole, new: Whole, news: int, at_least: float) -> dict[int, str]:
    """Which new segment keeps the identifier of which old one.

    Members are compared, not centroids: each training has a space of its own, and shoppers are what two spaces share.
    The pairs are those with the largest sum of overlaps (Kuhn 1955); of these a pair that has less than `at_least` in
    common is two different segments.

    Args:
        ids: of the old segments.
        old, new: the segment of the same shoppers by the old and by the new model.
        news: number of new segments.
        at_least: Jaccard index, 0..1.

    Returns:
        Position of a new segment -> identifier.
    """
    from scipy.optimize import linear_sum_assignment

    common = overlaps(old, new, len(ids), news)
    pairs = zip(*linear_sum_assignment(common, maximize=True), strict=True)
    return {int(at): ids[was] for was, at in pairs if common[was, at] >= at_least}
