"""The command `evaluate`: labelled files in, a report and pictures out."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intent_tracking.evaluation.labelled_files import LabelledFiles, read_texts, remarks, require_places, unknown_labels
from intent_tracking.evaluation.training_time import about_tokens, default_seconds
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.settings import PACKAGED_ENCODER, Device
from intent_tracking.tables import atomic_write_text

if TYPE_CHECKING:
    from intent_tracking.inference import IntentPredictor, Prediction
    from intent_tracking.modeling.adaptation import AdaptationProgress
    from intent_tracking.modeling.export import TrainedArtifact
    from intent_tracking.modeling.recipe import Recipe
    from intent_tracking.modeling.training_result import Progress

# Labelled files carry no times: a fixed one keeps the dataset's fingerprint a function of the files.
_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
_CONFLICTS_SHOWN = 20


@dataclass(frozen=True, eq=False)
class _Answered:
    """A model and its answers to the test, as it serves them.

    Attributes:
        predictions: one for each test text, in order.
        counted: whether a rejection is an answer of the task.
        seconds: that they took.
    """

    predictor: IntentPredictor
    predictions: list[Prediction]
    counted: bool
    seconds: float


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
    reading: Callable[[AdaptationProgress], None] | None = None,
    remark: Callable[[str], None] | None = None,
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
        reading: called while the encoder reads `unlabelled`.
        remark: told, before anything is trained, what is amiss with the files.

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

    from intent_tracking.artifact import INTENT_MODEL, require_place, verify
    from intent_tracking.evaluation.report import evaluate_predictions
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.modeling.adaptation import MOST_TEXTS, drawn_texts
    from intent_tracking.modeling.augmentation import Augmentation, chosen_edits
    from intent_tracking.modeling.distillation import unlabelled_examples
    from intent_tracking.modeling.examples import examples_from_labelled, model_inputs
    from intent_tracking.modeling.export import train_artifact
    from intent_tracking.modeling.hardware import choose_device
    from intent_tracking.modeling.labels import LabelSet
    from intent_tracking.modeling.loading import load_config, load_labels
    from intent_tracking.modeling.pretraining import adapt_encoder
    from intent_tracking.sessions.render import render_utterance

    if layers is not None and teacher is None:
        raise ValueError("layers is the size of a student: give its teacher too (--teacher), the folder of an artifact")
    augmentation = chosen_edits(edits, augment)
    if model_dir is not None:
        # The name is the model's version, which `.` is not.
        model_dir = model_dir.resolve()
        require_place(model_dir, INTENT_MODEL)
    pictures = report.parent / f"{report.stem}_pictures"
    given = [file for file in (train, test, dev, unlabelled) if file is not None]
    require_places(report, pictures, model_dir, teacher, given)
    taught: LabelSet | None = None
    scenes: tuple[str, ...] = ()
    if teacher is not None:
        verify(teacher)
        taught, scenes = load_labels(teacher), load_config(teacher).scenes
    began = time.monotonic()
    files = LabelledFiles.read(train, test, dev, seed=seed, taught=taught)
    further = [] if unlabelled is None else read_texts(unlabelled)
    if remark is not None:
        intents = [*(row.intent for row in files.train), *(() if taught is None else taught.class_names())]
        labels = LabelSet.of(intents, (), multi_label=taught is not None and taught.multi_label)
        for words in remarks(files, train, test, dev, labels, {*scenes, *(row.scene for row in files.train)}):
            remark(words)
    if max_seconds is None and recipe is None and choose_device(device).type == "cpu":
        in_a_pass = [*(row.text for row in files.train), *(further if teacher is not None else ())]
        max_seconds = default_seconds(len(files.train), (1 + augment) * about_tokens(in_a_pass))
        if further and teacher is None:
            max_seconds *= 2
    time_to_train = max_seconds
    lost: Counter[str] = Counter()
    tables = [
        examples_from_labelled(files.train, "train", _MOMENT, lost),
        examples_from_labelled(files.dev, "validation", _MOMENT, lost),
    ]
    held_out = examples_from_labelled(files.test, "test", _MOMENT, lost)
    with tempfile.TemporaryDirectory(prefix="intent-evaluate-") as temporary:
        work = Path(temporary)
        target = model_dir if model_dir is not None else work / "model"
        adapted, left_out = None, 0
        if further and teacher is not None:
            tables.append(unlabelled_examples(further, files.usual_scene, _MOMENT))
        elif further:
            # Drawn before they are prepared, which takes longer than what there is time to read.
            drawn, left_out = drawn_texts(further, MOST_TEXTS, seed)
            rendered = (render_utterance(text, files.usual_scene).text for text in drawn)
            adapted = adapt_encoder(
                chain(tables[0]["text"].to_pylist(), rendered),
                base_encoder,
                work / "encoder",
                seed=seed,
                max_seconds=None if max_seconds is None else max_seconds / 2,
                device=device,
                progress=reading,
            )
            if max_seconds is not None:
                # To prepare long texts may take more than its half: something is left to learn the labels.
                time_to_train = max(max_seconds - adapted.adaptation.seconds, max_seconds / 4)
        trained = train_artifact(
            pa.concat_tables(tables),
            target,
            version=target.name,
            work_dir=work / "work",
            base_encoder=base_encoder if adapted is None else str(adapted.folder),
            adaptation=None if adapted is None else adapted.adaptation,
            champion=teacher,
            augment=augment,
            augmentation=augmentation,
            student=teacher is not None,
            layers=layers,
            seed=seed,
            device=device,
            max_seconds=time_to_train,
            recipe=recipe,
            # Nothing goes on from a folder that is gone with the command.
            checkpoint_seconds=math.inf,
            progress=progress,
        )
        predictor = IntentPredictor.load(target, device)
        started = time.monotonic()
        predictions = predictor.predict(model_inputs(held_out))
        # The test's labels decide nothing: where training names nothing out of scope, "none of these" is no answer of
        # the task, and the best label counts, however unsure. What the artifact would reject is said beside it.
        # Of sets of labels the empty one is an answer like any other, whether or not training shows it.
        knows = predictor.labels.multi_label or predictor.labels.out_of_scope_class or files.names_out_of_scope
        answered = _Answered(predictor, predictions, bool(knows), time.monotonic() - started)
    earlier = _pictures_in(pictures)
    figures = evaluate_predictions(
        held_out,
        answered.predictions,
        trained.manifest.labels,
        pictures,
        history=trained.training.learning_curve,
        kept=trained.training.kept_pass,
        calibration=trained.calibration,
        multi_label=predictor.labels.multi_label,
        rejection_counted=answered.counted,
    ).to_dict()
    content = {
        **_figures(figures, files, answered),
        "seconds": round(time.monotonic() - began, 3),
        **_about_training(trained, time_to_train),
        "prediction_texts_per_second": round(len(predictions) / max(answered.seconds, 1e-9), 1),
        **_about_files(files, predictor, lost),
        "unlabelled": len(further) - left_out,
        "augmentation": {"times": augment, **(augmentation or Augmentation()).model_dump()} if augment else None,
        "adaptation": None if adapted is None else adapted.adaptation.model_dump() | {"texts_left_out": left_out},
        "seed": seed,
        "pictures": {name: str(pictures / file) for name, file in figures["pictures"].items()},
        "details": figures,
    }
    atomic_write_text(report, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    for name in earlier - set(figures["pictures"].values()):
        (pictures / name).unlink(missing_ok=True)
    return content


def summary(content: Mapping[str, Any]) -> str:
    """The content of a report as one line."""
    training, recipe, rejection = content["training"], content["recipe"], content["rejection"]
    spans, recall = content["details"]["spans"], content.get("out_of_scope_recall")
    parts = [f"accuracy {content['accuracy']:.4f}", f"macro-F1 {content['macro_f1']:.4f}"]
    if spans is not None:
        parts.append(f"key information F1 {spans['f1']:.4f}")
    if recall is not None:
        parts.append(f"out-of-scope recall {recall:.4f}")
    if not content["examples"]["dev"]:
        parts.append("(too few texts a label to hold any back: not calibrated)")
    if not rejection["counted"]:
        parts.append(f"(served, it rejects {rejection['rejected']:.1%}: accuracy {rejection['accuracy']:.4f})")
    if training["stopped"] == "time":
        parts.append(f"(the time was over after {training['passes']:.1f} of {recipe['epochs']} passes)")
    if training["runs"] < recipe["runs"]:
        parts.append(f"(time for {training['runs']} of {recipe['runs']} trainings)")
    if content["adaptation"] is not None and content["adaptation"]["stopped"] == "time":
        parts.append("(the time to read unlabelled texts was over before all were read)")
    return "  ".join([*parts, f"{content['seconds']:.0f} s", f"{content['tokens_per_second']:.0f} tokens/s"])


def _pictures_in(folder: Path) -> set[str]:
    """Files that an earlier evaluation drew in `folder`, by its report there."""
    try:
        drawn = json.loads((folder / "report.json").read_text(encoding="utf-8"))["pictures"].values()
        return {name for name in drawn if Path(name).name == name}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        # Whatever else lies there is not ours to remove.
        return set()


def _figures(figures: dict[str, Any], files: LabelledFiles, answered: _Answered) -> dict[str, Any]:
    """How good the answers are: by what is judged, and by what is served."""
    content: dict[str, Any] = {
        "accuracy": _value(figures["accuracy"]),
        "macro_f1": _value(figures["macro_f1"]),
        "per_class": {
            entry["label"]: {name: entry[name] for name in ("precision", "recall", "f1", "support")}
            for entry in figures["classes"]
        },
    }
    rejection = _as_served(figures, files.truth, answered.predictions)
    if OUT_OF_SCOPE_LABEL in content["per_class"]:
        # What the artifact does, whether or not that counts as an answer.
        content["out_of_scope_recall"] = rejection["out_of_scope_recall"]
        content["in_scope_accuracy"] = rejection["in_scope_accuracy"]
    if answered.predictor.labels.multi_label:
        content["label_sets"] = {name: _value(figures[name]) for name in ("accuracy", "macro_f1", "micro_f1")}
    content["rejection"] = {"counted": answered.counted, "rejects": figures["rejects"], **rejection}
    return content


def _about_training(trained: TrainedArtifact, max_seconds: float | None) -> dict[str, Any]:
    training = trained.training
    return {
        "training_seconds": round(training.seconds, 3),
        "tokens_per_second": round(training.tokens_per_second, 1),
        "training": {
            "runs": training.runs,
            "steps": training.steps,
            "best_epoch": training.best_epoch,
            "stopped": training.stopped,
            "passes": training.passes,
            "max_seconds": max_seconds,
            "history": [entry.model_dump() for entry in training.history],
        },
        "recipe": training.recipe.model_dump(),
        "calibration": trained.calibration.model_dump(mode="json"),
        "base_encoder": trained.manifest.base_encoder,
        "teacher": trained.manifest.parent,
    }


def _about_files(files: LabelledFiles, predictor: IntentPredictor, lost: Counter[str]) -> dict[str, Any]:
    labels = predictor.labels
    return {
        "examples": {"train": len(files.train), "dev": len(files.dev), "test": len(files.test)},
        "unknown_labels": unknown_labels(files.truth, labels.class_names(), multi_label=labels.multi_label),
        "unknown_slots": files.unknown_slots,
        "unknown_scenes": files.unknown_scenes(predictor.scenes),
        "seen_in_train": files.seen_in_train,
        "conflicts": {"texts": len(files.conflicts), "some": dict(islice(files.conflicts.items(), _CONFLICTS_SHOWN))},
        "dev": None if files.about_dev is None else asdict(files.about_dev),
        "slots_left_out": dict(lost),
    }


def _as_served(
    figures: dict[str, Any], truth: Sequence[str], predictions: Sequence[Prediction]
) -> dict[str, float | None]:
    """Share of the texts that the artifact rejects, and how good it is if each rejection counts.

    The out-of-scope recall is None where no text is labelled `oos`, the in-scope accuracy where all are.
    """
    right = [intent == prediction.label for intent, prediction in zip(truth, predictions, strict=True)]
    return {
        "rejected": sum(prediction.out_of_scope for prediction in predictions) / len(predictions),
        "accuracy": sum(right) / len(right),
        "in_scope_accuracy": figures["in_scope_accuracy"],
        "out_of_scope_recall": figures["out_of_scope"]["recall"],
    }


def _value(figure: Any) -> float:
    return float(figure["value"] if isinstance(figure, dict) else figure)
