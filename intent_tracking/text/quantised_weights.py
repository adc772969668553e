"""Weights as 8-bit integers with a scale a row, in safetensors: a quarter of float32 at no loss that a score shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

_SCALE = ".scale"


def write_quantised(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors of two or more dimensions as int8 with a float16 scale a row, all others as float16."""
    from safetensors.torch import save_file

    stored: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() < 2:
            stored[name] = weight.to(torch.float16)
            continue
        # The scale is rounded first, and up, so that the integers are those of the scale that is stored.
        scale = (weight.abs().amax(dim=-1, keepdim=True) / 127).clamp_min(1e-6) * 1.001
        scale = scale.to(torch.float16)
        stored[name] = (weight / scale.float()).round().clamp(-127, 127).to(torch.int8).contiguous()
        stored[name + _SCALE] = scale
    save_file(stored, path)
    path.chmod(0o644)  # safetensors makes it readable for its owner alone; a package is for everyone


def read_quantised(path: Path) -> dict[str, torch.Tensor]:
    """The float32 tensors that `write_quantised` stored.

    Raises:
        OSError, ValueError: the file is missing or no safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from error
    return {
        name: tensor.float() * stored[name + _SCALE].float() if name + _SCALE in stored else tensor.float()
        for name, tensor in stored.items()
        if not name.endswith(_SCALE)
    }
