"""The network of the shipped pipelines: universal tags and a dependency tree for words that are given.

Word features, a bidirectional LSTM, biaffine scores of arcs and relations (Dozat & Manning 2017, "Deep Biaffine
Attention for Neural Dependency Parsing"). What a word is to it: hashed features of its form, and either the vectors of
its characters (Chinese) or the frozen layers of the packaged encoder (English; Straka et al. 2019, "Evaluating
Contextualized Embeddings on 54 Languages", feed a parser that way).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from intent_tracking.text.language import Language
from intent_tracking.text.pretrained_words import FEATURES, PretrainedWords
from intent_tracking.text.quantised_weights import read_quantised, write_quantised
from intent_tracking.text.trees import best_tree
from intent_tracking.text.word_features import WordFeatures

WORDS_PER_BATCH = 3000
# A longer run of words without a sentence end is a list or a paste; scores of arcs grow with the square of the length.
LONGEST_SENTENCE = 120


class NetworkError(ValueError):
    """A pipeline's folder lacks a file or holds another network; the message says which."""


@dataclass(frozen=True)
class NetworkShape:
    """The sizes and label lists of a network, kept beside its weights.

    `pretrained` is the sha256 of the encoder's weights whose features it was trained on; None where it has characters.
    """

    language: Language
    tags: tuple[str, ...]
    relations: tuple[str, ...]
    treebanks: tuple[str, ...]
    pretrained: str | None
    characters: int
    word_width: int = 160
    form_rows: int = 12_000
    form_width: int = 64
    hidden: int = 200
    layers: int = 1
    arc_width: int = 160
    relation_width: int = 64
    dropout: float = 0.25


@dataclass(frozen=True)
class Parsed:
    """Tags, heads (index of the word, -1 for the root) and relations of one sentence, one a word."""

    tags: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """Raw scores for a batch of sentences of n words.

    `tags` (batch, n, tags); `arcs` (batch, n, n + 1), head 0 the root; `dependants` and `heads` are what relations are
    scored from, (batch, n, width) and (batch, n + 1, width).
    """

    tags: torch.Tensor
    arcs: torch.Tensor
    dependants: torch.Tensor
    heads: torch.Tensor


@dataclass(frozen=True)
class Words:
    """The words of a batch of sentences of n words.

    `index` (batch, n) into the distinct words; `forms` (distinct, 8) hashed features; `characters` ragged ids with
    `offsets` a distinct word; `features` (batch, n, FEATURES) of the encoder, empty where the network has characters.
    """

    index: torch.Tensor
    forms: torch.Tensor
    characters: torch.Tensor
    offsets: torch.Tensor
    features: torch.Tensor


