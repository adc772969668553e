"""Training, validation and test: later days and other shoppers, so that a score means something."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Split = Literal["train", "validation", "test"]

HELD_OUT_UTTERANCES = 0.1
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Windows:
    """Half-open times: validation takes shoppers from `validation_from` on, test is from `test_from` to `until`."""

    validation_from: datetime
    test_from: datetime
    until: datetime

    @classmethod
    def ending(cls, until: datetime, validation_days: int, test_days: int) -> Windows:
        """The last `test_days` are for testing, the `validation_days` before them for validation.

        Raises:
            ValueError: a number of days is negative.
        """
        if validation_days < 0 or test_days < 0:
            raise ValueError(f"validation_days={validation_days}, test_days={test_days}: must not be negative")
        test_from = until - timedelta(days=test_days)
        return cls(test_from - timedelta(days=validation_days), test_from, until)


def share(seed: int, *parts: str) -> float:
    """A number in [0, 1) that depends on `seed` and `parts` alone."""
    digest = hashlib.sha256("\x1f".join((str(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_shoppers(
    shoppers: Sequence[str], times: Sequence[datetime], windows: Windows, *, seed: int, most_held_out: int
) -> list[Split | None]:
    """Split dated examples by time and by shopper.

    Shoppers who are active in the test window are held out, in a seeded order, until they bring `most_held_out` test
    examples; what they did before is used for nothing, and what others did in the test window neither: the test judges
    later days and unseen people. Validation chooses and calibrates: it takes shoppers of its window in the same way, up
    to a tenth of all examples and half of those of its window; everything else before the test window is trained on,
    so that the newest wording is.
    """
    test = _held_out(shoppers, times, windows.test_from, windows.until, frozenset(), seed, most_held_out)
    window = sum(windows.validation_from <= time < windows.test_from for time in times)
    most = min(most_held_out, max(1, round(VALIDATION_SHARE * len(shoppers))), max(1, window // 2))
    validation = _held_out(shoppers, times, windows.validation_from, windows.test_from, test, seed, most)
    splits: list[Split | None] = []
    for shopper, time in zip(shoppers, times, strict=True):
        if time >= windows.test_from:
            splits.append("test" if shopper in test and time < windows.until else None)
        elif shopper in test:
            splits.append(None)
        elif time >= windows.validation_from and shopper in validation:
            splits.append("validation")
        else:
            splits.append("train")
    return splits


def _held_out(
    shoppers: Sequence[str],
    times: Sequence[datetime],
    start: datetime,
    end: datetime,
    taken: frozenset[str],
    seed: int,
    most: int,
) -> frozenset[str]:
    counts = Counter(s for s, time in zip(shoppers, times, strict=True) if start <= time < end and s not in taken)
    chosen: set[str] = set()
    examples = 0
    for shopper in sorted(counts, key=lambda name: (share(seed, name), name)):
        if examples >= most:
            break
        chosen.add(shopper)
        examples += counts[shopper]
    return frozenset(chosen)


def words_of(text: str) -> str:
    """What texts share that differ in letter case and blanks alone: to a model they are one text."""
    return " ".join(text.casefold().split())


def split_utterance(text: str, seed: int) -> Split:
    """Split an utterance that belongs to no shopper: by its words, so that a text stands on one side only."""
    place = share(seed, "utterance", words_of(text))
    if place < HELD_OUT_UTTERANCES:
        return "test"
    return "validation" if place < 2 * HELD_OUT_UTTERANCES else "train"
