"""How much of what a device can multiply a training uses: model FLOPs utilisation (MFU) on real tokens.

Counted as in Kaplan et al. 2020 and Chowdhery et al. 2022 ("PaLM", appendix B): six operations a token for each
parameter of a matrix product, forward and backward, and 12 for each layer, number of the states and token of the text
that the token attends to. Padding, embedding tables, norms, activations, heads and the optimiser count as nothing done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

# Dense bf16 products by the makers' data sheets, operations per second.
DATASHEET_FLOPS = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "L40S": 362e12,
}


def product_parameters(encoder: Any) -> int:
    """Parameters of the linear layers between the embeddings and the last states."""
    stack = encoder.transformer if encoder.config.model_type == "distilbert" else encoder.encoder
    return sum(int(part.weight.numel()) for part in stack.modules() if isinstance(part, nn.Linear))


def training_flops(encoder: Any, lengths: Sequence[int]) -> float:
    """Operations of one forward and backward pass over texts of these lengths, in real tokens."""
    config = encoder.config
    through_weights = 6.0 * product_parameters(encoder) * sum(lengths)
    attention = 12.0 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    return float(through_weights + attention)


def measured_peak(device: torch.device, dtype: torch.dtype, size: int = 8192, rounds: int = 10) -> float:
    """Operations per second of the best of `rounds` square products: what this device really reaches."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    # The first ones also choose a kernel and bring the clock up.
    for _ in range(rounds + 3):
        wait_for(device)
        began = time.perf_counter()
        torch.mm(left, right)
        wait_for(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def datasheet_peak(name: str) -> float | None:
    """The data sheet's dense bf16 figure for a device named as torch names it; None: not in the list."""
    found = [key for key in DATASHEET_FLOPS if all(word in name for word in key.split())]
    return DATASHEET_FLOPS[max(found, key=len)] if found else None


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
