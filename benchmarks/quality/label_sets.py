"""Several intents for one text: MultiDoGO's turns of two intents as sets of labels, not as labels of their own."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.quality.texts import rows_of
from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.datasets.rows import SPLITS, Utterance, UtteranceSet
from intent_tracking.datasets.tasks import export
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import LABEL_SEPARATOR

# As MultiDoGO joins the intents of one turn.
_JOINED = "<div>"


def as_label_sets(rows: UtteranceSet) -> UtteranceSet:
    """The rows with each intent of a turn as a label, `a|b`."""

    def parted(row: Utterance) -> Utterance:
        return replace(row, intent=LABEL_SEPARATOR.join(names_in(row.intent.replace(_JOINED, LABEL_SEPARATOR))))

    return replace(rows, **{split: tuple(map(parted, rows.split(split))) for split in SPLITS})


def evaluate_label_sets(workplace: Workplace, seed: int, *, name: str) -> Measured:
    """Train and score as `intent-tracking evaluate` does: equal sets, F1 over all decisions and its mean over labels.

    `accuracy_of_two` is the share of the turns with two intents or more whose set is found: in airline of one turn.
    """
    from intent_tracking.evaluation.evaluate import evaluate_command
    from intent_tracking.evaluation.predict import predict_command

    rows = as_label_sets(rows_of(workplace, name, None, seed))
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as temporary:
        folder = Path(temporary)
        export(rows, folder)
        report = evaluate_command(
            folder / "train.csv",
            folder / "test.csv",
            folder / "dev.csv",
            folder / "report.json",
            base_encoder=workplace.base_encoder,
            seed=seed,
            device=workplace.device,
            max_seconds=workplace.max_seconds,
            model_dir=folder / "model",
        )
        several = [row for row in rows.test if len(names_in(row.intent)) > 1]
        texts = (row.text for row in several)
        answers = [answer["intent"] for answer in predict_command(folder / "model", texts, device=workplace.device)]
    sets, spans = report["label_sets"], report["details"]["spans"]
    figures = {**sets, "slot_f1": spans["f1"], "training_seconds": report["training_seconds"]}
    found = sum(row.intent == answer for row, answer in zip(several, answers, strict=True))
    figures["accuracy_of_two"] = found / len(several)
    details = {key: report[key] for key in ("examples", "recipe", "calibration")}
    return Measured(figures, {**details, "turns_of_two": len(several)})
