"""A model small enough to read: it counts keywords, and can be made to fail in known ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from intent_tracking.inference import Features, KeyInformation
from intent_tracking.modeling.prediction import Prediction
from intent_tracking.sessions.render import ModelInput
from tests.fakes.prediction_tables import answer
from tests.fakes.predictors import FakePredictor

KEYWORDS = {
    "track_order": (
        "where is my",
        "where my",
        "arrive",
        "shipped",
        "track",
        "package",
        "到哪",
        "什么时候能到",
        "发货",
        "物流",
        "快递",
    ),
    "cancel_order": ("cancel", "cancle", "取消"),
    "return_refund": ("return", "retrun", "refund", "refudn", "money back", "退"),
    "payment_problem": (
        *("payment", "paymnet", "charged", "declined", "declinde", "unpaid"),
        *("付款", "付宽", "付不了款", "付了钱", "扣了", "未付款"),
    ),
    "bargain": ("discount", "discuont", "coupon", "cupon", "cheaper", "deals", "优惠", "优会", "便宜", "便谊", "打折"),
}


class KeywordPredictor:
    """Softmax over keyword counts; "none of these" where no keyword occurs.

    `case_sensitive` makes it blind to upper case, `deaf_to` drops the keywords of one intent.
    """

    def __init__(self, *, case_sensitive: bool = False, deaf_to: str | None = None) -> None:
        self._case_sensitive = case_sensitive
        self._keywords = {name: () if name == deaf_to else words for name, words in KEYWORDS.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """Intents that it knows."""
        return tuple(self._keywords)

    def predict(self, inputs: Sequence[ModelInput]) -> list[Prediction]:
        """Predict the inputs in the order given."""
        return [self._one(given.text if self._case_sensitive else given.text.lower()) for given in inputs]

    def _one(self, text: str) -> Prediction:
        counts = {name: sum(word in text for word in words) for name, words in self._keywords.items()}
        weights = {name: math.exp(2.0 * count) for name, count in counts.items()}
        total = sum(weights.values())
        return answer(
            {name: weight / total for name, weight in weights.items()}, out_of_scope=not any(counts.values()), buys=0.2
        )


class ColourReader(FakePredictor):
    """Answers as `KeywordPredictor` from the artifact of a `FakePredictor`, and finds `red` in the newest words."""

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Predict the inputs in the order given."""
        return [
            replace(prediction, key_information=_colour(entry))
            for entry, prediction in zip(inputs, KeywordPredictor().predict(inputs), strict=True)
        ]


def _colour(entry: ModelInput) -> tuple[KeyInformation, ...]:
    at = entry.text[entry.utterance_start : entry.utterance_end].find("red")
    return (KeyInformation("colour", "red", at, at + 3),) if at >= 0 else ()
