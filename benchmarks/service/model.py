"""The models that are served, trained on public texts in a minute: speed does not depend on how well they learned."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks.quality.unit import public_data
from intent_tracking.artifact import Manifest
from intent_tracking.datasets.dialogues import read_multidogo
from intent_tracking.datasets.rows import Utterance
from intent_tracking.datasets.utterances import read_clinc150
from intent_tracking.modeling.annotations import LabelledText, Slot
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.export import choose_golden, export_artifact
from intent_tracking.modeling.onnx_backend import INT8_FILE
from intent_tracking.modeling.onnx_export import ServedGraph, int8_graph
from intent_tracking.modeling.training import fine_tune
from intent_tracking.settings import PACKAGED_ENCODER

TRAINING_SECONDS = 60.0
_INTENT_TEXTS, _SLOT_TEXTS = 3000, 1000
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def texts() -> list[str]:
    """Distinct short texts in a fixed random order: those of CLINC150."""
    rows = read_clinc150(public_data().require("clinc150"))
    found = sorted({row.text for split in (rows.train, rows.dev, rows.test) for row in split})
    random.Random(0).shuffle(found)
    return found


def make_models(folder: Path, seconds: float = TRAINING_SECONDS) -> tuple[Path, Path]:
    """Train MiniLM on CLINC150's 150 intents and MultiDoGO's key information; write it to `folder` twice.

    The two artifacts differ in their temperature, hence in every probability: an answer tells which of them gave it.
    """
    examples = _examples()
    dataset = prepare_dataset(examples, PACKAGED_ENCODER)
    training = fine_tune(dataset, work_dir=folder / ".work", device="cpu", max_seconds=seconds)
    graph = ServedGraph(INT8_FILE, int8_graph(training.model, dataset))
    made = []
    for version, temperature in (("bench-a", 1.0), ("bench-b", 1.25)):
        manifest: Manifest = export_artifact(
            folder / version,
            version=version,
            dataset=dataset,
            training=training,
            calibration=Calibration(temperature=temperature),
            graph=graph,
            golden_inputs=choose_golden(examples),
        )
        made.append(folder / manifest.version)
    return made[0], made[1]


def _examples() -> pa.Table:
    data = public_data()
    intents, slots = read_clinc150(data.require("clinc150")), read_multidogo(data.require("multidogo"), ["finance"])
    parts = []
    for split, share in (("train", 1.0), ("dev", 0.1)):
        rows = [
            *_spread(intents.split(split), int(share * _INTENT_TEXTS)),  # type: ignore[arg-type]
            *_spread(slots.split(split), int(share * _SLOT_TEXTS)),  # type: ignore[arg-type]
        ]
        name = "train" if split == "train" else "validation"
        parts.append(examples_from_labelled([_labelled(row) for row in rows], name, _NOW))  # type: ignore[arg-type]
    return pa.concat_tables(parts)


def _spread(rows: tuple[Utterance, ...], limit: int) -> list[Utterance]:
    """Rows over the whole file, which is sorted by intent."""
    return list(rows[:: max(1, len(rows) // limit)][:limit])


def _labelled(row: Utterance) -> LabelledText:
    slots = tuple(Slot(name=span.name, start=span.start, end=span.end) for span in row.spans or ())
    return LabelledText(text=row.text, intent=row.intent, slots=slots)
