"""What the model says about one text: plain records that evaluation, service and batch share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

OUT_OF_SCOPE_LABEL = "oos"
# Between the labels of a text that has several.
LABEL_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class IntentScore:
    """One label of the artifact's label set and its calibrated probability."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class RankedIntents(Sequence[IntentScore]):
    """The intents of one prediction, kept as numbers: an object for each of thousands of labels takes ten times more.

    Attributes:
        names: the label set, shared with all predictions of a model.
        places: int32 [k], which of them, most probable first.
        probabilities: float32 [k], of each.
    """

    names: tuple[str, ...]
    places: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> IntentScore: ...
    @overload
    def __getitem__(self, at: slice) -> RankedIntents: ...
    def __getitem__(self, at: int | slice) -> IntentScore | RankedIntents:
        if isinstance(at, slice):
            return RankedIntents(self.names, self.places[at], self.probabilities[at])
        return IntentScore(self.names[self.places[at]], float(self.probabilities[at]))

    def __iter__(self) -> Iterator[IntentScore]:
        return map(IntentScore, [self.names[place] for place in self.places.tolist()], self.probabilities.tolist())


@dataclass(frozen=True, slots=True)
class KeyInformation:
    """A span of the utterance that carries a value: `utterance[start:end] == value`."""

    name: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one input.

    Attributes:
        intents: known labels, most probable first. What is missing to a sum of 1 is the probability of "none of these".
        out_of_scope: none of the known labels fits: the input is not familiar enough, or no label of a set holds.
        key_information: spans by position; offsets are relative to the utterance.
        purchase_probability: that this session buys; NaN where the artifact was trained without outcomes.
        embedding: float32 [hidden], the mean-pooled text, for drift and neighbours.
        unknown_share: share of the text's tokens that the vocabulary does not hold, 0..1.
        token_count: tokens that the model read, after truncation.
        familiarity: how much the input looks like what the model knows; out of scope below the artifact's threshold. By
            default the highest probability.
        labels: of a multi-label artifact, all labels over their own thresholds, by name; else empty.
    """

    intents: Sequence[IntentScore]
    out_of_scope: bool
    key_information: tuple[KeyInformation, ...]
    purchase_probability: float
    embedding: npt.NDArray[np.float32]
    unknown_share: float
    token_count: int
    familiarity: float = math.nan
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if math.isnan(self.familiarity):
            highest = max((score.probability for score in self.intents), default=0.0)
            object.__setattr__(self, "familiarity", highest)

    @property
    def label(self) -> str:
        """What to act on: the most probable intent or `oos`; of a multi-label artifact all that hold, as `a|b`."""
        if self.out_of_scope:
            return OUT_OF_SCOPE_LABEL
        return LABEL_SEPARATOR.join(self.labels) if self.labels else self.intents[0].name
