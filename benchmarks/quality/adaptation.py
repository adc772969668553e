"""CrossWOZ with domain-adaptive pretraining: the encoder first reads the dialogues of the training split unlabelled."""

from __future__ import annotations

from benchmarks.quality.texts import evaluate_rows, rows_of
from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.datasets.dialogues import crosswoz_texts


def adapted_crosswoz(workplace: Workplace, seed: int) -> Measured:
    """What `evaluate --unlabelled` gives, where the file holds both sides of the training dialogues."""
    rows = rows_of(workplace, "crosswoz", None, seed)
    known = {row.dialogue for row in rows.train if row.dialogue is not None}
    texts = crosswoz_texts(workplace.data.require("crosswoz"), known)
    return evaluate_rows(workplace, seed, rows, unlabelled=texts)
