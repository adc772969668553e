"""One vector for a text by its meaning: a pretrained encoder, mean-pooled, as one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from intent_tracking.modeling.encoder import BaseEncoder, load_encoder
from intent_tracking.modeling.onnx_backend import OnnxBackend
from intent_tracking.modeling.onnx_export import exported
from intent_tracking.modeling.predicting import FloatArray, batches_by_length, pad
from intent_tracking.modeling.quantising import NetworkInput, input_ranges, quantised

MAX_TOKENS: Final = 192
_BATCH: Final = 32
_MEASURED_TEXTS: Final = 128
# Of a text whose words the vocabulary lacks, the vector says nothing: MiniLM knows few Chinese characters.
_MOST_UNKNOWN: Final = 0.2


class SentenceEncoder:
    """Texts to unit vectors. Safe to share between threads.

    Args:
        content: a graph of `sentence_graph`.
        tokenizer: the `tokenizers` JSON that it was made for.

    Raises:
        ValueError: ONNX Runtime refuses the graph.
    """

    def __init__(self, content: bytes, tokenizer: str) -> None:
        self._backend = OnnxBackend(content)
        self._tokenizer = _tokenizer(tokenizer)
        unknown = (self._tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>"))
        self._unknown = next((number for number in unknown if number is not None), -1)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors [n, H]; a row of zeros for a text that is empty or made mostly of words it does not know."""
        encoded = [found.ids for found in self._tokenizer.encode_batch(list(texts))]
        rows: list[FloatArray | None] = [None] * len(texts)
        for places in batches_by_length([len(ids) for ids in encoded], _BATCH, self._backend.run_tokens):
            ids, mask = pad([encoded[place] for place in places])
            nothing = np.zeros((len(places), 0), np.float32)
            vectors = self._backend.run(ids, mask, nothing, np.zeros(len(places), np.int64)).pooled
            for place, vector in zip(places, vectors, strict=True):
                rows[place] = vector if self._reads(encoded[place]) else np.zeros_like(vector)
        return np.stack([row for row in rows if row is not None]) if rows else np.zeros((0, 0), np.float32)

    def _reads(self, ids: Sequence[int]) -> bool:
        # Two of them mark beginning and end.
        words = len(ids) - 2
        return words > 0 and ids.count(self._unknown) <= _MOST_UNKNOWN * words


def sentence_graph(base: BaseEncoder, texts: Sequence[str]) -> bytes:
    """`base` as a serialised int8 ONNX graph from ids and mask [B, T] to unit vectors [B, H].

    Args:
        base: the encoder.
        texts: like those to be encoded; some of them measure the ranges of the rounding.

    Raises:
        EncoderError: the weights do not fit the architecture.
    """
    model = _Sentences(load_encoder(base)).eval()
    tokenizer = _tokenizer(base.tokenizer_file.read_text(encoding="utf-8"))
    with quantised(model, input_ranges(model, _measured(tokenizer, texts))):
        example = (torch.tensor([[3, 4, 5, 6], [4, 5, 1, 1]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
        axes = {"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}, "pooled": {0: "batch"}}
        return exported(model, model.encoder, example, ("ids", "mask"), axes)


def _measured(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NetworkInput]:
    step = max(1, len(texts) // _MEASURED_TEXTS)
    encoded = sorted((found.ids for found in tokenizer.encode_batch(list(texts[::step]))), key=len)
    batches = [pad(encoded[start : start + _BATCH]) for start in range(0, len(encoded), _BATCH)]
    return [(ids, mask, np.zeros((len(ids), 0), np.float32), np.zeros(len(ids), np.int64)) for ids, mask in batches]


class _Sentences(nn.Module):
    """The mean of the last states of the words, as a unit vector (Reimers & Gurevych 2019)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """[B, T] -> [B, H]."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


def _tokenizer(content: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer
