"""Texts a second, p50 and memory of each runtime of one model, side by side on the same texts.

    python -m benchmarks.bench_inference [--texts 640] [--rounds 5] [--threads 2]

The model is the packaged MiniLM with untrained heads for 77 intents: its speed is that of a trained one. Rounds of all
runtimes alternate, so that what else the machine does meets each of them; the best round counts. Memory is what a fresh
process of its own grows by when it holds the runtime and has answered one batch.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from intent_tracking.modeling.encoder import find_encoder, load_encoder
from intent_tracking.modeling.model import IntentModel, ModelConfig
from intent_tracking.modeling.onnx_backend import OnnxBackend
from intent_tracking.modeling.onnx_export import float_graph
from intent_tracking.modeling.predicting import Backend, Outputs, TorchBackend, pad
from intent_tracking.modeling.quantising import NetworkInput, input_ranges, quantised
from intent_tracking.settings import PACKAGED_ENCODER

INTENTS, BATCH, SEED = 77, 32, 0
LENGTHS = {"short texts": (6, 20), "sessions of 100 tokens": (100, 100)}


class Bf16Backend:
    """Torch with bf16 autocast on the CPU, which nothing serves with: the line that int8 must beat."""

    run_tokens = 96

    def __init__(self, model: IntentModel) -> None:
        self._model = model

    def run(self, ids: np.ndarray, mask: np.ndarray, features: np.ndarray, scenes: np.ndarray) -> Outputs:
        """See `Backend.run`."""
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            output = self._model(torch.from_numpy(ids), torch.from_numpy(mask))
        return Outputs(*(None if part is None else part.float().numpy() for part in output))


def make_model() -> IntentModel:
    """The packaged encoder with untrained heads."""
    base = find_encoder(PACKAGED_ENCODER)
    encoder = load_encoder(base)
    rows = encoder.get_input_embeddings().weight.shape[0]  # type: ignore[operator,union-attr]
    torch.manual_seed(SEED)
    config = ModelConfig(
        encoder=base.config(), base_vocabulary=rows, max_tokens=128, intent_classes=INTENTS, tags=0, outcome=False
    )
    return IntentModel(config, encoder).eval()


def make_batches(texts: int, lengths: tuple[int, int], size: int) -> list[NetworkInput]:
    """Random words of the vocabulary between the marks of a text, in batches of like length."""
    random = np.random.default_rng(SEED)
    sizes = np.sort(random.integers(lengths[0], lengths[1] + 1, texts))
    rows = [[101, *random.integers(1000, 30_000, size - 2).tolist(), 102] for size in sizes]
    groups = [rows[start : start + size] for start in range(0, texts, size)]
    return [(*pad(group), np.zeros((len(group), 0), np.float32), np.zeros(len(group), np.int64)) for group in groups]


def answer(backend: Backend, batches: list[NetworkInput]) -> list[float]:
    """Seconds of each batch."""
    seconds = []
    for batch in batches:
        begin = time.perf_counter()
        backend.run(*batch)
        seconds.append(time.perf_counter() - begin)
    return seconds


def measure(backends: dict[str, Backend], texts: int, rounds: int) -> None:
    """Print a table for each kind of text."""
    for name, lengths in LENGTHS.items():
        many, single = make_batches(texts, lengths, BATCH), make_batches(min(texts, 50), lengths, 1)
        rates: dict[str, list[float]] = {key: [] for key in backends}
        alone: dict[str, list[float]] = {key: [] for key in backends}
        for backend in backends.values():
            answer(backend, many[-1:] + single[:1])
        for _ in range(rounds):
            for key, backend in backends.items():
                rates[key].append(texts / sum(answer(backend, many)))
                alone[key] += answer(backend, single)
        first = next(iter(backends))
        print(f"\n{name}, {texts} in batches of {BATCH}, best of {rounds} rounds")
        print(f"{'runtime':24}{'texts/s':>10}{'ratio':>8}{'one text, p50':>16}{'ratio':>8}")
        for key in backends:
            rate, p50 = max(rates[key]), statistics.median(alone[key])
            print(
                f"{key:24}{rate:10.0f}{rate / max(rates[first]):7.2f}x{1e3 * p50:13.2f} ms"
                f"{statistics.median(alone[first]) / p50:7.2f}x"
            )


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def memory_of(kind: str, file: str) -> None:
    """Print by how many MB this process grows when it loads the runtime `kind` and answers a batch."""
    import onnxruntime  # noqa: F401 - libraries are not counted, they are the same for every model

    if kind == "torch":
        import transformers.models.bert.modeling_bert  # noqa: F401
    batches = make_batches(BATCH, (100, 100), BATCH)
    before = resident()
    backend: Backend = (
        TorchBackend(make_model(), torch.device("cpu")) if kind == "torch" else OnnxBackend(Path(file).read_bytes())
    )
    answer(backend, batches)
    print(f"{resident() - before:.0f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.memory:
        memory_of(*chosen.memory)
        return
    model = make_model()
    cpu = torch.device("cpu")
    begin = time.perf_counter()
    exact = float_graph(model)
    exported = time.perf_counter()
    with quantised(model, input_ranges(model, make_batches(128, (6, 100), 16))):
        small = float_graph(model)
    done = time.perf_counter()
    print(f"export: float32 {exported - begin:.1f} s, {len(exact) / 1e6:.0f} MB; ", end="")
    print(f"int8 {done - exported:.1f} s, {len(small) / 1e6:.0f} MB; {chosen.threads} threads")
    backends: dict[str, Backend] = {
        "torch float32": TorchBackend(model, cpu),
        "torch bf16": Bf16Backend(model),
        "ONNX float32": OnnxBackend(exact),
        "ONNX int8": OnnxBackend(small),
        "ONNX int8, spinning": OnnxBackend(small, spinning=True),
    }
    measure(backends, chosen.texts, chosen.rounds)
    print("\nmemory that a process gains")
    with tempfile.TemporaryDirectory() as folder:
        for kind, content in {"torch float32": b"", "ONNX float32": exact, "ONNX int8": small}.items():
            file = Path(folder) / "graph.onnx"
            file.write_bytes(content)
            command = [sys.executable, "-m", "benchmarks.bench_inference", "--threads", str(chosen.threads)]
            command += ["--memory", kind.split()[0], str(file)]
            grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"{kind:24}{float(grown):7.0f} MB")


if __name__ == "__main__":
    main()
