"""Token tags to spans: the best tag sequence that is well formed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def best_tags(scores: FloatArray) -> list[int]:
    """Viterbi over BIO tags in which I of a slot may only follow B or I of the same slot.

    Args:
        scores: [words, 1 + 2 * slots], log probabilities; tag 0 is O, 2i+1 is B and 2i+2 is I of slot i.

    Returns:
        One tag per word.
    """
    if len(scores) == 0:
        return []
    # Nothing but form binds a tag to the one before: where the best tags of the words are well formed, they are it.
    alone: list[int] = scores.argmax(axis=1).tolist()
    return alone if _is_well_formed(alone) else _viterbi(scores)


def _is_well_formed(tags: Sequence[int]) -> bool:
    before = 0
    for tag in tags:
        if tag and tag % 2 == 0 and before not in (tag - 1, tag):
            return False
        before = tag
    return True


def _viterbi(scores: FloatArray) -> list[int]:
    words, tags = scores.shape
    insides = np.arange(2, tags, 2)
    best = scores[0].copy()
    best[insides] = -np.inf
    back = np.zeros((words, tags), dtype=np.int64)
    for word in range(1, words):
        # From anywhere into O and B; into I from its own B or I alone.
        source = int(best.argmax())
        incoming = np.full(tags, best[source])
        back[word] = source
        from_begin = best[insides - 1] >= best[insides]
        back[word, insides] = np.where(from_begin, insides - 1, insides)
        incoming[insides] = np.where(from_begin, best[insides - 1], best[insides])
        best = incoming + scores[word]
    path = [int(best.argmax())]
    for word in range(words - 1, 0, -1):
        path.append(int(back[word, path[-1]]))
    return path[::-1]


def spans_of(tags: Sequence[int], words: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Group well-formed BIO tags into (slot, start, end), offsets from `words`, the character span of each word."""
    found: list[tuple[int, int, int]] = []
    for tag, (start, end) in zip(tags, words, strict=True):
        if tag == 0:
            continue
        slot = (tag - 1) // 2
        if tag % 2 == 0 and found:
            found[-1] = (slot, found[-1][1], end)
        else:
            found.append((slot, start, end))
    return found
