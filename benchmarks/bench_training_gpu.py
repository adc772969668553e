"""Speed of training on a GPU: the usual recipe against packed batches, and MFU on real tokens.

    python -m benchmarks.bench_training_gpu [--steps 60] [--rounds 3] [--texts-per-step 1024 4096]

A BERT of base size with random weights and 77 labels learns random texts as long as Banking77's. Speed does not depend
on what the words are.

* usual: transformers' Trainer, every text padded to 128 tokens, float32, batches of 32, its defaults else;
* ours: the step that `fine_tune` takes, packed, bf16, fused AdamW, in batches of 32 and in large ones. As always, the
  rows of the base encoder's words are not trained;
* ours, layers compiled: the same after `torch.compile` of each layer, which the product leaves out.

Rounds alternate; the first steps of each, a batch with the longest texts and what is compiled for it among them, are
not timed; the median round counts. Real tokens are those of the texts, padding left out. MFU is counted as
`benchmarks.utilisation` says, against the best bf16 product measured on the device and against its data sheet.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.utilisation import datasheet_peak, measured_peak, training_flops, wait_for
from intent_tracking.modeling.batching import ExampleArrays, plan_pass
from intent_tracking.modeling.dataset import TOKENIZED_SCHEMA
from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.model import IntentModel, ModelConfig
from intent_tracking.modeling.optimizer import make_optimizer
from intent_tracking.modeling.packing import why_padded
from intent_tracking.modeling.processes import Processes
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.stepping import Stepper

Shape = dict[str, str | int | float | None]

INTENTS, WIDTH, SMALL_BATCH, WARM_UP, SEED = 77, 128, 32, 10, 0
BASE: Shape = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
# Tokens of Banking77's 10,003 training texts by BERT's words, [CLS] and [SEP] included (mean 16.2): which share of the
# texts is at most so long.
QUANTILES = {0.0: 4, 0.1: 9, 0.25: 11, 0.5: 13, 0.75: 17, 0.9: 28, 0.99: 53, 1.0: 98}


@dataclass(frozen=True)
class Speed:
    """Of one way to train, per second: real tokens, and operations of the products on them."""

    tokens: float
    flops: float


def make_examples(texts: int, vocabulary: int) -> ExampleArrays:
    """Random texts of Banking77's lengths with random labels."""
    random = np.random.default_rng(SEED)
    lengths = np.interp(random.random(texts), list(QUANTILES), list(QUANTILES.values())).round().astype(int).tolist()
    rows = [
        {
            "example_id": str(place),
            "split": "train",
            "scene": "customer_service",
            "input_ids": random.integers(5, vocabulary, length).tolist(),
            "tags": [IGNORED] * length,
            "intent": int(random.integers(INTENTS)),
            "weight": 1.0,
            "features": [],
        }
        for place, length in enumerate(lengths)
    ]
    return ExampleArrays.of(pa.Table.from_pylist(rows, TOKENIZED_SCHEMA), 0)


def batches(examples: ExampleArrays, size: int) -> Iterator[list[int]]:
    """Places of full batches, pass after pass."""
    for epoch in count():
        for places in plan_pass(examples.lengths, size, SEED, epoch, always=[True] * len(examples)):
            if len(places) == size:
                yield places


def speed_of(encoder: Any, lengths: Sequence[int], seconds: float) -> Speed:
    """What training on texts of these lengths in so many seconds comes to."""
    return Speed(sum(lengths) / seconds, training_flops(encoder, lengths) / seconds)


def ours(
    shape: Shape, examples: ExampleArrays, size: int, steps: int, device: torch.device, *, compiled: bool = False
) -> Speed:
    """Steps of `fine_tune` on packed batches; in bf16 on a GPU."""
    torch.manual_seed(SEED)
    config = ModelConfig(
        encoder=shape,
        base_vocabulary=int(shape["vocab_size"] or 0),
        max_tokens=WIDTH,
        intent_classes=INTENTS,
        tags=0,
        outcome=False,
    )
    model = IntentModel(config)
    recipe = Recipe(epochs=1, batch_size=size, learning_rate=1e-4, bf16=device.type == "cuda")
    padded = why_padded(model.encoder.config, device, bf16=recipe.bf16)
    if device.type == "cuda" and padded is not None:
        raise SystemExit(f"batches cannot be packed here: {padded}")
    model.freeze_base_rows()
    model.to(device)
    if compiled:
        for layer in model.encoder.encoder.layer:
            layer.compile(dynamic=True)
    weights = torch.ones(INTENTS, device=device)
    optimizer = make_optimizer(model, recipe)
    stepper = Stepper(model, optimizer, recipe, weights, None, Processes(device), packed=True, seed=SEED)
    began, lengths, known = 0.0, [], examples.lengths
    longest = sorted(range(len(known)), key=lambda place: known[place])[-size:]
    for number, places in enumerate(islice(chain([longest], batches(examples, size)), WARM_UP + steps)):
        if number == WARM_UP:
            wait_for(device)
            began = time.perf_counter()
        stepper.step(examples, places, number, 1.0)
        if number >= WARM_UP:
            lengths += [known[place] for place in places]
    wait_for(device)
    return speed_of(model.encoder, lengths, time.perf_counter() - began)


