"""Are the explanations true to the model? Take away the words that they name, and see how far the intent falls.

The deletion test: the words with the highest weights are removed, and as many random words; the drop of the intent's
probability by the first over the drop by the second is the ratio. Removing them all, a share at a time, gives the area
over the perturbation curve (Samek et al. 2017, arXiv:1509.06321). Keeping them alone gives sufficiency (ERASER, DeYoung
et al. 2020, arXiv:1911.03429, where the drop itself is called comprehensiveness).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from intent_tracking.evaluation.metrics import EvaluationError, Floats, Interval
from intent_tracking.modeling.explaining import (
    Explanation,
    Part,
    PartKind,
    Predictor,
    explain,
    intent_probability,
    parts_of,
    without,
)
from intent_tracking.sessions.render import ModelInput

SHARES: Final = (0.1, 0.2, 0.3, 0.5, 0.7)
SUFFICIENT_SHARE: Final = 0.2
MIN_WORDS: Final = 4
"""In shorter texts a random word is too often the right one to tell the two apart."""
MAX_JUDGED_PARTS: Final = 32
"""Longer inputs are left out: the time of the test grows with the square of their length."""
_RESAMPLES: Final = 1000

Explain = Callable[[Predictor, ModelInput], Explanation]


@dataclass(frozen=True)
class Deletion:
    """Drop of the intent's probability, mean over the texts, when `share` of the words are removed.

    `ratio` is None where random removal moves too little to compare with. `share` None: the one word with the highest
    weight. There an attribution found by removing single words is right by construction: judge by the shares.
    """

    share: float | None
    words: float
    drop: float
    random_drop: float
    ratio: Interval | None


@dataclass(frozen=True)
class Faithfulness:
    """The deletion test of one way to explain, on the texts of one set.

    Attributes:
        texts, words: how many texts, and how many words they have on average.
        area_ratio: mean drop over the shares against that of random removal, with a bootstrap interval over texts.
        sufficiency, random_sufficiency: drop when only the best `SUFFICIENT_SHARE` of words stay; low is good.
    """

    method: str
    texts: int
    words: float
    draws: int
    deletions: tuple[Deletion, ...]
    area: float
    random_area: float
    area_ratio: Interval | None
    sufficiency: float
    random_sufficiency: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def at(self, share: float | None) -> Deletion:
        """The deletion of `share` of the words."""
        return next(found for found in self.deletions if found.share == share)

    def summary(self) -> str:
        """One line for a table or a log."""
        parts = [
            f"{found.share:.0%} of words {found.ratio.value:.1f}x"
            for found in self.deletions
            if found.share and found.ratio
        ]
        return f"explanations against random: {', '.join([*parts, self.against_random()])} ({self.texts} texts)"

    def against_random(self) -> str:
        """The area in words."""
        return f"area {self.area_ratio} times random's" if self.area_ratio else "random removal changes nothing"


def deletion_test(
    predictor: Predictor,
    inputs: Iterable[ModelInput],
    *,
    how: Explain = explain,
    limit: int = 100,
    draws: int = 3,
    seed: int = 0,
) -> Faithfulness:
    """Explain up to `limit` of `inputs` and remove what the weights name: about 50 predictions a text.

    A random choice of those with at least `MIN_WORDS` words and at most `MAX_JUDGED_PARTS` parts, by `seed`.

    Args:
        predictor: the model.
        inputs: utterances or sessions; the words of the utterance are removed, the rest of a session stays.
        how: the explanation to judge; its weights rank the words.
        limit: texts to judge.
        draws: random removals for each text and share.
        seed: of the choice of texts and of the random removals.

    Raises:
        EvaluationError: no input fits.
    """
    random = np.random.default_rng(seed)
    judged = _chosen(list(inputs), limit, random)
    if not judged:
        raise EvaluationError(
            f"no input has {MIN_WORDS} words or more to remove and {MAX_JUDGED_PARTS} parts or fewer; give other texts"
        )
    counts = np.array([len(words) for _, words in judged])
    explanations = [how(predictor, entry) for entry, _ in judged]
    ranked = [[_ranking(given, words)] for given, (_, words) in zip(explanations, judged, strict=True)]
    for orders, (_, words) in zip(ranked, judged, strict=True):
        orders.extend(list(random.permutation(len(words))) for _ in range(draws))

    reduced: list[tuple[int, ModelInput]] = []
    for place, ((entry, words), orders) in enumerate(zip(judged, ranked, strict=True)):
        for order in orders:
            removals = [order[: _removed(share, len(words))] for share in (None, *SHARES)]
            removals.append(order[_removed(SUFFICIENT_SHARE, len(words)) :])
            reduced.extend((place, without(entry, [words[i] for i in removal])) for removal in removals)
    left = _probabilities(predictor, reduced, [given.intent for given in explanations])
    whole = np.array([given.probability for given in explanations])
    # [text, ranking, removal]: ranking 0 is the explanation's, the others are random.
    drops = whole[:, None, None] - left.reshape(len(judged), draws + 1, len(SHARES) + 2)
    ours, chance = drops[:, 0], drops[:, 1:].mean(1)
    deletions = tuple(
        Deletion(
            share=share,
            words=float(np.mean([_removed(share, count) for count in counts])),
            drop=float(ours[:, column].mean()),
            random_drop=float(chance[:, column].mean()),
            ratio=_ratio(ours[:, column], chance[:, column], seed),
        )
        for column, share in enumerate((None, *SHARES))
    )
    area, chance_area = ours[:, 1:-1].mean(1), chance[:, 1:-1].mean(1)
    return Faithfulness(
        method=explanations[0].method,
        texts=len(judged),
        words=float(counts.mean()),
        draws=draws,
        deletions=deletions,
        area=float(area.mean()),
        random_area=float(chance_area.mean()),
        area_ratio=_ratio(area, chance_area, seed),
        sufficiency=float(ours[:, -1].mean()),
        random_sufficiency=float(chance[:, -1].mean()),
    )


def _chosen(
    inputs: Sequence[ModelInput], limit: int, random: np.random.Generator
) -> list[tuple[ModelInput, list[Part]]]:
    """Inputs that fit, in random order, with their words."""
    chosen: list[tuple[ModelInput, list[Part]]] = []
    for place in random.permutation(len(inputs)):
        if len(chosen) == limit:
            break
        parts = parts_of(inputs[place])
        words = [part for part in parts if part.kind is PartKind.WORD]
        if len(words) >= MIN_WORDS and len(parts) <= MAX_JUDGED_PARTS:
            chosen.append((inputs[place], words))
    return chosen


def _ranking(given: Explanation, words: Sequence[Part]) -> list[int]:
    """Places of the words, the highest weight first."""
    if len(given.words) != len(words):
        raise ValueError(f"{len(words)} words but {len(given.words)} weights; explain the words of `parts_of`")
    return sorted(range(len(words)), key=lambda place: (-given.words[place].weight, place))


def _removed(share: float | None, words: int) -> int:
    return 1 if share is None else max(1, round(share * words))


def _probabilities(predictor: Predictor, reduced: Sequence[tuple[int, ModelInput]], intents: Sequence[str]) -> Floats:
    """Probability of the intent of each text; equal inputs are predicted once."""
    unique = {entry: place for place, entry in enumerate(dict.fromkeys(entry for _, entry in reduced))}
    answers = predictor.predict(list(unique))
    return np.array([intent_probability(answers[unique[entry]], intents[place]) for place, entry in reduced])


def _ratio(ours: Floats, chance: Floats, seed: int) -> Interval | None:
    """Ratio of means with a 95% interval from resampled texts; None where random removal moves too little."""
    rows = np.random.default_rng(seed).integers(0, len(ours), (_RESAMPLES, len(ours)))
    above, below = ours[rows].mean(1), chance[rows].mean(1)
    # A resample without a drop to compare with counts as beyond every ratio; too many of them leave no interval.
    if (below > 0).mean() <= 0.975:
        return None
    ratios = np.divide(above, below, out=np.full_like(above, np.inf), where=below > 0)
    low, high = np.quantile(ratios, [0.025, 0.975], method="lower")
    return Interval(float(ours.mean() / chance.mean()), float(low), float(high))


def deletion_curves(folder: Path, found: Faithfulness) -> str:
    """Write `deletion.png`: what is left of the intent as words go, by weight and at random. Returns its file name."""
    from intent_tracking.evaluation import style

    picture = style.figure(6.4, 4.2)
    axes = picture.add_subplot()
    shares = [0.0, *SHARES]
    at = [found.at(share) for share in SHARES]
    for drops, colour, name in (
        ([d.drop for d in at], style.BLUE, "highest weights first"),
        ([d.random_drop for d in at], style.QUIET, "random words"),
    ):
        axes.plot(shares, [0.0, *drops], marker="o", markersize=4, color=colour, linewidth=2, label=name)
    axes.fill_between(
        shares, [0.0, *(d.drop for d in at)], [0.0, *(d.random_drop for d in at)], color=style.BLUE, alpha=0.08
    )
    for deletion in at:
        if deletion.ratio:
            axes.annotate(
                f"{deletion.ratio.value:.1f}x",
                (deletion.share, deletion.drop),
                textcoords="offset points",
                xytext=(0, 7),
                ha="center",
                fontsize=8.5,
                color=style.BLUE,
            )
    axes.set_ylim(bottom=min(0.0, *(d.random_drop for d in at)), top=1.0)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    style.dress(
        axes,
        "Do the explanations name what the model reads?",
        "share of words removed",
        "drop of the intent's probability",
        note=f"{found.texts} texts of {found.words:.1f} words; {found.against_random()}",
    )
    return style.save(picture, folder, "deletion")
