"""The commands `evaluate` and `predict`: labelled files in, a report out; texts in, predictions out."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from intent_tracking.evaluation.held_back import hold_back
from intent_tracking.evaluation.training_time import about_tokens, default_seconds
from intent_tracking.events.contract import Scene
from intent_tracking.modeling.annotations import AnnotationError, LabelledText, read_labelled_csv
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.settings import PACKAGED_ENCODER
from intent_tracking.tables import atomic_write_text, require_writable, where_not_utf8

if TYPE_CHECKING:
    from intent_tracking.inference import ModelInput, Prediction
    from intent_tracking.modeling.recipe import Recipe
    from intent_tracking.modeling.training_result import Progress

Device = Literal["auto", "cpu", "cuda"]

_STREAM = 1024


def evaluate_command(
    train: Path,
    test: Path,
    dev: Path | None,
    report: Path,
    *,
    base_encoder: str = PACKAGED_ENCODER,
    seed: int = 0,
    device: Device = "auto",
    max_seconds: float | None = None,
    recipe: Recipe | None = None,
    model_dir: Path | None = None,
    unlabelled: Path | None = None,
    augment: int = 0,
    edits: Sequence[str] = (),
    teacher: Path | None = None,
    layers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune on `train`, choose and calibrate on `dev`, score on `test`, and write `report` and pictures beside it.

    Without `dev`, a tenth of `train` is held back, and at most about 500 texts of it (`held_back`); where most texts
    have a label with fewer than 20 all of them train, and nothing is calibrated.

    A rejection counts as the answer `oos` only where `train`, `dev` or the teacher know that label, or texts have sets
    of labels, of which it is the empty one; else the figures are those of the best label. `rejection` of the report
    says which, what the artifact rejects, and how good it is.

    Args:
        train, test, dev: CSV files with the columns `text,intent` and optionally `scene,language,slots`.
        report: JSON file to write; pictures go into the folder `<report name>_pictures` beside it.
        base_encoder: hub id, local folder or the packaged MiniLM.
        seed: of everything random.
        device: where to train.
        max_seconds: training time to stay within; None: on a CPU, without a recipe, `default_seconds`, and as much
            again for `unlabelled`.
        recipe: how to train; None: chosen from the data.
        augment: how often each training text is written anew, to be learned beside it.
        edits: names of `EDITS`, by which it is; empty: the defaults.
        model_dir: keep the trained artifact there, in place of one that is there.
        unlabelled: texts, one a line, that the encoder reads before it is fine-tuned, together with those of `train`;
            with `max_seconds` half of the time goes there, and of more than `MOST_TEXTS` different ones so many are
            drawn by hash. With a teacher, which labels them, all of them are trained on, in the scene that most of
            `train` stands in.
        teacher: artifact to distil into a smaller model; it stands on the teacher's encoder, not on `base_encoder`.
        layers: of the teacher's that the smaller model keeps; None: half of them.
        progress: called during training.

    Returns:
        The content of the report.

    Raises:
        AnnotationError: a file is not as described; file, line and column are named. Or no label of `test` is known.
        ArtifactError: the teacher is not a whole, unchanged artifact.
        EncoderError: the base encoder cannot be had.
        FileExistsError: `model_dir` holds anything else than an intent model.
        OSError: no file can be written where the report should be.
        ValueError: the teacher does not know a label of `train`, or has no more than `layers`; there is no such edit;
            what is written would take the place of what is read.
    """
    import pyarrow as pa

    from intent_tracking.artifact import INTENT_MODEL, require_place
    from intent_tracking.evaluation.report import evaluate_predictions
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.modeling.adaptation import MOST_TEXTS, drawn_texts
    from intent_tracking.modeling.augmentation import Augmentation, chosen_edits
    from intent_tracking.modeling.distillation import unlabelled_examples
    from intent_tracking.modeling.examples import examples_from_labelled, model_inputs
    from intent_tracking.modeling.export import train_artifact
    from intent_tracking.modeling.hardware import choose_device
    from intent_tracking.modeling.multi_label import answer_scores
    from intent_tracking.modeling.pretraining import adapt_encoder
    from intent_tracking.modeling.splits import words_of
    from intent_tracking.sessions.render import render_utterance

    if layers is not None and teacher is None:
        raise ValueError("layers is the size of a student: give its teacher too (--teacher), the folder of an artifact")
    augmentation = chosen_edits(edits, augment)
    if model_dir is not None:
        require_place(model_dir, INTENT_MODEL)
        require_writable(model_dir)
    if report.is_dir():
        raise OSError(f"{report}: is a folder; name a file in a folder that is yours")
    _require_apart(report, model_dir, teacher, [file for file in (train, test, dev, unlabelled) if file is not None])
    require_writable(report)
    began = time.monotonic()
    train_rows, test_rows = read_labelled_csv(train), read_labelled_csv(test)
    if not LabelSet.of((row.intent for row in train_rows), ()).intent_classes and not any(
        row.slots for row in train_rows
    ):
        raise AnnotationError(
            f"{train}, column intent: each row is {train_rows[0].intent!r}; give texts of two labels at least"
        )
    dev_rows = read_labelled_csv(dev) if dev is not None else None
    seen = {words_of(row.text) for row in train_rows}
    seen_in_train = sum(words_of(row.text) in seen for row in test_rows)
    known = {OUT_OF_SCOPE_LABEL, *_names([*train_rows, *(dev_rows or ())])}
    if teacher is None and known.isdisjoint(_names(test_rows)):
        raise AnnotationError(
            f"{test}, column intent: training knows none of its labels, {test_rows[0].intent!r} for one; "
            "give a test of the labels that are trained on"
        )
    if dev_rows is None:
        train_rows, dev_rows = hold_back(train_rows, seed)
    lines = [] if unlabelled is None else _lines(unlabelled)
    if unlabelled is not None and not lines:
        raise ValueError(f"{unlabelled}: holds no text; give texts, one a line, or leave it out")
    read = [*(row.text for row in train_rows), *(lines if teacher is not None else ())]
    if max_seconds is None and recipe is None and choose_device(device).type == "cpu":
        max_seconds = default_seconds(len(train_rows), (1 + augment) * about_tokens(read))
        if unlabelled is not None and teacher is None:
            max_seconds *= 2
    # Labelled files carry no times: a fixed one keeps the dataset's fingerprint a function of the files.
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    lost: Counter[str] = Counter()
    tables = [
        examples_from_labelled(train_rows, "train", moment, lost),
        examples_from_labelled(dev_rows, "validation", moment, lost),
    ]
    held_out = examples_from_labelled(test_rows, "test", moment, lost)
    pictures = report.parent / f"{report.stem}_pictures"
    with tempfile.TemporaryDirectory(prefix="intent-evaluate-") as temporary:
        target = model_dir if model_dir is not None else Path(temporary) / "model"
        adapted, left_out = None, 0
        if unlabelled is not None and teacher is not None:
            [(scene, _)] = Counter(row.scene for row in train_rows).most_common(1)
            tables.append(unlabelled_examples(lines, scene, moment))
        elif unlabelled is not None:
            # Drawn before they are prepared, which takes longer than what there is time to read.
            lines, left_out = drawn_texts(lines, MOST_TEXTS, seed)
            texts = chain(
                tables[0]["text"].to_pylist(),
                (render_utterance(line, Scene.CUSTOMER_SERVICE).text for line in lines),
            )
            time_to_read = None if max_seconds is None else max_seconds / 2
            adapted = adapt_encoder(
                texts, base_encoder, Path(temporary) / "encoder", seed=seed, max_seconds=time_to_read, device=device
            )
            if max_seconds is not None:
                # To prepare long texts may take more than its half: something is left to learn the labels.
                max_seconds = max(max_seconds - adapted.adaptation.seconds, max_seconds / 4)
        trained = train_artifact(
            pa.concat_tables(tables),
            target,
            version=target.name,
            work_dir=Path(temporary) / "work",
            base_encoder=base_encoder if adapted is None else str(adapted.folder),
            adaptation=None if adapted is None else adapted.adaptation,
            champion=teacher,
            augment=augment,
            augmentation=augmentation,
            student=teacher is not None,
            layers=layers,
            seed=seed,
            device=device,
            max_seconds=max_seconds,
            recipe=recipe,
            # Nothing goes on from a folder that is gone with the command.
            checkpoint_seconds=math.inf,
            progress=progress,
        )
        predictor = IntentPredictor.load(target, device)
        started = time.monotonic()
        predictions = predictor.predict(model_inputs(held_out))
        predicting = time.monotonic() - started
    # The test's labels decide nothing: where training names nothing out of scope, "none of these" is no answer of the
    # task, and the best label counts, however unsure. What the artifact would reject is said beside it.
    # Of sets of labels the empty one is an answer like any other, whether or not training shows it.
    several, known = predictor.labels.multi_label, {row.intent for row in (*train_rows, *dev_rows)}
    counted = several or predictor.labels.out_of_scope_class or OUT_OF_SCOPE_LABEL in known
    served = predictions
    if not counted:
        predictions = [replace(prediction, out_of_scope=False) for prediction in predictions]
    training = trained.training
    history: list[tuple[float, float, float]]
    history = [(entry.epoch + 1, entry.loss, entry.scores.get("score", math.nan)) for entry in training.history]
    # Each run of several is a curve of its own.
    later = [run * training.recipe.epochs + 0.5 for run in range(1, training.recipe.runs)]
    history = sorted([*history, *((place, math.nan, math.nan) for place in later)])
    figures = evaluate_predictions(
        held_out,
        predictions,
        trained.manifest.labels,
        pictures,
        history=history,
        kept=training.kept_pass,
        calibration=trained.calibration,
        multi_label=several,
    ).to_dict()
    content: dict[str, Any] = {
        "accuracy": _value(figures["accuracy"]),
        "macro_f1": _value(figures["macro_f1"]),
        "per_class": {
            entry["label"]: {name: entry[name] for name in ("precision", "recall", "f1", "support")}
            for entry in figures["classes"]
        },
    }
    rejection = _as_served([row.intent for row in test_rows], served)
    if OUT_OF_SCOPE_LABEL in content["per_class"]:
        # What the artifact does, whether or not that counts as an answer.
        content["out_of_scope_recall"] = rejection["out_of_scope_recall"]
        content["in_scope_accuracy"] = rejection["in_scope_accuracy"]
    if several:
        answered = [prediction.labels for prediction in predictions]
        content["label_sets"] = answer_scores([row.intent for row in test_rows], answered, predictor.labels.intents)
    content["rejection"] = {
        "counted": counted,
        "rejects": figures["rejects"],
        **rejection,
    }
    content |= {
        "seconds": round(time.monotonic() - began, 3),
        "training_seconds": round(training.seconds, 3),
        "tokens_per_second": round(training.tokens_per_second, 1),
        "prediction_texts_per_second": round(len(predictions) / max(predicting, 1e-9), 1),
        "examples": {"train": len(train_rows), "dev": len(dev_rows), "test": len(test_rows)},
        "unknown_labels": unknown_labels(
            [row.intent for row in test_rows], trained.manifest.labels, multi_label=several
        ),
        "unknown_scenes": dict(
            sorted(Counter(row.scene for row in test_rows if row.scene not in predictor.scenes).items())
        ),
        "seen_in_train": seen_in_train,
        "slots_left_out": dict(lost),
        "training": {
            "steps": training.steps,
            "best_epoch": training.best_epoch,
            "stopped": training.stopped,
            "passes": round(training.passes, 3),
            "max_seconds": max_seconds,
            "history": [entry.model_dump() for entry in training.history],
        },
        "recipe": training.recipe.model_dump(),
        "calibration": trained.calibration.model_dump(mode="json"),
        "base_encoder": trained.manifest.base_encoder,
        "teacher": trained.manifest.parent,
        "augmentation": {"times": augment, **(augmentation or Augmentation()).model_dump()} if augment else None,
        "adaptation": None if adapted is None else adapted.adaptation.model_dump() | {"texts_left_out": left_out},
        "seed": seed,
        "pictures": {name: str(pictures / file) for name, file in figures["pictures"].items()},
        "details": figures,
    }
    atomic_write_text(report, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    return content


def _require_apart(report: Path, model_dir: Path | None, teacher: Path | None, read: Sequence[Path]) -> None:
    """Nothing where report and model are written beside what is read, and apart.

    Raises:
        ValueError: one would take the place of an input, or the report would lie in the model's folder.
    """
    for file in read:
        if file.exists() and report.exists() and file.samefile(report):
            raise ValueError(f"{report}: is read, and the report would take its place; name another file")
    if model_dir is not None and report.resolve().is_relative_to(model_dir.resolve()):
        raise ValueError(f"{report}: the folder {model_dir} is for the model alone; name a file in another one")
    if model_dir is not None and teacher is not None and model_dir.resolve() == teacher.resolve():
        raise ValueError(f"{model_dir}: is the teacher, and its student would take its place; name another folder")


def _names(rows: Sequence[LabelledText]) -> set[str]:
    """Each label of the rows, and of a set each of its names."""
    from intent_tracking.modeling.multi_label import names_in

    return {name for row in rows for name in (row.intent, *names_in(row.intent))}


def _lines(path: Path) -> list[str]:
    """Each line that holds more than blanks.

    Raises:
        ValueError: the file is not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} {where_not_utf8(path)}") from error
    return [line for line in lines if line.strip()]


def _as_served(truth: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, float | None]:
    """Share of the texts that the artifact rejects, and how good it is if each rejection counts.

    The out-of-scope recall is None where no text is labelled `oos`, the in-scope accuracy where all are.
    """
    answered = [prediction.label for prediction in predictions]
    foreign = [answer for intent, answer in zip(truth, answered, strict=True) if intent == OUT_OF_SCOPE_LABEL]
    inside = [intent == answer for intent, answer in zip(truth, answered, strict=True) if intent != OUT_OF_SCOPE_LABEL]
    return {
        "rejected": sum(prediction.out_of_scope for prediction in predictions) / len(predictions),
        "accuracy": sum(map(eq, truth, answered)) / len(answered),
        "in_scope_accuracy": sum(inside) / len(inside) if inside else None,
        "out_of_scope_recall": foreign.count(OUT_OF_SCOPE_LABEL) / len(foreign) if foreign else None,
    }


def unknown_labels(truth: Sequence[str], known: Sequence[str], *, multi_label: bool = False) -> dict[str, int]:
    """Labels of the test that the model does not have, and how many texts have each: none of those can be right.

    For a model that gives one label `a|b` is one more name, which it does not have.
    """
    from intent_tracking.modeling.multi_label import names_in

    names = Counter(name for intent in truth for name in (names_in(intent) if multi_label else (intent,)))
    return {name: count for name, count in sorted(names.items()) if name not in {*known, OUT_OF_SCOPE_LABEL}}


def _value(figure: Any) -> float:
    return float(figure["value"] if isinstance(figure, dict) else figure)


def predict_command(
    model: Path,
    texts: Iterable[str],
    *,
    scene: str | None = None,
    device: Device = "auto",
    batch_size: int = 64,
    top_k: int = 5,
) -> Iterator[dict[str, Any]]:
    """Predict `texts` in order, a block of 1,024 at a time, as JSON-ready answers.

    `scene` is that of all of them; None: as `scene_for` has it.

    Raises:
        ArtifactError: `model` is not a whole, unchanged artifact.
        ValueError: neither the contract nor the model knows `scene`.
    """
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.sessions.render import render_utterance

    predictor = IntentPredictor.load(model, device)
    scene = scene_for(scene, predictor.scenes)
    source = iter(texts)
    while block := list(islice(source, _STREAM)):
        inputs = [render_utterance(text, scene) for text in block]
        for text, entry, answer in zip(
            block, inputs, predictor.predict(inputs, batch_size=batch_size, top_k=top_k), strict=True
        ):
            yield _answer(text, entry, answer, predictor.version)


def scene_for(asked: str | None, learned: Sequence[str]) -> str:
    """The scene of texts for a model of the `learned` scenes: the one that is `asked` for, else customer service.

    A model of one scene alone is asked in that one. A misspelt scene would be one that nobody knows.

    Raises:
        ValueError: what is asked for is neither one of the contract nor one that the model learned.
    """
    scene = asked or (learned[0] if len(learned) == 1 else Scene.CUSTOMER_SERVICE)
    known = list(dict.fromkeys([*map(str, Scene), *learned]))
    if scene not in known:
        raise ValueError(f"no scene is called {scene!r}; there are {', '.join(known)}")
    return str(scene)


def _answer(text: str, entry: ModelInput, answer: Prediction, version: str) -> dict[str, Any]:
    from intent_tracking.sessions.render import free_text_with_offsets

    # The model read scrubbed text: spans go back to the words as they were given.
    back = free_text_with_offsets(text).map_span.inverted()
    spans = [(span.name, *back(span.start, span.end)) for span in answer.key_information]
    return {
        "text": text,
        "scene": str(entry.scene),
        "language": entry.language,
        "intent": answer.label,
        "intents": [{"name": score.name, "probability": round(score.probability, 6)} for score in answer.intents],
        "out_of_scope": answer.out_of_scope,
        "key_information": [
            {"name": name, "value": text[start:end], "start": start, "end": end} for name, start, end in spans
        ],
        "model_version": version,
    }