def usual(shape: Shape, examples: ExampleArrays, size: int, steps: int, device: torch.device) -> Speed:
    """transformers' Trainer with its defaults: float32, every text padded to `WIDTH`."""
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )

    torch.manual_seed(SEED)
    options = {name: value for name, value in shape.items() if name != "model_type"}
    model = BertForSequenceClassification(BertConfig(**options, num_labels=INTENTS))
    rows = []
    for ids, intent in zip(examples.ids, examples.intents.tolist(), strict=True):
        padding = [0] * (WIDTH - len(ids))
        mask = [1] * len(ids) + padding
        rows.append({"input_ids": ids.tolist() + padding, "attention_mask": mask, "labels": intent})
    seen: list[list[int]] = []
    clock: list[float] = []

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append([sum(row["attention_mask"]) for row in features])
        batch: dict[str, Any] = default_data_collator(features)
        return batch

    class Clock(TrainerCallback):
        def on_step_end(self, _arguments: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step in (WARM_UP, WARM_UP + steps):
                wait_for(device)
                clock.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=size,
            max_steps=WARM_UP + steps,
            dataloader_drop_last=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=device.type == "cpu",
            dataloader_pin_memory=device.type == "cuda",
            seed=SEED,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,  # type: ignore[arg-type]
            data_collator=collate,
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    # Batches are collated in the order of their steps, one ahead.
    lengths = [length for batch in seen[WARM_UP : WARM_UP + steps] for length in batch]
    return speed_of(model.bert, lengths, clock[1] - clock[0])


def compare(
    shape: Shape, device: torch.device, *, steps: int, rounds: int, large: Sequence[int], product: int = 8192
) -> list[str]:
    """Lines of the table; see the module's words."""
    on_gpu = device.type == "cuda"
    examples = make_examples(max(8192 if on_gpu else 0, 4 * max(large)), int(shape["vocab_size"] or 0))
    ways: dict[str, Callable[[], Speed]] = {
        f"usual, batches of {SMALL_BATCH}": lambda: usual(shape, examples, SMALL_BATCH, steps, device)
    }
    for size in (SMALL_BATCH, *large):
        # `bench_training --ablation` has this row for a CPU.
        for words, compiled in (("", False), (", layers compiled", True)) if on_gpu else (("", False),):
            ways[f"ours, batches of {size}{words}"] = partial(
                ours, shape, examples, size, steps, device, compiled=compiled
            )
    found: dict[str, list[Speed]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            speed = way()
            found[name].append(speed)
            print(f"round {number + 1} of {rounds}: {name}: {speed.tokens:.0f} tokens/s", file=sys.stderr, flush=True)
    middle = {
        name: Speed(statistics.median(s.tokens for s in each), statistics.median(s.flops for s in each))
        for name, each in found.items()
    }
    peak = measured_peak(device, torch.bfloat16, product)
    sheet = datasheet_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    first = next(iter(middle.values())).tokens
    sheet_words = "unknown" if sheet is None else f"{sheet / 1e12:.0f}"
    lines = [
        f"peak of bf16 products, TFLOP/s: {peak / 1e12:.3f} measured, {sheet_words} by the data sheet",
        "| way | real tokens/s | times the usual | MFU, of the measured peak | MFU, of the data sheet |",
        "|---|---|---|---|---|",
    ]
    for name, speed in middle.items():
        of_sheet = "-" if sheet is None else f"{100 * speed.flops / sheet:.1f}%"
        ratio = f"{speed.tokens / first:.1f}"
        lines.append(f"| {name} | {speed.tokens:.0f} | {ratio} | {100 * speed.flops / peak:.1f}% | {of_sheet} |")
    return lines


def main() -> None:
    """See the module's words."""
    parser = argparse.ArgumentParser(description="Speed of training on a GPU.")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts-per-step", type=int, nargs="+", default=[1024, 4096])
    given = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit(
            "bench_training_gpu: no GPU is visible to torch; benchmarks/bench_training.py measures on a CPU"
        )
    if torch.cuda.device_count() > 1:
        raise SystemExit(
            "bench_training_gpu: Trainer would split its batches over all GPUs; set CUDA_VISIBLE_DEVICES=0"
        )
    device = torch.device("cuda", 0)
    lines = compare(BASE, device, steps=given.steps, rounds=given.rounds, large=given.texts_per_step)
    sys.stdout.write("\n".join([torch.cuda.get_device_name(device), *lines]) + "\n")


if __name__ == "__main__":
    main()
