"""Text sets: what `intent-tracking evaluate` gives, and TF-IDF + linear SVM on the same rows."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.datasets.rows import OUT_OF_SCOPE, Utterance, UtteranceSet, seen_in_train
from intent_tracking.datasets.tasks import export, task


def rows_of(workplace: Workplace, name: str, shots: int | None, seed: int) -> UtteranceSet:
    """The rows of a task; with `shots`, so many training texts a label, drawn by the seed, and no validation split."""
    wanted = task(name)
    rows = wanted.read(workplace.data.require(wanted.dataset))
    return rows if shots is None else replace(rows, train=few_shot(rows.train, shots, seed), dev=())


def few_shot(rows: Sequence[Utterance], shots: int, seed: int) -> tuple[Utterance, ...]:
    """`shots` rows of each label in the order of the file; those of fewer shots are among those of more."""
    by_label: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        by_label.setdefault(row.intent, []).append(place)
    chosen: set[int] = set()
    for label, places in by_label.items():
        random.Random(f"{seed} {label}").shuffle(places)
        chosen.update(places[:shots])
    return tuple(row for place, row in enumerate(rows) if place in chosen)


def evaluate_task(
    workplace: Workplace,
    seed: int,
    *,
    name: str,
    shots: int | None = None,
    teacher: Path | None = None,
    keep: Path | None = None,
) -> Measured:
    """`evaluate_rows` of a task, whole or with few shots."""
    return evaluate_rows(workplace, seed, rows_of(workplace, name, shots, seed), teacher=teacher, keep=keep)


def evaluate_rows(
    workplace: Workplace,
    seed: int,
    rows: UtteranceSet,
    *,
    unlabelled: Sequence[str] | None = None,
    teacher: Path | None = None,
    keep: Path | None = None,
) -> Measured:
    """Train and score as `intent-tracking evaluate` does when it is given nothing but the files and a seed.

    The training time alone may be another, that of the workplace. `unlabelled` texts are read first, as those of its
    `--unlabelled` are.

    Figures: `accuracy` and `macro_f1` of its report; `..._unseen` without the test texts that stand in train; `slot_f1`
    where key information is marked. With out-of-scope queries: `in_scope_accuracy` (a rejection is wrong), `oos_recall`
    at the same threshold, and `in_scope_accuracy_plain`, of the best label whether rejected or not. `seconds` from the
    start of the command to its report; of the test texts those of `trust_figures`.
    """
    from intent_tracking.evaluation.evaluate import evaluate_command
    from intent_tracking.modeling.training_result import Progress

    with tempfile.TemporaryDirectory(prefix="bench-quality-") as temporary:
        folder = Path(temporary)
        export(rows, folder)
        model = keep if keep is not None else folder / "model"

        further = None
        if unlabelled is not None:
            further = folder / "unlabelled.txt"
            further.write_text("".join(f"{' '.join(text.split())}\n" for text in unlabelled), encoding="utf-8")

        def trained(progress: Progress) -> None:
            workplace.say(
                f"pass {min(progress.epoch + 1, progress.epochs)}/{progress.epochs}, step {progress.step}/"
                f"{progress.steps}, loss {progress.loss:.3f}"
            )

        report = evaluate_command(
            folder / "train.csv",
            folder / "test.csv",
            folder / "dev.csv" if rows.dev else None,
            folder / "report.json",
            base_encoder=workplace.base_encoder,
            seed=seed,
            device=workplace.device,
            max_seconds=workplace.max_seconds,
            model_dir=model,
            unlabelled=further,
            teacher=teacher,
            progress=trained,
        )
        best, answered = _labels(model, folder / "test.csv", workplace.device)
    figures = {"accuracy": report["accuracy"], "macro_f1": report["macro_f1"]}
    truth = [row.intent for row in rows.test]
    if OUT_OF_SCOPE in truth:
        figures |= scope_figures(truth, best, answered)
        figures["in_scope_accuracy_unseen"] = accuracy_unseen(rows, answered, without=OUT_OF_SCOPE)
    else:
        figures["accuracy_unseen"] = accuracy_unseen(rows, best)
    spans = report["details"]["spans"]
    if spans is not None:
        figures["slot_f1"] = spans["f1"]
    figures |= trust_figures(report)
    figures |= {key: report[key] for key in ("seconds", "training_seconds", "tokens_per_second")}
    kept = ("examples", "recipe", "calibration", "training", "base_encoder", "adaptation")
    details: dict[str, Any] = {key: report[key] for key in kept}
    details["training"] = {key: report["training"][key] for key in ("steps", "best_epoch", "stopped")}
    return Measured(figures, details)


def trust_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """How far the test's probabilities can be believed, from a report of `evaluate`.

    Calibration error without and with the temperature, over the in-scope texts; the area under the risk-coverage curve
    over all texts, of which out-of-scope ones have no right answer; the share that the artifact answers.
    """
    calibration, abstention = report["details"]["calibration"], report["details"]["abstention"]
    return {
        "ece_before": calibration["ece_before"],
        "ece_after": calibration["ece"],
        "risk_coverage_area": abstention["aurc"],
        "answered": 1.0 - report["rejection"]["rejected"],
    }


def _labels(model: Path, test: Path, device: Any) -> tuple[list[str], list[str]]:
    """For each test text the best known label, and the answer: that label, or `oos` where it is rejected."""
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.modeling.annotations import read_labelled_csv
    from intent_tracking.modeling.examples import examples_from_labelled, model_inputs

    inputs = model_inputs(examples_from_labelled(read_labelled_csv(test), "test", datetime(1970, 1, 1, tzinfo=UTC)))
    predictions = IntentPredictor.load(model, device).predict(inputs)
    best = [
        next((score.name for score in found.intents if score.name != OUT_OF_SCOPE), OUT_OF_SCOPE)
        for found in predictions
    ]
    answered = [OUT_OF_SCOPE if found.out_of_scope else label for found, label in zip(predictions, best, strict=True)]
    return best, answered


def scope_figures(truth: Sequence[str], best: Sequence[str], answered: Sequence[str]) -> dict[str, float]:
    """In-scope accuracy with rejections counted as wrong, without them, and out-of-scope recall and precision."""
    rows = list(zip(truth, best, answered, strict=True))
    inside = [row for row in rows if row[0] != OUT_OF_SCOPE]
    outside = [row for row in rows if row[0] == OUT_OF_SCOPE]
    rejected = sum(row[2] == OUT_OF_SCOPE for row in rows)
    caught = sum(row[2] == OUT_OF_SCOPE for row in outside)
    return {
        "in_scope_accuracy": sum(row[0] == row[2] for row in inside) / len(inside),
        "in_scope_accuracy_plain": sum(row[0] == row[1] for row in inside) / len(inside),
        "oos_recall": caught / len(outside),
        "oos_precision": caught / rejected if rejected else 0.0,
    }


def accuracy_unseen(rows: UtteranceSet, answered: Sequence[str], *, without: str | None = None) -> float:
    """Accuracy over the test texts whose words do not stand in train; those labelled `without` do not count."""
    pairs = zip(rows.test, seen_in_train(rows), answered, strict=True)
    fresh = [row.intent == label for row, seen, label in pairs if not seen and row.intent != without]
    return sum(fresh) / len(fresh)


def linear_svm(workplace: Workplace, seed: int, *, name: str, shots: int | None = None) -> Measured:
    """The line to beat: TF-IDF and a linear SVM, trained on the same rows, scored on the same test.

    English: words and pairs of words beside 2- to 5-grams of characters within words; Chinese: 1- to 3-grams of
    characters. Out-of-scope queries are neither trained on nor scored: the SVM has no way to say so.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    rows = _in_scope(rows_of(workplace, name, shots, seed))
    workplace.say(f"{len(rows.train):,} texts")
    if rows.train[0].language == "zh":
        features = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    else:
        features = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )
    model = make_pipeline(features, LinearSVC(random_state=seed))
    model.fit([row.text for row in rows.train], [row.intent for row in rows.train])
    answered = [str(label) for label in model.predict([row.text for row in rows.test])]
    truth = [row.intent for row in rows.test]
    figures = {
        "accuracy": sum(a == b for a, b in zip(truth, answered, strict=True)) / len(truth),
        "macro_f1": float(f1_score(truth, answered, average="macro", zero_division=0)),
        "accuracy_unseen": accuracy_unseen(rows, answered),
    }
    return Measured(figures, {"examples": {"train": len(rows.train), "test": len(rows.test)}})


def _in_scope(rows: UtteranceSet) -> UtteranceSet:
    train, test = (tuple(row for row in part if row.intent != OUT_OF_SCOPE) for part in (rows.train, rows.test))
    return replace(rows, train=train, test=test)
