"""Training the networks of the shipped pipelines from Universal Dependencies treebanks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from intent_tracking.text.language import Language
from intent_tracking.text.parsing_network import (
    LONGEST_SENTENCE,
    NetworkShape,
    Parser,
    ParsingNetwork,
    batches,
)
from intent_tracking.text.pretrained_words import PretrainedWords
from intent_tracking.text.segmentation import LONGEST_RUN, SegmentationNetwork, Segmenter, SegmenterShape
from intent_tracking.text.simplified import simplified
from intent_tracking.text.treebank import UNIVERSAL_TAGS, Sentence, Word

BATCH_WORDS = 1000
LEARNING_RATE = 2.5e-3
UNKNOWN = "[UNK]"
_SENTENCES_AT_ONCE = 2000


@dataclass(frozen=True)
class Treebank:
    """Sentences of one treebank; `weight` copies of each go into an epoch."""

    name: str
    sentences: tuple[Sentence, ...]
    weight: int = 1


def train_parser(
    language: Language, treebanks: Sequence[Treebank], *, epochs: int, seed: int, progress: Callable[[str], None]
) -> Parser:
    """A parser of the style of the first treebank, trained on all of them; the same seed gives the same parser.

    Sentences of several treebanks are told apart by a learned vector (Stymne et al. 2018, "Parser Training with
    Heterogeneous Treebanks"). A tenth of the sentences is seen in lower case and an eighth without the last mark, as
    people type in a shop. Single-threaded, because sums of floats depend on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(language, treebanks, epochs, seed, progress)
    finally:
        torch.set_num_threads(threads)


def _train(
    language: Language, treebanks: Sequence[Treebank], epochs: int, seed: int, progress: Callable[[str], None]
) -> Parser:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    pretrained = PretrainedWords() if language == "en" else None
    characters = _characters(treebanks) if pretrained is None else []
    shape = NetworkShape(
        language=language,
        tags=UNIVERSAL_TAGS,
        relations=tuple(
            sorted({word.relation for bank in treebanks for each in bank.sentences for word in each.words})
        ),
        treebanks=tuple(bank.name for bank in treebanks),
        pretrained=None if pretrained is None else pretrained.sha256,
        characters=len(characters),
    )
    network = ParsingNetwork(shape if pretrained else replace(shape, word_width=96, hidden=160, layers=2, dropout=0.33))
    parser = Parser(network, characters)
    examples = _examples(treebanks, pretrained)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    steps = epochs * sum(1 for _ in _epoch(examples, random.Random(seed)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 60) * max(0.0, 1 - step / (1.02 * steps))
    )
    for epoch in range(epochs):
        network.train()
        started, total, seen = time.perf_counter(), 0.0, 0
        for batch in _epoch(examples, rng):
            loss = _loss(parser, batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total, seen = total + loss.item(), seen + 1
        progress(f"{language} epoch {epoch + 1}/{epochs} loss {total / seen:.3f} {time.perf_counter() - started:.0f} s")
    network.eval()
    return parser


def _loss(parser: Parser, batch: Sequence[_Example]) -> torch.Tensor:
    network = parser.network
    tag_of = {tag: number for number, tag in enumerate(network.shape.tags)}
    relation_of = {relation: number for number, relation in enumerate(network.shape.relations)}
    words = parser.words(
        [[word.form for word in each.words] for each in batch],
        [each.features for each in batch if each.features is not None],
    )
    heads = torch.tensor([[word.head + 1 for word in each.words] for each in batch])
    tags = torch.tensor([[tag_of[word.tag] for word in each.words] for each in batch])
    relations = torch.tensor([[relation_of[word.relation] for word in each.words] for each in batch])
    scores = network(words, torch.tensor([each.style for each in batch]))
    named = network.relation_scores(scores, heads)
    return (
        functional.cross_entropy(scores.tags.flatten(0, 1), tags.flatten())
        + functional.cross_entropy(scores.arcs.flatten(0, 1), heads.flatten())
        + functional.cross_entropy(named.flatten(0, 1), relations.flatten())
    )


@dataclass(frozen=True)
class _Example:
    """A sentence, its treebank's number, and (words, FEATURES) float16 of the encoder where the network takes them."""

    words: tuple[Word, ...]
    style: int
    features: torch.Tensor | None


def _examples(treebanks: Sequence[Treebank], pretrained: PretrainedWords | None) -> list[_Example]:
    """The encoder is frozen, so its features are worked out once."""
    examples: list[_Example] = []
    for style, bank in enumerate(treebanks):
        sentences = [each for each in bank.sentences if len(each.words) <= LONGEST_SENTENCE]
        features: list[torch.Tensor | None] = [None] * len(sentences)
        if pretrained is not None:
            for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
                part = [each.forms for each in sentences[start : start + _SENTENCES_AT_ONCE]]
                features[start : start + len(part)] = [each.half() for each in pretrained.features(part)]
        for sentence, feature in zip(sentences, features, strict=True):
            examples += [_Example(sentence.words, style, feature)] * bank.weight
    return examples


def _epoch(examples: Sequence[_Example], rng: random.Random) -> Iterator[list[_Example]]:
    seen = [_as_typed(example, rng) for example in examples]
    rng.shuffle(seen)
    groups = list(batches([len(each.words) for each in seen], BATCH_WORDS))
    rng.shuffle(groups)
    for numbers in groups:
        yield [seen[number] for number in numbers]


def _as_typed(example: _Example, rng: random.Random) -> _Example:
    """The encoder is uncased, so lower case changes none of its features; the lost last mark would a little."""
    lower, unmarked = rng.random() < 0.1, rng.random() < 0.125
    words, features = example.words, example.features
    last = len(words) - 1
    if unmarked and last and words[last].tag == "PUNCT" and all(word.head != last for word in words):
        words, features = words[:last], None if features is None else features[:last]
    if lower:
        words = tuple(replace(word, form=word.form.lower()) for word in words)
    return _Example(words, example.style, features)


def _characters(treebanks: Sequence[Treebank]) -> list[str]:
    found = {each for bank in treebanks for sentence in bank.sentences for each in simplified(sentence.text.lower())}
    return [UNKNOWN, *sorted(found - {" "})]


def train_segmenter(
    treebanks: Sequence[Treebank], *, epochs: int, seed: int, progress: Callable[[str], None]
) -> Segmenter:
    """A segmenter of the words of `treebanks`; the same seed gives the same one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train_segmenter(treebanks, epochs, seed, progress)
    finally:
        torch.set_num_threads(threads)


def _train_segmenter(
    treebanks: Sequence[Treebank], epochs: int, seed: int, progress: Callable[[str], None]
) -> Segmenter:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    segmenter = Segmenter(SegmentationNetwork(SegmenterShape(styles=len(treebanks))))
    network = segmenter.network
    examples = [
        (
            torch.tensor(segmenter.features("".join(run))),
            torch.tensor([at == 0 for word in run for at in range(len(word))]),
            style,
        )
        for style, bank in enumerate(treebanks)
        for sentence in bank.sentences
        for _ in range(bank.weight)
        for run in _runs(sentence)
        if sum(map(len, run)) <= LONGEST_RUN
    ]
    lengths = [len(begins) for _, begins, _ in examples]
    steps = epochs * sum(1 for _ in batches(lengths, BATCH_WORDS))
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / (1.02 * steps)))
    for epoch in range(epochs):
        network.train()
        rng.shuffle(examples)
        groups = list(batches([len(begins) for _, begins, _ in examples], BATCH_WORDS))
        rng.shuffle(groups)
        total = 0.0
        for numbers in groups:
            features = torch.stack([examples[number][0] for number in numbers])
            begins = torch.stack([examples[number][1] for number in numbers]).float()
            styles = torch.tensor([examples[number][2] for number in numbers])
            loss = functional.binary_cross_entropy_with_logits(network(features, styles), begins)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        progress(f"zh segmenter epoch {epoch + 1}/{epochs} loss {total / len(groups):.4f}")
    network.eval()
    return segmenter


def _runs(sentence: Sentence) -> list[list[str]]:
    """The words between whitespace of the text."""
    runs: list[list[str]] = []
    end = -1
    for word in sentence.words:
        if word.start != end:
            runs.append([])
        runs[-1].append(word.form)
        end = word.end
    return runs
