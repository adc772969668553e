"""Speed of training beside the usual recipes: `python -m benchmarks.bench_training [--smoke] [--ablation]`.

Banking77 with its 77 labels, MiniLM, the same number of threads, float32 for all but where bf16 pays for ours:

* usual: transformers' Trainer, every text padded to 128 tokens, batches of 32, AdamW;
* dynamic: the same, each batch padded to its longest text (`DataCollatorWithPadding`);
* ours: `fine_tune` with the recipe that it chooses from the data.

Rounds alternate, so that what else the machine does meets all three; each trains in a process of its own, so that no
setting of one reaches another. Real tokens are those that are no padding. Ours reads a token or two more of each text,
its scene and event, so the ratio of texts is given too, which that does not flatter. Then each learns every fifth label
until it is right on the same share of held-out texts; the clock of Trainer runs while it trains only, ours from the
call of `fine_tune`, its start and its validation included. Trainer gets our learning rate and schedule: its default of
5e-5 learns this task later. `--ablation` instead measures ours with one choice taken back at a time.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.quality.texts import few_shot
from benchmarks.quality.unit import machine, public_data
from intent_tracking.datasets.rows import Utterance
from intent_tracking.datasets.tasks import task
from intent_tracking.settings import PACKAGED_ENCODER

WIDTH, BATCH, RATE, WARMUP = 128, 32, 2e-4, 0.06
TARGETS = {"usual": 12.0, "dynamic": 4.0}
# For time to accuracy: every fifth label, so many training texts of each, at most so many passes.
EVERY, SHOTS, HELD_OUT, PASSES = 5, 40, 20, 12
ACCURACY = 0.97
# What `--ablation` takes back, by the words that its table says.
TAKEN_BACK = {
    "length buckets": "batches in random order",
    "frozen base word rows": "the whole word table is trained",
    "freed memory kept": "glibc gives it back after each step",
    "no dropout of attention": "attention weights are dropped, by torch's own dropout",
    "dropout by bytes": "torch's own dropout, attention weights kept",
    "fused AdamW": "AdamW, one parameter after the other",
    "number format": "bf16 instead of float32, or the other way round",
}


@dataclass(frozen=True)
class Measured:
    """What was trained on, padding left out, and the seconds that it took."""

    tokens: float
    texts: float
    seconds: float

    @property
    def tokens_rate(self) -> float:
        """Real tokens per second."""
        return self.tokens / self.seconds

    @property
    def texts_rate(self) -> float:
        """Texts per second."""
        return self.texts / self.seconds


@dataclass(frozen=True)
class Reached:
    """When held-out accuracy first was what was asked for, and what it was at the last look."""

    seconds: float
    accuracy: float
    passes: int


def texts(shots: int | None = None) -> tuple[list[Utterance], list[Utterance]]:
    """Training and held-out texts of Banking77: all, or `shots` of every fifth label."""
    wanted = task("banking77")
    rows = wanted.read(public_data().require(wanted.dataset))
    if shots is None:
        return list(rows.train), []
    labels = set(sorted({row.intent for row in rows.train})[::EVERY])
    return (
        list(few_shot([row for row in rows.train if row.intent in labels], shots, 0)),
        list(few_shot([row for row in rows.test if row.intent in labels], HELD_OUT, 0)),
    )


class UsualRecipe:
    """Trainer; `padded` to 128 or by the batch."""

    def __init__(self, padded: bool) -> None:
        from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast, default_data_collator

        from intent_tracking.modeling.encoder import find_encoder

        self._folder = find_encoder(PACKAGED_ENCODER).folder
        self._padded = padded
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
        self._tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(self._folder / "tokenizer.json"), **names)
        self._collate: Any = default_data_collator if padded else DataCollatorWithPadding(self._tokenizer)

    def _encoded(self, rows: Sequence[Utterance], labels: Sequence[str]) -> list[dict[str, Any]]:
        padding: Any = "max_length" if self._padded else "do_not_pad"
        found = self._tokenizer([row.text for row in rows], padding=padding, truncation=True, max_length=WIDTH)
        return [
            {"input_ids": ids, "attention_mask": mask, "labels": labels.index(row.intent)}
            for row, ids, mask in zip(rows, found["input_ids"], found["attention_mask"], strict=True)
        ]

    def _train(self, rows: Sequence[Utterance], watch: Callable[[Any, Any], None], each: str) -> None:
        """Train; `watch(model, control)` is called after each `step` or `epoch`."""
        import torch
        from transformers import (
            AutoModelForSequenceClassification,
            PrinterCallback,
            Trainer,
            TrainerCallback,
            TrainingArguments,
        )

        labels = sorted({row.intent for row in rows})
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(self._folder, num_labels=len(labels))

        class Watch(TrainerCallback):
            pass

        def called(_self: Any, args: Any, state: Any, control: Any, **_: Any) -> Any:
            watch(model, control)
            return control

        setattr(Watch, f"on_{each}_end", called)
        with tempfile.TemporaryDirectory() as folder:
            steps = PASSES * -(-len(rows) // BATCH)
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                num_train_epochs=PASSES,
                learning_rate=RATE,
                warmup_steps=int(WARMUP * steps),
                optim="adamw_torch",
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
                dataloader_pin_memory=False,
                seed=0,
            )
            trainer = Trainer(
                model=model,
                args=arguments,
                train_dataset=self._encoded(rows, labels),
                data_collator=self._collate,
                callbacks=[Watch()],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()

    def run(self, seconds: float) -> Measured:
        """Train for about so long; the first step, which prepares much, is not counted."""
        began = last = 0.0
        seen, counted = [0, 0], (0, 0)
        hooked = False

        def watch(model: Any, control: Any) -> None:
            nonlocal began, last, hooked, counted
            last = time.perf_counter()
            if not hooked:
                hooked, began = True, last

                def count(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
                    seen[0] += int(kwargs["attention_mask"].sum())
                    seen[1] += len(kwargs["attention_mask"])

                model.register_forward_pre_hook(count, with_kwargs=True)
            counted = (seen[0], seen[1])
            control.should_training_stop = last - began >= seconds

        self._train(texts()[0], watch, "step")
        return Measured(*counted, last - began)

    def reach(self, accuracy: float) -> Reached:
        """Train until held-out accuracy is reached or the passes end; looking does not count."""
        import torch

        rows, held_out = texts(SHOTS)
        labels = sorted({row.intent for row in rows})
        tests = self._encoded(held_out, labels)
        spent, passes, right = 0.0, 0, 0.0
        going = time.perf_counter()

        def watch(model: Any, control: Any) -> None:
            nonlocal spent, passes, right, going
            spent += time.perf_counter() - going
            passes += 1
            model.eval()
            with torch.inference_mode():
                found = [self._collate(tests[first : first + BATCH]) for first in range(0, len(tests), BATCH)]
                good = sum(int((model(**batch).logits.argmax(1) == batch["labels"]).sum()) for batch in found)
            model.train()
            right = good / len(tests)
            control.should_training_stop = right >= accuracy
            going = time.perf_counter()

        self._train(rows, watch, "epoch")
        return Reached(spent, right, passes)


class OurRecipe:
    """`fine_tune` by its defaults, less the choice named `without`."""

    def __init__(self, without: str | None = None) -> None:
        self._without = without
        if without is not None:
            take_back(without)

    def run(self, seconds: float) -> Measured:
        """Train for about so long, the first step included."""
        from intent_tracking.modeling.hardware import choose_device, has_fast_bf16
        from intent_tracking.modeling.recipe import choose_recipe
        from intent_tracking.modeling.training import fine_tune

        rows = texts()[0]
        dataset = self._dataset(rows, [])
        lengths = [len(ids) for ids in dataset.table["input_ids"].to_pylist()]
        bf16 = has_fast_bf16(choose_device("cpu")) != (self._without == "number format")
        recipe = choose_recipe(len(lengths), len(dataset.labels.intents), lengths, bf16=bf16)
        with tempfile.TemporaryDirectory() as folder:
            done = fine_tune(dataset, work_dir=Path(folder), recipe=recipe, device="cpu", max_seconds=seconds)
        tokens = done.tokens_per_second * done.seconds
        return Measured(tokens, tokens * len(lengths) / sum(lengths), done.seconds)

    def reach(self, accuracy: float) -> Reached:
        """Train until held-out accuracy is reached or the training ends by itself."""
        from intent_tracking.modeling.training import Progress, fine_tune

        rows, held_out = texts(SHOTS)
        dataset = self._dataset(rows, held_out)
        began = time.perf_counter()
        found = Reached(float("nan"), 0.0, 0)

        class _EnoughError(Exception):
            pass

        def watch(progress: Progress) -> None:
            nonlocal found
            found = Reached(time.perf_counter() - began, progress.scores.get("accuracy", 0.0), progress.epoch)
            if found.accuracy >= accuracy:
                raise _EnoughError

        with tempfile.TemporaryDirectory() as folder, suppress(_EnoughError):
            fine_tune(dataset, work_dir=Path(folder), device="cpu", progress=watch)
        return found

    def _dataset(self, rows: Sequence[Utterance], held_out: Sequence[Utterance]) -> Any:
        import pyarrow as pa

        from intent_tracking.modeling.annotations import LabelledText
        from intent_tracking.modeling.dataset import prepare_dataset
        from intent_tracking.modeling.examples import examples_from_labelled

        moment = datetime(1970, 1, 1, tzinfo=UTC)
        tables = [
            examples_from_labelled([LabelledText(text=row.text, intent=row.intent) for row in part], split, moment)
            for part, split in ((rows, "train"), (held_out, "validation"))
        ]
        return prepare_dataset(pa.concat_tables(tables), PACKAGED_ENCODER)


def take_back(choice: str) -> None:
    """Undo one choice in this process. The product has no switches for them: there is no reason to turn them off."""
    import torch

    from intent_tracking.modeling import assembly, batching, dropout, model, training

    if choice == "length buckets":
        batching._BUCKET = 1
    elif choice == "frozen base word rows":
        model.IntentModel.freeze_base_rows = lambda self: None  # type: ignore[method-assign]
    elif choice == "freed memory kept":
        training.keep_freed_memory = lambda: None
    elif choice == "fused AdamW":
        kind = torch.optim.AdamW
        torch.optim.AdamW = lambda settings, lr, fused: kind(settings, lr=lr)  # type: ignore
    elif choice in ("no dropout of attention", "dropout by bytes"):
        dropout.with_byte_dropout = lambda module: None
        if choice == "no dropout of attention":
            load = assembly.load_encoder

            def with_attention_dropout(base: Any) -> Any:
                encoder = load(base)
                for name, layer in encoder.named_modules():
                    if name.endswith("attention.self.dropout"):
                        layer.p = 0.1
                return encoder

            assembly.load_encoder = with_attention_dropout


def worker(orders: Connection, name: str, without: str | None, threads: int) -> None:
    """A process that trains in one way, each time that it is told to."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    recipe = OurRecipe(without) if name == "ours" else UsualRecipe(padded=name == "usual")
    orders.send("ready")
    while (order := orders.recv()) is not None:
        kind, amount = order
        orders.send(recipe.run(amount) if kind == "run" else recipe.reach(amount))


