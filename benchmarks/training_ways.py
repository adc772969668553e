"""The ways of training that `bench_training` compares: transformers' Trainer as it is usually run, and ours.

Its docstring says what is the same for all, and what is not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.quality.texts import few_shot
from benchmarks.quality.unit import public_data
from intent_tracking.datasets.rows import Utterance
from intent_tracking.datasets.tasks import task
from intent_tracking.settings import PACKAGED_ENCODER

WIDTH, BATCH, RATE, WARMUP = 128, 32, 2e-4, 0.06
# For time to accuracy: every fifth label, so many training texts of each, at most so many passes.
EVERY, SHOTS, HELD_OUT, PASSES = 5, 40, 20, 12


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
        from intent_tracking.modeling.training import fine_tune
        from intent_tracking.modeling.training_result import Progress

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
    """Undo one choice in this process. The product has no switches for them: there is no reason to turn them off.

    Raises:
        AttributeError: the product has no such name any more, so nothing would be taken back.
    """
    import torch

    from intent_tracking.modeling import assembly, batching, dropout, model, training

    if choice == "length buckets":
        _replace(batching, "_BUCKET", 1)
    elif choice == "frozen base word rows":
        _replace(model.IntentModel, "freeze_base_rows", lambda self: None)
    elif choice == "freed memory kept":
        _replace(training, "keep_freed_memory", lambda: None)
    elif choice == "fused AdamW":
        kind = torch.optim.AdamW
        _replace(torch.optim, "AdamW", lambda settings, lr, fused: kind(settings, lr=lr))
    elif choice in ("no dropout of attention", "dropout by bytes"):
        _replace(dropout, "with_byte_dropout", lambda module: None)
        if choice == "no dropout of attention":
            load = assembly.load_encoder

            def with_attention_dropout(base: Any) -> Any:
                encoder = load(base)
                dropped = [layer for name, layer in encoder.named_modules() if name.endswith("attention.self.dropout")]
                if not dropped:
                    raise ValueError(f"{base.name}: no layer drops attention weights by the name that is looked for")
                for layer in dropped:
                    layer.p = 0.1
                return encoder

            _replace(assembly, "load_encoder", with_attention_dropout)
    elif choice == "attention in products":
        _replace(training, "attend_for", lambda encoder, device, *, bf16: None)
    elif choice == "no torch.compile":
        attend = training.attend_for

        def attend_and_compile(encoder: Any, device: Any, *, bf16: bool) -> None:
            attend(encoder, device, bf16=bf16)
            # A layer compiled is all of them compiled. Each batch is as long as its longest text: a graph of one length
            # would be compiled again and again.
            for layer in encoder.encoder.layer:
                layer.compile(dynamic=True)

        # The compiler can draw masks beside the arithmetic, but for random bytes it leaves the graph.
        _replace(dropout, "with_byte_dropout", lambda module: None)
        _replace(training, "attend_for", attend_and_compile)
    elif choice != "number format":
        raise ValueError(f"there is no choice {choice!r} to take back")


def _replace(owner: Any, name: str, value: Any) -> None:
    """Set what is there; a name that is gone would be set without any effect, and the ablation would say 1.0."""
    getattr(owner, name)
    setattr(owner, name, value)
