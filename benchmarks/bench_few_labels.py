"""What each part of the recipe for few labels is worth: `python -m benchmarks.bench_few_labels`.

Banking77, so many training texts a label, one training each (`evaluate` averages three). Each way takes one part back,
or adds a supervised contrastive term (Khosla et al. 2020) against the last texts that were seen, with their labels.
Prints a table of mean test accuracy and its spread. A smoke run is `--shots 1 --seeds 1 --test 100`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks.bench_augmentation import accuracy, written_anew
from benchmarks.quality.texts import few_shot
from benchmarks.quality.unit import public_data
from intent_tracking.datasets.utterances import read_banking77
from intent_tracking.modeling import dataset, stepping
from intent_tracking.modeling.intent_head import IntentHead

_PASSES = 12
# Texts that each text is drawn to or pushed from: more than one pass has.
_BANK = 1024
_TEMPERATURE = 0.1
_WEIGHT = 0.5


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _without_names() -> Iterator[None]:
    with _replaced(dataset, "name_examples", lambda train, intents: train.schema.empty_table()):
        yield


@contextmanager
def _random_prototypes() -> Iterator[None]:
    with _replaced(IntentHead, "start_from", lambda self, prototypes, rows: None):
        yield


@contextmanager
def _contrastive() -> Iterator[None]:
    heads = stepping.loss_of
    bank: list[tuple[torch.Tensor, torch.Tensor]] = []

    def loss_of(output: Any, batch: Any, by_class: Any, recipe: Any) -> torch.Tensor:
        labels = batch.intents[: batch.own]
        texts = functional.normalize(output.pooled[: batch.own].float(), dim=1)
        total = heads(output, batch, by_class, recipe)
        if bank:
            others, theirs = (torch.cat(parts) for parts in zip(*bank, strict=True))
            logs = functional.log_softmax(texts @ others.t() / _TEMPERATURE, dim=1)
            same = (labels[:, None] == theirs).float()
            has = same.sum(1) > 0
            total = total - _WEIGHT * ((logs * same).sum(1)[has] / same.sum(1)[has]).sum() / batch.of_texts
        bank.append((texts.detach(), labels))
        while sum(len(labels) for _, labels in bank) > _BANK:
            bank.pop(0)
        return total

    with _replaced(stepping, "loss_of", loss_of):
        yield


WAYS: dict[str, Callable[[], Any]] = {
    "prototypes, names": _as_it_is,
    "without names": _without_names,
    "prototypes start at random": _random_prototypes,
    "a contrastive term beside": _contrastive,
}


def main() -> None:
    """Train every way with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=3080, help="test texts, from the start of the file")
    options = parser.parse_args()
    rows = read_banking77(public_data().require("banking77"))
    print(f"Banking77, {options.shots} texts a label, {_PASSES} passes, {options.seeds} seeds")
    print("| way | accuracy | spread | seconds |\n|---|---|---|---|")
    for name, way in WAYS.items():
        scores: list[float] = []
        began = time.monotonic()
        for seed in range(options.seeds):
            train = written_anew(few_shot(rows.train, options.shots, seed), None, 1, seed)
            with tempfile.TemporaryDirectory() as folder, way():
                scores.append(accuracy(train, rows.test[: options.test], _PASSES, seed, Path(folder)))
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        seconds = time.monotonic() - began
        print(f"| {name} | {100 * statistics.mean(scores):.2f} | {100 * spread:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
