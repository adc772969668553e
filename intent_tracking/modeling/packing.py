"""Packed batches: the tokens of all texts in one row, without padding, and attention that stays within each text.

On a GPU torch's variable-length flash attention does it, in bf16. On a CPU each text is attended to by itself: slow,
but the same answer, which is what it is there for; trainings on a CPU use padded batches of like lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

_NAME = "packed"
# Flash attention: Ampere and newer, heads of at most 256 numbers.
_LEAST_CAPABILITY = (8, 0)
_WIDEST_HEAD = 256
_COUNT_FROM_PADDING = frozenset({"roberta", "xlm-roberta"})


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the texts of a packed batch lie.

    Attributes:
        boundaries: int32 [B + 1], the first token of each text, and the number of tokens.
        texts: int64 [N], the text of each token.
        positions: int64 [1, N], the place of each token in its text.
        longest: tokens of the longest text.
    """

    boundaries: torch.Tensor
    texts: torch.Tensor
    positions: torch.Tensor
    longest: int

    @classmethod
    def of(cls, lengths: torch.Tensor) -> Packing:
        """The packing of texts of `lengths` int64 [B], on the CPU."""
        boundaries = functional.pad(lengths.cumsum(0), (1, 0))
        texts = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        positions = torch.arange(int(boundaries[-1])) - boundaries[texts]
        return cls(boundaries.to(torch.int32), texts, positions.unsqueeze(0), int(lengths.max()))

    def to(self, device: torch.device) -> Packing:
        """The same on `device`."""
        return Packing(
            self.boundaries.to(device, non_blocking=True),
            self.texts.to(device, non_blocking=True),
            self.positions.to(device, non_blocking=True),
            self.longest,
        )

    @property
    def count(self) -> int:
        """Texts."""
        return len(self.boundaries) - 1

    def means(self, states: torch.Tensor) -> torch.Tensor:
        """The mean over each text: states [N, H] -> [B, H]."""
        lengths = self.boundaries.diff().long()
        # Checking the lengths would wait for the device; they add up by construction.
        sums = torch.segment_reduce(states, "sum", lengths=lengths, axis=0, unsafe=True)
        return sums / lengths.unsqueeze(1).to(states.dtype)


def why_padded(config: Any, device: torch.device, *, bf16: bool) -> str | None:
    """Why a training of an encoder with this `config` must pad its batches; None: it can pack them."""
    if device.type != "cuda":
        return "no GPU"
    if config.model_type == "mpnet":
        return "mpnet adds a bias for relative positions, which variable-length attention does not take"
    if not bf16:
        return "variable-length attention needs bf16"
    if torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        return "variable-length attention needs a GPU of compute capability 8.0 or higher"
    width = config.hidden_size // config.num_attention_heads
    if width > _WIDEST_HEAD or width % 8:
        return f"variable-length attention takes heads of up to {_WIDEST_HEAD} numbers in eights, this has {width}"
    return None


def position_ids(encoder: Any, packing: Packing) -> torch.Tensor:
    """Rows [1, N] of the encoder's position table."""
    if encoder.config.model_type in _COUNT_FROM_PADDING:
        return packing.positions + int(encoder.embeddings.padding_idx) + 1
    return packing.positions


@contextmanager
def packed_attention(config: Any) -> Iterator[None]:
    """Let the layers of the encoder with this `config` attend within texts while the block runs.

    They must be given the keyword `packing`. Attention weights are not dropped: the kernel has no dropout.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packing: Packing,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: query, key and value [1, heads, N, D] -> [1, N, heads, D]."""
    if query.device.type == "cpu":
        sizes = packing.boundaries.diff().tolist()
        texts = zip(*(torch.split(part, sizes, dim=2) for part in (query, key, value)), strict=True)
        each = [functional.scaled_dot_product_attention(q, k, v, scale=scaling) for q, k, v in texts]
        return torch.cat(each, dim=2).transpose(1, 2), None
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    ends, longest = packing.boundaries, packing.longest
    attended = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling)
    return attended.unsqueeze(0), None  # type: ignore[union-attr]
