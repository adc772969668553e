"""Figures of models that another unit has trained and kept: explanations, int8."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.quality.texts import evaluate_task, rows_of
from benchmarks.quality.unit import MODEL_CODE, Measured, Workplace, code_digest
from intent_tracking.datasets.rows import OUT_OF_SCOPE, Utterance
from intent_tracking.datasets.tasks import write_labelled_csv

EXPLAINED_TEXTS = 200


def model_folder(workplace: Workplace, name: str, seed: int) -> Path:
    """Where the model of a task and seed is kept; one of other code, encoder or training time lies elsewhere."""
    made_by = f"{workplace.base_encoder}\n{workplace.max_seconds}\n{code_digest(MODEL_CODE)}"
    return workplace.models / f"{name}-seed{seed}-{sha256(made_by.encode()).hexdigest()[:12]}"


def evaluate_and_keep(workplace: Workplace, seed: int, *, name: str) -> Measured:
    """As `evaluate_task`; the model stays for the units that go on with it."""
    return evaluate_task(workplace, seed, name=name, keep=model_folder(workplace, name, seed))


def kept(workplace: Workplace, name: str, seed: int) -> Path:
    """The folder of the model of a task and seed, trained where it is not kept."""
    folder = model_folder(workplace, name, seed)
    if not (folder / "manifest.json").is_file():
        workplace.say(f"training {name} first: its model is not kept here")
        evaluate_and_keep(workplace, seed, name=name)
    return folder


def inputs_of(rows: Sequence[Utterance]) -> list[Any]:
    """What the model reads, as the command `evaluate` makes it from a file of these rows."""
    from intent_tracking.modeling.annotations import read_labelled_csv
    from intent_tracking.modeling.examples import examples_from_labelled, model_inputs

    with TemporaryDirectory(prefix="bench-quality-") as folder:
        path = Path(folder) / "test.csv"
        write_labelled_csv(path, rows)
        return model_inputs(examples_from_labelled(read_labelled_csv(path), "test", datetime(1970, 1, 1, tzinfo=UTC)))


def explanations(workplace: Workplace, seed: int, *, name: str) -> Measured:
    """The deletion test on in-scope test texts, drawn by the seed: drop of the intent over that of random removal."""
    from intent_tracking.evaluation.faithfulness import deletion_test
    from intent_tracking.inference import IntentPredictor

    predictor = IntentPredictor.load(kept(workplace, name, seed), workplace.device)
    rows = [row for row in rows_of(workplace, name, None, seed).test if row.intent != OUT_OF_SCOPE]
    Random(seed).shuffle(rows)
    workplace.say(f"explaining {EXPLAINED_TEXTS} texts")
    found = deletion_test(predictor, inputs_of(rows[: 3 * EXPLAINED_TEXTS]), limit=EXPLAINED_TEXTS, seed=seed)
    if found.area_ratio is None:
        raise ValueError(f"{name}: random removal changes nothing, so there is no ratio; explain longer texts")
    figures = {"area_ratio": found.area_ratio.value, "area": found.area, "random_area": found.random_area}
    return Measured(figures, {"texts": found.texts, "words": found.words, "method": found.method})


def int8_loss(workplace: Workplace, seed: int, *, name: str) -> Measured:
    """Accuracy of the kept model in PyTorch and as the int8 graph that it ships, over the same test texts.

    Raises:
        ValueError: the model ships another graph, because int8 cost it too much on validation.
    """
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.modeling.onnx_backend import INT8_FILE

    folder = kept(workplace, name, seed)
    if not (folder / INT8_FILE).is_file():
        raise ValueError(f"{folder}: has no {INT8_FILE}: int8 lost more on validation than is allowed")
    rows = rows_of(workplace, name, None, seed).test
    inputs = inputs_of(rows)
    rejects = any(row.intent == OUT_OF_SCOPE for row in rows)
    answers = {}
    for runtime in ("torch", "onnx"):
        workplace.say(f"{len(inputs):,} texts in {runtime}")
        predictor = IntentPredictor.load(folder, "cpu", runtime=runtime)
        answers[runtime] = [found.label if rejects else found.intents[0].name for found in predictor.predict(inputs)]
    right = {
        runtime: sum(row.intent == label for row, label in zip(rows, found, strict=True)) / len(rows)
        for runtime, found in answers.items()
    }
    same = [one == other for one, other in zip(answers["torch"], answers["onnx"], strict=True)]
    return Measured(
        {
            "accuracy_torch": right["torch"],
            "accuracy_int8": right["onnx"],
            "loss": right["torch"] - right["onnx"],
            "same_answers": sum(same) / len(same),
        },
        {"texts": len(rows)},
    )
