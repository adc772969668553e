"""Each head alone and all heads together, on the simulator's shop: `python -m benchmarks.bench_heads [--full]`.

Intent, key information and purchase are learned from the same sessions: once with the labels of one head only, once
with all of them, with the same recipe and seed. Prints the test figures of each seed and their means; key information
is counted by the tags of words (`tag_f1`), not by whole spans. Without `--full` the size shows that it runs; its
figures mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import inf
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch

from intent_tracking.events.ingest import collect
from intent_tracking.events.simulator import SimulationConfig, simulate
from intent_tracking.events.validate import validate
from intent_tracking.features.batch import features_at
from intent_tracking.features.catalogue import USER_FEATURES
from intent_tracking.modeling.annotations import read_annotations
from intent_tracking.modeling.batching import ExampleArrays
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.examples import build_examples
from intent_tracking.modeling.hardware import has_fast_bf16
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from intent_tracking.modeling.training_result import Progress
from intent_tracking.modeling.validation import run_split, scores_of
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.texts import session_texts
from intent_tracking.settings import PACKAGED_ENCODER
from intent_tracking.text.linguistics import Analysis

HEADS = {"intent": "macro_f1", "slots": "tag_f1", "outcome": "outcome_auc"}


@dataclass(frozen=True)
class Size:
    """The simulated shop, passes over its examples, and how many of each split are kept."""

    days: int
    sessions_per_day: int
    epochs: int
    train: int
    held_out: int


SMOKE = Size(days=6, sessions_per_day=60, epochs=1, train=96, held_out=64)
FULL = Size(days=21, sessions_per_day=200, epochs=4, train=2400, held_out=1000)


class _NoTrees:
    """The model reads no trees, so none are made."""

    def analyse(self, texts: Iterable[str]) -> Sequence[Analysis]:
        return [Analysis(text, ()) for text in texts]


def shop_examples(home: Path, size: Size) -> pa.Table:
    """Training examples of a simulated shop, with every label that there is."""
    config = SimulationConfig(days=size.days, sessions_per_day=size.sessions_per_day)
    simulate(config, home)
    days = [config.start + timedelta(days=place) for place in range(size.days)]
    events = pa.concat_tables(validate(raw, day).accepted for day, raw in collect(home, days))
    sessions = pa.concat_tables(sessionise(events, day) for day in days)
    texts = session_texts(sessions, {"en": _NoTrees(), "zh": _NoTrees()})
    texts = texts.filter(pc.equal(texts["kind"], "session"))

    def known_then(points: pa.Table) -> pa.Table:
        asked = points.rename_columns(["entity", "point_time"])
        return features_at(events, asked, USER_FEATURES).drop_columns(["entity", "point_time"])

    built = build_examples(
        ds.dataset(texts),
        read_annotations(sorted((home / "annotations").glob("*.jsonl"))),
        known_then,
        sessions=ds.dataset(sessions),
        until=datetime.combine(days[-1] + timedelta(days=1), time(), UTC),
        validation_days=max(1, size.days // 7),
        test_days=max(1, size.days // 7),
        seed=0,
    ).table
    return pa.concat_tables(
        built.filter(pc.equal(built["split"], split)).slice(0, wanted)
        for split, wanted in (("train", size.train), ("validation", size.held_out), ("test", size.held_out))
    )


def without(examples: pa.Table, heads: Iterable[str]) -> pa.Table:
    """The examples with the labels of `heads` taken away."""
    for head in heads:
        place = examples.schema.get_field_index(head)
        empty = pa.nulls(len(examples), examples.schema.field(head).type)
        examples = examples.set_column(place, examples.schema.field(head), empty)
    return examples


def measure(examples: pa.Table, heads: Sequence[str], epochs: int, seed: int) -> dict[str, float]:
    """Test figures of one model that learns `heads`."""

    def progress(at: Progress) -> None:
        print(f"\r\033[K{' and '.join(heads)}: step {at.step}/{at.steps}", end="", file=sys.stderr, flush=True)

    dataset = prepare_dataset(without(examples, HEADS.keys() - set(heads)), PACKAGED_ENCODER)
    fast = has_fast_bf16(torch.device("cpu"))
    recipe = Recipe(epochs=epochs, batch_size=16, learning_rate=2e-4, patience=epochs, bf16=fast)
    with tempfile.TemporaryDirectory() as work:
        trained = fine_tune(
            dataset,
            work_dir=Path(work),
            recipe=recipe,
            seed=seed,
            device="cpu",
            checkpoint_seconds=inf,
            progress=progress,
        )
    test = ExampleArrays.of(
        dataset.split("test"), len(dataset.info.features), dataset.info.scenes, dataset.labels.set_size
    )
    return scores_of(run_split(trained.model, test, torch.device("cpu"), bf16=False))


def main() -> None:
    """Train four models of each seed, and print their figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the size whose figures mean something")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    asked = parser.parse_args()
    size = FULL if asked.full else SMOKE
    with tempfile.TemporaryDirectory() as home:
        examples = shop_examples(Path(home), size)
    counts = {head: len(examples) - examples[head].null_count for head in HEADS}
    print(f"{size}; labelled: {counts}", flush=True)
    found: dict[tuple[str, str], list[float]] = {}
    for seed in asked.seeds:
        joint = measure(examples, list(HEADS), size.epochs, seed)
        for head, figure in HEADS.items():
            alone = measure(examples, [head], size.epochs, seed)
            for way, scores in (("alone", alone), ("joint", joint)):
                if figure in scores:
                    found.setdefault((head, way), []).append(scores[figure])
        print(
            f"\r\033[Kseed {seed}: " + ", ".join(f"{' '.join(key)} {got[-1]:.3f}" for key, got in found.items()),
            flush=True,
        )
    print(f"{'head':10} {'figure':12} {'alone':>16} {'joint':>16}   {len(asked.seeds)} seeds")
    for head, figure in HEADS.items():
        print(f"{head:10} {figure:12}", *(_cell(found.get((head, way), [])) for way in ("alone", "joint")))


def _cell(values: Sequence[float]) -> str:
    if not values:
        return f"{'-':>16}"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{f'{statistics.fmean(values):.3f}{spread}':>16}"


if __name__ == "__main__":
    main()
