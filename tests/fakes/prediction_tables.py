"""Hand-made predictions and tables of served predictions, with a drift of a chosen strength."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.modeling.prediction import IntentScore, Prediction
from intent_tracking.prediction_log import PREDICTION_SCHEMA

INTENTS = ("explore", "find_product", "compare", "bargain", "purchase", "track_order", "return_refund", "complaint")
SCENES = ("search", "browse", "cart", "customer_service", "marketing")
START = datetime(2026, 1, 1, tzinfo=UTC)
WIDTH = 32


def answer(scores: dict[str, float], *, out_of_scope: bool = False, buys: float = float("nan")) -> Prediction:
    """A prediction with these probabilities."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    intents = tuple(IntentScore(name, value) for name, value in ranked)
    return Prediction(intents, out_of_scope, (), buys, np.zeros(4, np.float32), 0.0, 8)


def sure(label: str, labels: Sequence[str], confidence: float = 0.9) -> Prediction:
    """A prediction of `label`, the rest shared by the other labels; `oos` is a prediction of nothing."""
    rest = (1 - confidence) / max(len(labels) - 1, 1)
    if label == "oos":
        return answer(dict.fromkeys(labels, 0.5 / len(labels)), out_of_scope=True)
    return answer({name: confidence if name == label else rest for name in labels})


def served(
    sessions: int,
    *,
    seed: int,
    day: int = 0,
    days: int = 1,
    drift: float = 0.0,
    version: str = "v1",
    daily_noise: float = 0.0,
) -> pa.Table:
    """Predictions of `sessions` sessions over `days` days from `START + day`, several a session, alike within one.

    `drift` 0..1 is the share of sessions with a new intent in new words, which the model answers with less confidence;
    `daily_noise` moves the mix of intents from day to day, as weekdays do.
    """
    generator = np.random.default_rng([seed, day])
    centres = np.random.default_rng(7).normal(size=(len(INTENTS) + 1, WIDTH))
    base = np.array([0.25, 0.2, 0.1, 0.1, 0.12, 0.1, 0.08, 0.05])
    noise = {on: np.random.default_rng([99, on]).normal(size=len(base)) for on in range(day, day + days)}
    mixes = {on: np.cumsum(base * np.exp(z * daily_noise)) for on, z in noise.items()}
    mixes = {on: mix / mix[-1] for on, mix in mixes.items()}
    columns: dict[str, list[object]] = {name: [] for name in PREDICTION_SCHEMA.names}
    for number in range(sessions):
        on = day + number % days
        topic = int(np.searchsorted(mixes[on], generator.random()))
        new = bool(generator.random() < drift)
        chinese = bool(generator.random() < 0.3)
        centre = centres[-1 if new else topic] + generator.normal(size=WIDTH) * 0.6
        scene = SCENES[int(np.searchsorted([0.3, 0.6, 0.75, 0.95, 1.0], generator.random()))]
        words = 4 + int(generator.poisson(9 if new else 6))
        for turn in range(1 + int(generator.integers(0, 4))):
            confidence = float(generator.beta(3, 3) if new else generator.beta(8, 2))
            said = int(generator.integers(len(INTENTS))) if new else topic
            moment = START + timedelta(days=on, seconds=int(generator.integers(0, 80_000)) + turn)
            vector = centre + generator.normal(size=WIDTH) * 0.2
            row = {
                "prediction_id": f"{seed}-{day}-{number}-{turn}",
                "event_time": moment,
                "served_at": moment,
                "kind": "track",
                "session_id": f"s{seed}-{day}-{number}",
                "shopper_id": f"u{number}",
                "scene": scene,
                "language": "zh" if chinese else "en",
                "text": "...",
                "intent": INTENTS[said],
                "confidence": confidence,
                "out_of_scope": confidence < 0.35,
                "purchase_probability": float(generator.beta(2, 5)),
                "text_length": words * 5 + int(generator.integers(0, 9)),
                "word_count": words,
                "unknown_share": float(generator.beta(1, 8 if new else 40)),
                "non_letter_share": float(generator.beta(2, 20)),
                "event_count": turn + 1,
                "embedding": (vector / np.linalg.norm(vector)).tolist(),
                "model_version": version,
            }
            for name, value in row.items():
                columns[name].append(value)
    return pa.table(columns, schema=PREDICTION_SCHEMA)


class OnDisk:
    """Gives drawn rows the columns of `tables`, and counts the rows that were asked for."""

    def __init__(self, *tables: pa.Table) -> None:
        self._whole = pa.concat_tables(tables)
        self.asked = 0

    def __call__(self, drawn: Sequence[pa.Table]) -> list[pa.Table]:
        self.asked += sum(table.num_rows for table in drawn)
        ids = self._whole["prediction_id"]
        return [self._whole.take(pc.index_in(table["prediction_id"], ids)) for table in drawn]