class ParsingNetwork(nn.Module):
    """Words to scores; sentences of a batch have one length, so nothing is padded or masked."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.word_width + shape.form_width
        self.forms = nn.EmbeddingBag(shape.form_rows, shape.form_width, mode="sum")
        self.treebank = nn.Embedding(len(shape.treebanks), width)
        for table in (self.forms, self.treebank):
            nn.init.normal_(table.weight, std=0.1)
        if shape.pretrained is None:
            self.characters = nn.EmbeddingBag(shape.characters, shape.word_width, mode="mean")
            nn.init.normal_(self.characters.weight, std=0.3)
        else:
            self.pretrained = nn.Linear(FEATURES, shape.word_width)
        self.root = nn.Parameter(torch.zeros(width))
        self.context = nn.LSTM(
            width,
            shape.hidden,
            num_layers=shape.layers,
            bidirectional=True,
            batch_first=True,
            dropout=shape.dropout if shape.layers > 1 else 0.0,
        )
        self.tagger = nn.Linear(2 * shape.hidden, len(shape.tags))
        self.arc_dependant = nn.Linear(2 * shape.hidden, shape.arc_width)
        self.arc_head = nn.Linear(2 * shape.hidden, shape.arc_width)
        self.arc = nn.Parameter(torch.zeros(shape.arc_width + 1, shape.arc_width))
        self.relation_dependant = nn.Linear(2 * shape.hidden, shape.relation_width)
        self.relation_head = nn.Linear(2 * shape.hidden, shape.relation_width)
        side = shape.relation_width + 1
        self.relation = nn.Parameter(torch.zeros(len(shape.relations), side, side))

    def forward(self, words: Words, treebank: torch.Tensor) -> Scores:
        """Scores of a batch of sentences; `treebank` (batch,) is the style each is to be parsed in."""
        drop, batch = self.shape.dropout, words.index.shape[0]
        form = self.forms(words.forms)[words.index]
        if self.shape.pretrained is None:
            meaning = self.characters(words.characters, words.offsets)[words.index]
        else:
            meaning = functional.leaky_relu(self.pretrained(words.features), 0.1)
        if self.training:
            # Whole vectors are left out, so that the parser does not lean on the forms that it has seen.
            form = form * (torch.rand(*form.shape[:2], 1) > 0.25)
            if self.shape.pretrained is None:
                meaning = meaning * (torch.rand(*form.shape[:2], 1) > 0.1)
        inputs = torch.cat([self.root.expand(batch, 1, -1), torch.cat([meaning, form], dim=-1)], dim=1)
        inputs = inputs + self.treebank(treebank)[:, None]
        states, _ = self.context(functional.dropout(inputs, drop, self.training))
        states = functional.dropout(states, drop, self.training)

        def side(layer: nn.Module) -> torch.Tensor:
            out: torch.Tensor = functional.dropout(functional.leaky_relu(layer(states), 0.1), drop, self.training)
            return out

        dependant = functional.pad(side(self.arc_dependant)[:, 1:], (0, 1), value=1.0)
        arcs = dependant @ self.arc @ side(self.arc_head).transpose(1, 2)
        return Scores(self.tagger(states[:, 1:]), arcs, side(self.relation_dependant)[:, 1:], side(self.relation_head))

    def relation_scores(self, scores: Scores, heads: torch.Tensor) -> torch.Tensor:
        """(batch, n, relations) for given `heads` (batch, n), 0 the root."""
        chosen = torch.take_along_dim(scores.heads, heads[..., None], dim=1)
        dependant = functional.pad(scores.dependants, (0, 1), value=1.0)
        head = functional.pad(chosen, (0, 1), value=1.0)
        # One product with the weights of all relations, then a row-wise dot: no (batch, n, relations, width) is summed.
        mixed = torch.einsum("bnd,rdh->bnrh", dependant, self.relation)
        return torch.einsum("bnrh,bnh->bnr", mixed, head)


class Parser:
    """A network with what it needs to see words: sentences in, trees out.

    Args:
        network: of a shape with `characters` rows or with `pretrained` features.
        characters: the inventory in the order of the rows, row 0 for what is in none; empty with `pretrained`.
    """

    def __init__(self, network: ParsingNetwork, characters: Sequence[str]) -> None:
        self.network, self.characters = network, tuple(characters)
        shape = network.shape
        self._words = WordFeatures(shape.language, characters, shape.form_rows)
        self.pretrained = None if shape.pretrained is None else PretrainedWords(shape.pretrained)

    def words(self, sentences: Sequence[Sequence[str]], features: Sequence[torch.Tensor]) -> Words:
        """What the network sees of sentences of equal length; `features` of each where it has them, else none."""
        rows: dict[str, int] = {}
        index = torch.tensor([[rows.setdefault(word, len(rows)) for word in sentence] for sentence in sentences])
        featured = [self._words.of(word) for word in rows]
        counts = np.fromiter((len(each) for each, _ in featured), dtype=np.int64, count=len(featured))
        flat = np.fromiter((one for each, _ in featured for one in each), dtype=np.int64)
        forms = np.array([form for _, form in featured], dtype=np.int64)
        return Words(
            index,
            torch.from_numpy(forms),
            torch.from_numpy(flat),
            torch.from_numpy(np.concatenate([[0], counts.cumsum()[:-1]])),
            torch.stack(list(features)).float() if features else torch.empty(0),
        )

    def parse(self, sentences: Sequence[Sequence[str]]) -> list[Parsed]:
        """The tree of each sentence, in their order; sentences of one length go through the network together.

        Raises:
            ValueError: a sentence is empty or longer than LONGEST_SENTENCE words.
        """
        longest = max(map(len, sentences), default=1)
        if longest > LONGEST_SENTENCE or not all(sentences):
            raise ValueError(f"a sentence has {longest} words or none; give 1 to {LONGEST_SENTENCE}")
        parsed: list[Parsed | None] = [None] * len(sentences)
        self.network.eval()
        with torch.inference_mode():
            features = [] if self.pretrained is None else self.pretrained.features(sentences)
            for numbers in batches([len(sentence) for sentence in sentences], WORDS_PER_BATCH):
                words = self.words(
                    [sentences[at] for at in numbers], [features[at] for at in numbers] if features else []
                )
                for number, found in zip(numbers, self._parse(words), strict=True):
                    parsed[number] = found
        return [found for found in parsed if found is not None]

    def _parse(self, words: Words) -> Iterator[Parsed]:
        shape = self.network.shape
        scores = self.network(words, torch.zeros(len(words.index), dtype=torch.long))
        arcs = functional.pad(scores.arcs, (0, 0, 1, 0)).double().numpy()
        heads = [best_tree(sentence) for sentence in arcs]
        rooted = torch.tensor(heads) + 1
        relations = self.network.relation_scores(scores, rooted)
        # `root` goes with the root alone, and with it always.
        root = shape.relations.index("root")
        is_root = rooted == 0
        relations[..., root] = torch.where(is_root, torch.inf, -torch.inf)
        found = zip(scores.tags.argmax(-1).tolist(), heads, relations.argmax(-1).tolist(), strict=True)
        for tags, tree, names in found:
            yield Parsed(
                tuple(shape.tags[tag] for tag in tags), tuple(tree), tuple(shape.relations[name] for name in names)
            )

    def save(self, folder: Path) -> None:
        """Write `network.json`, `characters.txt` and `network.safetensors` (8-bit integers and a scale a row)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "network.json").write_text(json.dumps(asdict(self.network.shape), indent=1) + "\n", encoding="utf-8")
        (folder / "characters.txt").write_text("".join(f"{each}\n" for each in self.characters), encoding="utf-8")
        write_quantised(folder / "network.safetensors", self.network.state_dict())

    @classmethod
    def load(cls, folder: Path) -> Parser:
        """Read what `save` wrote; nothing in it is run as code.

        Raises:
            NetworkError: a file is missing or they do not fit each other.
        """
        try:
            stored: dict[str, Any] = json.loads((folder / "network.json").read_text(encoding="utf-8"))
            characters = (folder / "characters.txt").read_text(encoding="utf-8").split("\n")[:-1]
            stored |= {name: tuple(stored[name]) for name in ("tags", "relations", "treebanks")}
            shape = NetworkShape(**stored)
            if len(characters) != shape.characters:
                raise ValueError(f"characters.txt has {len(characters)} lines, network.json says {shape.characters}")
            network = ParsingNetwork(shape)
            network.load_state_dict(read_quantised(folder / "network.safetensors"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise NetworkError(f"{folder}: is no pipeline of ours ({error}); run `make linguistics`") from error
        return cls(network.eval(), characters)


def batches(lengths: Sequence[int], words: int) -> Iterator[list[int]]:
    """Indices of sentences of equal length, at most `words` words a batch; empty sentences are in none."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for number, length in enumerate(lengths):
        by_length[length].append(number)
    for length, numbers in by_length.items():
        if length:
            step = max(1, words // length)
            for start in range(0, len(numbers), step):
                yield numbers[start : start + step]
