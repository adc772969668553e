"""Training, validation and test: the test judges later days, by shoppers that the training split does not hold."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

Split = Literal["train", "validation", "test"]

HELD_OUT_UTTERANCES = 0.1
VALIDATION_SHARE = 0.1
# Sessions labelled by behaviour alone that are learned from, drawn over the whole window.
MOST_BEHAVIOUR = 20_000
MOST_HELD_OUT = 2000
# With fewer labels a held-out split says nothing of a model, and people's alone do not take the place of the others.
ENOUGH_TO_JUDGE = 100


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


@dataclass(frozen=True)
class ShopperSplits:
    """Which shoppers are held out, and so where each dated example goes.

    Shoppers who are active in the test window are held out, in a seeded order, until they bring enough test examples;
    what they did before is used for nothing, and what others did in the test window neither. Validation chooses and
    calibrates: it takes shoppers of its window in the same way, up to a tenth of all examples and half of those of its
    window; everything else before the test window may be trained on, so that the newest wording is.

    It holds within one drawing. Who is tested here may have been trained on in an earlier one, of older days.
    """

    windows: Windows
    validation: frozenset[str]
    test: frozenset[str]

    @classmethod
    def drawn(cls, examples: Iterable[pa.RecordBatch], windows: Windows, *, seed: int, most_held_out: int) -> Self:
        """Draw them from `shopper_id` and `time` (UTC) of all examples, in any order; `most_held_out`: of each side."""
        total = 0
        in_validation: Counter[str] = Counter()
        in_test: Counter[str] = Counter()
        for batch in examples:
            total += batch.num_rows
            for active, start, end in (
                (in_validation, windows.validation_from, windows.test_from),
                (in_test, windows.test_from, windows.until),
            ):
                inside = pc.and_(_from(batch["time"], start), pc.invert(_from(batch["time"], end)))
                for found in pc.value_counts(batch["shopper_id"].filter(inside)).to_pylist():
                    active[found["values"]] += found["counts"]
        test = _held_out(in_test, seed, most_held_out)
        most = min(most_held_out, max(1, round(VALIDATION_SHARE * total)), max(1, in_validation.total() // 2))
        others = {shopper: count for shopper, count in in_validation.items() if shopper not in test}
        return cls(windows, _held_out(others, seed, most), test)

    def of(self, shopper_ids: pa.Array, times: pa.Array) -> list[Split | None]:
        """The split of each example; None: it is used for nothing."""
        is_tested = pc.is_in(shopper_ids, value_set=pa.array(sorted(self.test), pa.string()))
        is_validated = pc.and_(
            pc.is_in(shopper_ids, value_set=pa.array(sorted(self.validation), pa.string())),
            _from(times, self.windows.validation_from),
        )
        nothing = pa.scalar(None, pa.string())
        earlier = pc.if_else(is_tested, nothing, pc.if_else(is_validated, "validation", "train"))
        in_test = pc.and_(is_tested, pc.invert(_from(times, self.windows.until)))
        later = pc.if_else(in_test, "test", nothing)
        splits: list[Split | None] = pc.if_else(_from(times, self.windows.test_from), later, earlier).to_pylist()
        return splits


def _from(times: pa.Array, moment: datetime) -> pa.Array:
    return pc.greater_equal(times, pa.scalar(moment.astimezone(UTC), times.type))


def _held_out(active: Mapping[str, int], seed: int, most: int) -> frozenset[str]:
    """Shoppers of `active` (examples by shopper), in a seeded order, until they bring `most` examples."""
    chosen: set[str] = set()
    examples = 0
    for shopper in sorted(active, key=lambda name: (share(seed, name), name)):
        if examples >= most:
            break
        chosen.add(shopper)
        examples += active[shopper]
    return frozenset(chosen)


class Sample:
    """At most `size` names of a stream, each as likely as the others; equal names give an equal sample, in any order.

    Those of the smallest hashes are kept: bottom-k, Cohen and Kaplan 2007, Summarizing data using bottom-k sketches.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._kept: list[tuple[float, str]] = []
        self.offered = 0

    def offer(self, name: str) -> None:
        """Let `name`, which was not offered before, take part."""
        self.offered += 1
        # The heap has its least entry first: the largest hash, which goes first.
        entry = (-share(self._seed, "sample", name), name)
        if len(self._kept) < self._size:
            heapq.heappush(self._kept, entry)
        elif self._kept:
            heapq.heappushpop(self._kept, entry)

    def names(self) -> frozenset[str]:
        """What was drawn."""
        return frozenset(name for _, name in self._kept)


def wording(text: str) -> str:
    """What rendered texts share that differ in letter case and blanks alone: to a model they are one text."""
    return " ".join(text.casefold().split())


def split_utterance(text: str, seed: int) -> Split:
    """Split an utterance that belongs to no shopper: by its words, so that a text stands on one side only."""
    place = share(seed, "utterance", wording(text))
    if place < HELD_OUT_UTTERANCES:
        return "test"
    return "validation" if place < 2 * HELD_OUT_UTTERANCES else "train"
