"""What each augmentation is worth with few labels: `python -m benchmarks.bench_augmentation [--shots 5] [--seeds 3]`.

Banking77, so many training texts a label. Each variant makes one kind of edit; all see the same number of texts and
steps: the texts are written anew for every `--fresh` passes. Prints a table of mean test accuracy and its spread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pyarrow as pa
import torch

from benchmarks.quality.texts import few_shot
from benchmarks.quality.unit import public_data
from intent_tracking.datasets.rows import Utterance
from intent_tracking.datasets.utterances import read_banking77
from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.augmentation import EDITS, Augmentation, augment
from intent_tracking.modeling.batching import ExampleArrays
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.hardware import has_fast_bf16
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from intent_tracking.modeling.validation import run_split
from intent_tracking.settings import PACKAGED_ENCODER

VARIANTS: dict[str, Augmentation | None] = {
    "none": None,
    **{edit: Augmentation.only([edit]) for edit in EDITS},
    "defaults": Augmentation(),
}


def written_anew(rows: Sequence[Utterance], config: Augmentation | None, times: int, seed: int) -> list[LabelledText]:
    """`times` versions of each row, the first as it is."""
    made: list[LabelledText] = []
    for time_over in range(times):
        for place, row in enumerate(rows):
            text = row.text
            if time_over and config is not None:
                text, _ = augment(text, [], row.language, Random(f"{seed}/{time_over}/{place}"), config)
            made.append(LabelledText(text=text, intent=row.intent, language=row.language))
    return made


def accuracy(train: list[LabelledText], test: Sequence[Utterance], passes: int, seed: int, folder: Path) -> float:
    """Test accuracy after `passes` passes over `train`."""
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    asked = [LabelledText(text=row.text, intent=row.intent, language=row.language) for row in test]
    tables = [examples_from_labelled(train, "train", moment), examples_from_labelled(asked, "test", moment)]
    dataset = prepare_dataset(pa.concat_tables(tables), PACKAGED_ENCODER)
    device = torch.device("cpu")
    recipe = Recipe(epochs=passes, batch_size=16, learning_rate=1e-4, bf16=has_fast_bf16(device))
    model = fine_tune(dataset, work_dir=folder, recipe=recipe, seed=seed, device="cpu").model
    outputs = run_split(model, ExampleArrays.of(dataset.split("test"), 0), device, bf16=recipe.bf16)
    return float((outputs.intent_logits.argmax(1) == outputs.intent_targets).mean())


def main() -> None:
    """Train every variant with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=12)
    parser.add_argument("--fresh", type=int, default=3, help="passes over the same writing of the texts")
    parser.add_argument("--test", type=int, default=3080, help="test texts, from the start of the file")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    rows = read_banking77(public_data().require("banking77"))
    print(f"Banking77, {options.shots}-shot, {options.passes} passes, {options.seeds} seeds")
    print("| edit | accuracy | spread | seconds |\n|---|---|---|---|")
    for name in options.variants:
        scores: list[float] = []
        began = time.monotonic()
        for seed in range(options.seeds):
            train = written_anew(
                few_shot(rows.train, options.shots, seed),
                VARIANTS[name],
                max(1, options.passes // options.fresh),
                seed,
            )
            with tempfile.TemporaryDirectory() as folder:
                scores.append(accuracy(train, rows.test[: options.test], options.fresh, seed, Path(folder)))
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        seconds = time.monotonic() - began
        print(f"| {name} | {100 * statistics.mean(scores):.2f} | {100 * spread:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