class Workers:
    """Processes by name, started one after the other."""

    def __init__(self, ways: dict[str, tuple[str, str | None]], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends: dict[str, Connection] = {}
        self._processes = []
        for title, (name, without) in ways.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=worker, args=(theirs, name, without, threads), daemon=True)
            process.start()
            theirs.close()
            self._ends[title], _ = ours, ours.recv()
            self._processes.append(process)

    def ask(self, title: str, kind: str, amount: float) -> Any:
        """The answer of one process; the others wait."""
        self._ends[title].send((kind, amount))
        return self._ends[title].recv()

    def rounds(self, count: int, seconds: float) -> dict[str, list[Measured]]:
        """Every process in turn, `count` times."""
        found: dict[str, list[Measured]] = {title: [] for title in self._ends}
        for _ in range(count):
            for title, measured in found.items():
                measured.append(self.ask(title, "run", seconds))
        return found

    def close(self) -> None:
        """End them."""
        for end in self._ends.values():
            end.send(None)
        for process in self._processes:
            process.join(30)


def ratios(faster: Sequence[Measured], slower: Sequence[Measured], of: str = "tokens_rate") -> list[float]:
    """Round by round."""
    return [getattr(one, of) / getattr(other, of) for one, other in zip(faster, slower, strict=True)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, least and largest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def speed(threads: int, rounds: int, seconds: float) -> None:
    """Real tokens per second, and the ratios."""
    workers = Workers({name: (name, None) for name in ("usual", "dynamic", "ours")}, threads)
    try:
        found = workers.rounds(rounds, seconds)
        print(f"\nreal tokens a second: median of {rounds} alternating rounds of {seconds:g} s (least to largest)")
        for name, measured in found.items():
            length = sum(each.tokens for each in measured) / sum(each.texts for each in measured)
            print(f"{name:10}{spread([each.tokens_rate for each in measured], 0):24}{length:5.1f} tokens a text")
        for name, target in TARGETS.items():
            tokens, seen = (ratios(found["ours"], found[name], of) for of in ("tokens_rate", "texts_rate"))
            print(f"ours / {name}: {spread(tokens)} in tokens, target {target:g}; {spread(seen)} in texts")
    finally:
        workers.close()


def time_to_accuracy(threads: int, accuracy: float) -> None:
    """Seconds until held-out accuracy is reached."""
    rows, held_out = texts(SHOTS)
    labels = len({row.intent for row in rows})
    print(
        f"\ntime to an accuracy of {accuracy:.2f} on {len(held_out)} held-out texts: {labels} labels, {len(rows)} texts"
    )
    workers = Workers({name: (name, None) for name in ("ours", "dynamic", "usual")}, threads)
    try:
        found: dict[str, Reached] = {}
        for name in ("ours", "dynamic", "usual"):
            found[name] = workers.ask(name, "reach", accuracy)
            there = "reached" if found[name].accuracy >= accuracy else "NOT reached"
            print(
                f"{name:10}{found[name].seconds:7.1f} s, {found[name].passes} passes, accuracy "
                f"{found[name].accuracy:.3f}: {there}"
            )
        for name in TARGETS:
            if found[name].accuracy >= accuracy <= found["ours"].accuracy:
                print(f"{name} / ours: {found[name].seconds / found['ours'].seconds:.1f} times as long")
    finally:
        workers.close()


def ablation(threads: int, rounds: int, seconds: float) -> None:
    """Ours with one choice taken back at a time, each beside ours as it is."""
    print(
        f"\nwhat each choice is worth: speed with it over speed without, {rounds} alternating rounds of {seconds:g} s"
    )
    for choice, instead in TAKEN_BACK.items():
        workers = Workers({"with": ("ours", None), "without": ("ours", choice)}, threads)
        try:
            found = workers.rounds(rounds, seconds)
            print(f"{choice:26}{spread(ratios(found['with'], found['without']), 2):22} else: {instead}", flush=True)
        finally:
            workers.close()


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 8.0
    accuracy: float = ACCURACY


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=Size.seconds, help="of each round")
    parser.add_argument("--rounds", type=int, default=Size.rounds)
    parser.add_argument("--accuracy", type=float, default=Size.accuracy, help="to reach on held-out texts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--ablation", action="store_true", help="what each of our choices is worth, instead")
    parser.add_argument("--smoke", action="store_true", help="shows that it runs; its figures mean nothing")
    chosen = parser.parse_args()
    size = Size(chosen.rounds, chosen.seconds, chosen.accuracy)
    if chosen.smoke:
        size = replace(size, rounds=1, seconds=0.5, accuracy=0.1)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{machine()}, transformers {version('transformers')}, accelerate {version('accelerate')}")
    print(
        f"{chosen.threads} threads each, load before: {load}, OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY')}, "
        f"{platform.system()}",
        flush=True,
    )
    if chosen.ablation:
        ablation(chosen.threads, size.rounds, size.seconds)
        return
    speed(chosen.threads, size.rounds, size.seconds)
    time_to_accuracy(chosen.threads, size.accuracy)


if __name__ == "__main__":
    main()
