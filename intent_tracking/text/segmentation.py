"""Chinese words: where each word begins, one decision a character, by a network trained from treebanks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from intent_tracking.text.parsing_network import NetworkError, batches
from intent_tracking.text.quantised_weights import read_quantised, write_quantised
from intent_tracking.text.simplified import simplified
from intent_tracking.text.word_features import hashed, shape

# Longer runs are cut: no word of interest crosses a cut, and time and memory stay bounded.
LONGEST_RUN = 200
CHARACTERS_PER_BATCH = 6000


@dataclass(frozen=True)
class SegmenterShape:
    """The sizes of a segmenter."""

    styles: int
    rows: int = 24_000
    width: int = 64
    hidden: int = 128
    dropout: float = 0.4


class SegmentationNetwork(nn.Module):
    """Hashed characters and pairs at each place, two bidirectional LSTM layers, begins a word or not.

    A word is what lies between two beginnings, so any answer is a segmentation; BIES tags would have to be repaired.
    """

    def __init__(self, shape: SegmenterShape) -> None:
        super().__init__()
        self.shape = shape
        self.features = nn.EmbeddingBag(shape.rows, shape.width, mode="sum")
        nn.init.normal_(self.features.weight, std=0.15)
        # What a word is differs between treebanks (is 性 of 加成性 one?), as annotation of trees does.
        self.style = nn.Embedding(shape.styles, shape.width)
        self.context = nn.LSTM(
            shape.width, shape.hidden, num_layers=2, bidirectional=True, batch_first=True, dropout=shape.dropout
        )
        self.begins = nn.Linear(2 * shape.hidden, 1)

    def forward(self, features: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n) that a word begins, from (batch, n, 4) rows and the treebank's number (batch,)."""
        batch, length, _ = features.shape
        drop = self.shape.dropout
        inputs = self.features(features.flatten(0, 1)).view(batch, length, -1) + self.style(styles)[:, None]
        states, _ = self.context(nn.functional.dropout(inputs, drop, self.training))
        logits: torch.Tensor = self.begins(nn.functional.dropout(states, drop, self.training))
        return logits.squeeze(-1)


class Segmenter:
    """Runs of characters without whitespace to words."""

    def __init__(self, network: SegmentationNetwork) -> None:
        self.network = network
        self._row = lru_cache(maxsize=200_000)(lambda value: hashed(value, network.shape.rows))

    def features(self, run: str) -> list[list[int]]:
        """Rows of the feature table, (characters, 4): the character, both pairs with it, its kind and the last."""
        text = simplified(run.lower())
        if len(text) != len(run):
            # Lower case of a few letters is longer than the letter (İ); offsets matter more than they do.
            text = simplified(run)
        around = f"\x02{text}\x03"
        return [
            [
                self._row(f"0{around[at]}"),
                self._row(f"1{around[at - 1 : at + 1]}"),
                self._row(f"2{around[at : at + 2]}"),
                self._row(f"3{shape(around[at - 1])}{shape(around[at])}"),
            ]
            for at in range(1, len(text) + 1)
        ]

    def words(self, runs: Sequence[str]) -> list[list[str]]:
        """The words of each run; their concatenation is the run. Empty runs have none."""
        pieces = [(number, start) for number, run in enumerate(runs) for start in range(0, len(run), LONGEST_RUN)]
        texts = [runs[number][start : start + LONGEST_RUN] for number, start in pieces]
        found: list[list[str]] = [[] for _ in texts]
        self.network.eval()
        with torch.inference_mode():
            for numbers in batches([len(text) for text in texts], CHARACTERS_PER_BATCH):
                rows = torch.tensor([self.features(texts[at]) for at in numbers])
                logits = self.network(rows, torch.zeros(len(numbers), dtype=torch.long))
                for at, begins in zip(numbers, (logits > 0).tolist(), strict=True):
                    found[at] = list(_cut(texts[at], begins))
        words: list[list[str]] = [[] for _ in runs]
        for (number, _), part in zip(pieces, found, strict=True):
            words[number] += part
        return words

    def save(self, folder: Path) -> None:
        """Write `segmenter.json` and `segmenter.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "segmenter.json").write_text(json.dumps(asdict(self.network.shape)) + "\n", encoding="utf-8")
        write_quantised(folder / "segmenter.safetensors", self.network.state_dict())

    @classmethod
    def load(cls, folder: Path) -> Segmenter:
        """Read what `save` wrote.

        Raises:
            NetworkError: a file is missing or they do not fit each other.
        """
        try:
            stored = json.loads((folder / "segmenter.json").read_text(encoding="utf-8"))
            network = SegmentationNetwork(SegmenterShape(**stored))
            network.load_state_dict(read_quantised(folder / "segmenter.safetensors"))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise NetworkError(f"{folder}: is no segmenter of ours ({error}); run `make linguistics`") from error
        return cls(network.eval())


def _cut(text: str, begins: Sequence[bool]) -> Iterator[str]:
    start = 0
    for at in range(1, len(text)):
        if begins[at]:
            yield text[start:at]
            start = at
    yield text[start:]
