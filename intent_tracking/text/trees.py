"""From scores of arcs to the best tree: maximum spanning arborescence with a single root."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def best_tree(scores: Scores) -> list[int]:
    """The heads of the highest-scoring tree: for each word the index of its head, -1 for the one root.

    The best head of each word is a tree nearly always; where it is not, Chu-Liu/Edmonds finds the best one. A constant
    taken from each root arc, larger than any difference between trees, leaves exactly one of them (Zmigrod et al. 2020,
    "Please Mind the Root", state the constraint).

    Args:
        scores: (n + 1, n + 1); [d, h] is the score of head `h` for dependant `d`, 0 the root; row 0 is not read.

    Raises:
        ValueError: there is no word, or a score is not finite.
    """
    size = scores.shape[0]
    if size < 2:
        raise ValueError("a tree needs at least one word")
    if not np.isfinite(scores[1:]).all():
        raise ValueError("the scores of arcs are not finite; the network's weights are damaged")
    usable = scores.astype(np.float64, copy=True)
    np.fill_diagonal(usable, -np.inf)
    usable[0] = -np.inf
    heads = [0, *usable[1:].argmax(axis=1).tolist()]
    if heads.count(0) != 2 or _circle(heads):
        finite = usable[1:][np.isfinite(usable[1:])]
        usable[1:, 0] -= (finite.max() - finite.min() + 1.0) * size
        heads = _arborescence(usable)
    return [head - 1 for head in heads[1:]]


def _circle(heads: list[int]) -> list[int]:
    """The nodes of one circle, empty where there is none; node 0 is the root."""
    seen = [0] * len(heads)
    seen[0] = -1
    for start in range(1, len(heads)):
        node = start
        while not seen[node]:
            seen[node] = start
            node = heads[node]
        if seen[node] == start:
            circle = [node]
            while heads[circle[-1]] != node:
                circle.append(heads[circle[-1]])
            return circle
        node = start
        while seen[node] == start:
            seen[node] = -1
            node = heads[node]
    return []


def _arborescence(scores: Scores) -> list[int]:
    """Chu-Liu/Edmonds by contraction; heads of all nodes, node 0 the root (its own entry is 0)."""
    heads = [0, *scores[1:].argmax(axis=1).tolist()]
    circle = _circle(heads)
    if not circle:
        return heads
    inside = np.zeros(len(heads), dtype=bool)
    inside[circle] = True
    outside = np.flatnonzero(~inside)  # node 0 stays first
    within = np.asarray(circle)
    new = len(outside)
    contracted = np.full((new + 1, new + 1), -np.inf)
    contracted[:new, :new] = scores[np.ix_(outside, outside)]
    kept = scores[within, [heads[node] for node in circle]]
    # Entering the circle at a node gives up the node's arc within it.
    entering = scores[np.ix_(within, outside)] - kept[:, None]
    contracted[new, :new] = entering.max(axis=0)
    leaving = scores[np.ix_(outside, within)]
    contracted[:new, new] = leaving.max(axis=1)
    contracted[0] = -np.inf
    solved = _arborescence(contracted)
    for index in range(1, new):
        head = solved[index]
        heads[outside[index]] = int(within[leaving[index].argmax()] if head == new else outside[head])
    entry = solved[new]
    heads[int(within[entering[:, entry].argmax()])] = int(outside[entry])
    return heads
