"""Packed batches: the tokens of all texts in one row, without padding, and attention that stays within each text.

Flash attention of variable length works in tiles of 128 tokens, at least one a text and head: of an utterance of 16
tokens seven eighths of its work are thrown away, and it was more than a third of a training step of BERT-base on an
H200. A batch without a long text is therefore attended to in two products and a softmax over texts of one width; all
that is not attention still sees no padding. On a CPU, where only tests pack, it is the only way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

_NAME = "packed"
# Tokens of the longest text of a batch up to which it is attended to in products. Half a tile: with utterances of 16
# tokens they were faster on an H200, where between that and a tile they stop being so was not measured.
_SHORT = 64
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
        there: bool [B, T], where a padded batch would have tokens.
        places: int64 [N], the place of each token in that batch, row after row.
    """

    boundaries: torch.Tensor
    texts: torch.Tensor
    positions: torch.Tensor
    there: torch.Tensor
    places: torch.Tensor

    @classmethod
    def of(cls, lengths: torch.Tensor) -> Packing:
        """The packing of texts of `lengths` int64 [B], on the CPU."""
        boundaries = functional.pad(lengths.cumsum(0), (1, 0))
        texts = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        positions = torch.arange(int(boundaries[-1])) - boundaries[texts]
        there = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        places = texts * there.shape[1] + positions
        return cls(boundaries.to(torch.int32), texts, positions.unsqueeze(0), there, places)

    def to(self, device: torch.device) -> Packing:
        """The same on `device`."""
        return Packing(
            self.boundaries.to(device, non_blocking=True),
            self.texts.to(device, non_blocking=True),
            self.positions.to(device, non_blocking=True),
            self.there.to(device, non_blocking=True),
            self.places.to(device, non_blocking=True),
        )

    @property
    def count(self) -> int:
        """Texts."""
        return self.there.shape[0]

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return self.there.shape[1]

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
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu" or packing.longest <= _SHORT:
        return _in_products(q, k, v, packing, scale).unsqueeze(0), None
    from torch.nn.attention.varlen import varlen_attn

    ends, longest = packing.boundaries, packing.longest
    attended = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scale)
    return attended.unsqueeze(0), None  # type: ignore[union-attr]


def _in_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packing: Packing, scale: float
) -> torch.Tensor:
    """Attention within texts by padding them for its length alone: [N, heads, D] each -> [N, heads, D]."""
    tokens, heads, width = query.shape
    rows, longest = packing.there.shape
    places = packing.places

    def padded(part: torch.Tensor) -> torch.Tensor:
        spread: torch.Tensor = _Spread.apply(part.flatten(1), places, rows * longest)  # type: ignore[no-untyped-call]
        return spread.view(rows, longest, heads, width).transpose(1, 2)

    scores = padded(query) @ padded(key).transpose(2, 3) * scale
    scores = scores.float().masked_fill(~packing.there[:, None, None, :], -torch.inf)
    attended = scores.softmax(3).to(value.dtype) @ padded(value)
    rows_of_tokens = attended.transpose(1, 2).reshape(rows * longest, heads * width)
    found: torch.Tensor = _Gather.apply(rows_of_tokens, places)  # type: ignore[no-untyped-call]
    return found.view(tokens, heads, width)


class _Spread(torch.autograd.Function):
    """Rows [N, W] at their `places` among zeros [R, W]. No place is taken twice, so the gradient is a plain read."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, count: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(count, rows.shape[1]).index_copy(0, places, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(0, places), None, None


class _Gather(torch.autograd.Function):
    """The rows at `places` [N] of [R, W]: what `_Spread` undoes. torch's own would add up in its gradient."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.count = rows.shape[0]
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.new_zeros(ctx.count, gradient.shape[1]).index_copy(0, places, gradient), None
