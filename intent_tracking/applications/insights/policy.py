"""How much of the past a report looks at, and from how many shoppers on something may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class InsightsPolicy:
    """The figures that a report depends on.

    Attributes:
        days: the newest days, the report's own included, whose texts are read.
        history_days: the days before them that they are held against.
        least_shoppers: a word, a search, a theme or a question is shown once this many different shoppers have it.
            What fewer wrote could tell who somebody is, and an erasure would have to find it.
        most: rows of a table.
        false_discoveries: share of the rising words that may be chance (Benjamini-Hochberg).
        low_confidence: an answer below this probability counts as not understood, as one that is out of scope.
        most_texts: texts of a day that are read, answers of a day that were not understood, and sessions of a day that
            questions about items are looked for in; more are sampled down to it.
        question_intents: what the model answers to a message that asks about an item.

    Raises:
        ValueError: a figure that makes no report, or one that shows single shoppers.
    """

    days: int = 7
    history_days: int = 28
    least_shoppers: int = 5
    most: int = 15
    false_discoveries: float = 0.05
    low_confidence: float = 0.4
    most_texts: int = 5000
    question_intents: tuple[str, ...] = ("product_question",)

    def __post_init__(self) -> None:
        if self.days < 1 or self.history_days < 7 or self.most < 1 or self.most_texts < 1:
            raise ValueError("insights: days, most and most_texts are at least 1, history_days at least 7")
        if self.least_shoppers < 3:
            raise ValueError(f"insights: least_shoppers is {self.least_shoppers}; under 3 single people show")
        if not 0 < self.false_discoveries < 1 or not 0 <= self.low_confidence <= 1:
            raise ValueError("insights: false_discoveries is between 0 and 1, low_confidence from 0 to 1")

    def newest(self, day: date) -> list[date]:
        """The days whose texts are read, oldest first."""
        return [day - timedelta(days=back) for back in reversed(range(self.days))]

    def before(self, day: date) -> list[date]:
        """The days that `newest` are held against, oldest first."""
        return [day - timedelta(days=self.days + back) for back in reversed(range(self.history_days))]
