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
5e-5 learns this task later. `--ablation` instead measures ours with one choice taken back at a time; that nothing is
compiled is one of them.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import platform
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.quality.unit import machine
from benchmarks.training_ways import SHOTS, Measured, OurRecipe, Reached, UsualRecipe, texts

TARGETS = {"usual": 12.0, "dynamic": 4.0}
ACCURACY = 0.97
COMPILED = "no torch.compile"
# Not counted: a layer is compiled for learning and for reading, with a mask and for texts of one length without.
COMPILING_ROUNDS = 3
# What `--ablation` takes back, by the words that its table says.
TAKEN_BACK = {
    "length buckets": "batches in random order",
    "frozen base word rows": "the whole word table is trained",
    "freed memory kept": "glibc gives it back after each step",
    "no dropout of attention": "attention weights are dropped, by torch's own dropout",
    "dropout by bytes": "torch's own dropout, attention weights kept",
    "attention in products": "torch's fused attention, in bf16 too",
    "fused AdamW": "AdamW, one parameter after the other",
    COMPILED: "each layer is compiled, for lengths that vary, with torch's own dropout",
    "number format": "bf16 instead of float32, or the other way round",
}


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


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call on a CPU; None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


def ablation(threads: int, rounds: int, seconds: float, choices: Sequence[str]) -> None:
    """Ours with one of `choices` taken back at a time, each beside ours as it is."""
    print(
        f"\nwhat each choice is worth: speed with it over speed without, {rounds} alternating rounds of {seconds:g} s"
    )
    for choice in choices:
        if choice == COMPILED and not compiler():
            print(f"{choice:26}not measured: torch.compile needs a C++ compiler; install g++, or name one in CXX")
            continue
        workers = Workers({"with": ("ours", None), "without": ("ours", choice)}, threads)
        try:
            if choice == COMPILED:
                workers.rounds(COMPILING_ROUNDS, seconds)
            found = workers.rounds(rounds, seconds)
            print(
                f"{choice:26}{spread(ratios(found['with'], found['without']), 2):22} else: {TAKEN_BACK[choice]}",
                flush=True,
            )
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
    parser.add_argument("--only", nargs="+", choices=TAKEN_BACK, default=list(TAKEN_BACK), help="rows of the ablation")
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
        ablation(chosen.threads, size.rounds, size.seconds, chosen.only)
        return
    speed(chosen.threads, size.rounds, size.seconds)
    time_to_accuracy(chosen.threads, size.accuracy)


if __name__ == "__main__":
    main()
