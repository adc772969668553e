"""A student of half the layers beside its teacher: accuracy, and texts a second as both are served on a CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.quality.kept_models import inputs_of, kept
from benchmarks.quality.texts import evaluate_task, rows_of
from benchmarks.quality.unit import Measured, Workplace

_ROUNDS = 3


def student(workplace: Workplace, seed: int, *, name: str) -> Measured:
    """Distil the kept model of a task on its own training texts, as `intent-tracking evaluate --teacher` does."""
    teacher = kept(workplace, name, seed)
    with TemporaryDirectory(prefix="bench-quality-") as folder:
        small = Path(folder) / "student"
        measured = evaluate_task(workplace, seed, name=name, teacher=teacher, keep=small)
        rows = rows_of(workplace, name, None, seed).test
        inputs = inputs_of(rows)
        workplace.say(f"{len(inputs):,} texts by each, {_ROUNDS} times")
        (of_student, _), (of_teacher, answers) = _in_turn([small, teacher], inputs)
    right = sum(row.intent == label for row, label in zip(rows, answers, strict=True)) / len(rows)
    figures = {
        **measured.figures,
        "teacher_accuracy": right,
        "texts_per_second": of_student,
        "teacher_texts_per_second": of_teacher,
        "speed_up": of_student / of_teacher,
    }
    return Measured(figures, measured.details)


def _in_turn(models: Sequence[Path], inputs: Sequence[Any]) -> list[tuple[float, list[str]]]:
    """For each model its texts a second, the median of alternating rounds, and its best labels."""
    from intent_tracking.inference import IntentPredictor

    predictors = [IntentPredictor.load(model, "cpu") for model in models]
    rates: list[list[float]] = [[] for _ in models]
    labels: list[list[str]] = [[] for _ in models]
    for _ in range(_ROUNDS):
        for place, predictor in enumerate(predictors):
            began = time.perf_counter()
            found = predictor.predict(inputs)
            rates[place].append(len(inputs) / (time.perf_counter() - began))
            labels[place] = [answer.intents[0].name for answer in found]
    return [(statistics.median(rate), found) for rate, found in zip(rates, labels, strict=True)]
