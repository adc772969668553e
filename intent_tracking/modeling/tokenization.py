"""From text to tokens: the base vocabulary extended by what shops write, the newest tokens kept."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

from tokenizers import AddedToken, Tokenizer

from intent_tracking.modeling.lexicon import glosses
from intent_tracking.sessions.vocabulary import EVENT_TOKENS, SPECIAL_TOKENS

_Entry = TypeVar("_Entry")

MAX_ADDED_CHARACTERS = 8000
# A vocabulary with fewer Chinese characters is of another language: it met them too rarely to know what they mean.
_CHINESE_FROM = 1000
_FORGOTTEN = "[was:"
# Texts that are encoded at once.
BLOCK = 1024
_NAMED = re.compile(r"<[a-z0-9_:+-]+>")


@dataclass(frozen=True, eq=False)
class EncodedText:
    """One text as the model reads it, boundary tokens included.

    Where its tokens lie is worked out when it is asked for: most texts that are served have no key information.

    Attributes:
        ids: token ids.
        unknown_share: share of the whole text's tokens, before truncation, that the vocabulary does not hold.
    """

    ids: list[int]
    unknown_share: float
    _text: str
    _encoding: Any
    _places: Sequence[int]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Character offsets (start, end) of each token in the text; (0, 0) for the boundary tokens."""
        return [(0, 0), *self._kept(self._encoding.offsets), (0, 0)]

    @cached_property
    def word_starts(self) -> list[bool]:
        """Whether the token begins a word; boundary tokens do not."""
        return [False, *self._kept(self._begins), False]

    @cached_property
    def stretches(self) -> list[range]:
        """Places of the tokens in runs that are one piece of the text: what lay between two runs was over the budget.

        A word that the budget cut through is in none.
        """
        jumps = [at for at, (one, next_) in enumerate(pairwise(self._places), start=1) if next_ != one + 1]
        runs: list[range] = []
        for start, stop in pairwise((0, *jumps, len(self._places))):
            end = stop
            while stop in jumps and end > start and not self._begins[self._places[end - 1] + 1]:
                end -= 1
            runs.append(range(start + 1, end + 1))
        return runs

    @cached_property
    def _begins(self) -> list[bool]:
        return _word_starts(self._text, self._encoding)

    def first_from(self, character: int) -> int:
        """Place of the token that holds `character` of the text; where none does, of an earlier one. Cheap."""
        place = self._encoding.char_to_token(character)
        return 1 if place is None else max(1, bisect_right(self._places, place))

    def _kept(self, tokens: Sequence[_Entry]) -> list[_Entry]:
        """What the budget kept of something for each token of the whole text."""
        return [tokens[place] for place in self._places]


@dataclass(frozen=True)
class AddedRows:
    """Vocabulary entries that the base encoder lacks, in the order of their ids.

    Attributes:
        first_id: id of the first.
        sources: for each, the ids of the words that it starts from; empty: nothing is known about it.
    """

    first_id: int
    tokens: tuple[str, ...]
    sources: tuple[tuple[int, ...], ...]


class SessionTokenizer:
    """Encodes session texts and utterances. Safe to share between threads: encoding changes nothing in it."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        if max_tokens < 8:
            raise ValueError(f"max_tokens={max_tokens}: at least 8 are needed for the scene and some words")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        boundaries = tokenizer.encode("").ids
        if len(boundaries) != 2:
            raise ValueError("the tokenizer must put one token before a text and one after it")
        self._first, self._last = boundaries
        self._unknown = _unknown_id(tokenizer)
        events = (tokenizer.token_to_id(name) for name in EVENT_TOKENS.values())
        self._events = frozenset(identity for identity in events if identity is not None)

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> SessionTokenizer:
        """Read a `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(path)), max_tokens)

    @property
    def vocabulary(self) -> Tokenizer:
        """The `tokenizers` object, to extend or to save; not to change."""
        return self._tokenizer

    @property
    def unknown_id(self) -> int | None:
        """Id of the unknown token; None where the vocabulary spells everything."""
        return self._unknown

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, those of added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def with_max_tokens(self, max_tokens: int) -> SessionTokenizer:
        """The same vocabulary with another budget."""
        return SessionTokenizer(self._tokenizer, max_tokens)

    def to_json(self) -> str:
        """The content of `tokenizer.json`."""
        return str(self._tokenizer.to_str())

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode `texts` in order; a text over the budget keeps its first (scene) token and its newest tokens.

        A newest event that is over the budget by itself, such as a long letter, keeps its beginning and its end, where
        what is wanted and what is asked for stand (Sun et al. 2019), in about equal parts, and of whole words: only one
        that takes more than a quarter of the budget is cut.
        """
        return list(self.encode_each(texts))

    def encode_each(self, texts: Iterable[str]) -> Iterator[EncodedText]:
        """As `encode`, a block at a time: an encoding takes hundreds of bytes a token for as long as it is kept."""
        source = iter(texts)
        while block := list(islice(source, BLOCK)):
            yield from map(self._encoded, block, self._tokenizer.encode_batch(block, add_special_tokens=False))

    def _encoded(self, text: str, encoding: Any) -> EncodedText:
        ids: list[int] = encoding.ids
        unknown = ids.count(self._unknown) / len(ids) if ids and self._unknown is not None else 0.0
        places = self._within_budget(text, encoding)
        kept = ids if len(places) == len(ids) else [ids[place] for place in places]
        return EncodedText([self._first, *kept, self._last], unknown, text, encoding, places)

    def _within_budget(self, text: str, encoding: Any) -> Sequence[int]:
        """Places of the tokens that are kept, in order."""
        ids: list[int] = encoding.ids
        count, room = len(ids), self.max_tokens - 3  # beside the scene and the boundaries
        if count <= room + 1:
            return range(count)
        newest = max((place for place, identity in enumerate(ids) if identity in self._events), default=1)
        if count - newest <= room:
            return [0, *range(count - room, count)]
        begins = _word_starts(text, encoding)
        reach = room // 4
        middle = newest + room // 2
        head = next((place for place in range(middle, middle - reach, -1) if begins[place]), middle)
        rest = count - room + head - newest
        tail = next((place for place in range(rest, rest + reach) if begins[place]), rest)
        return [0, *range(newest, head), *range(tail, count)]


def _word_starts(text: str, encoding: Any) -> list[bool]:
    """Whether each token of a whole text begins a word."""
    spans: list[tuple[int, int]] = encoding.offsets
    words: list[int | None] = encoding.word_ids
    # Tokenizers that part words by blanks take a Chinese sentence for one word; its words are its characters.
    return [
        place == 0
        or word is None
        or word != words[place - 1]
        or (is_ideograph(text[start : start + 1]) and spans[place - 1][1] <= start)
        for place, (word, (start, _)) in enumerate(zip(words, spans, strict=True))
    ]


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        identity = model.get("unk_id")
    else:
        name = model.get("unk_token")
        identity = None if name is None else tokenizer.token_to_id(name)
    return None if identity is None else int(identity)


def extend_vocabulary(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    *,
    minimum_count: int = 1,
) -> Tokenizer:
    """A copy of `tokenizer` with `special_tokens` and the characters of `texts` that the vocabulary lacks.

    A WordPiece vocabulary turns a whole word with one unknown character into one unknown token, and most Chinese
    characters are unknown to MiniLM. Entries go into the WordPiece vocabulary itself, so that normalisation and word
    splitting stay those of the base encoder. Other tokenizer models spell unknown characters in bytes or get them as
    added tokens.

    The few Chinese characters of an English vocabulary are learned anew with the others: their old rows were hardly
    trained, and base rows are frozen in fine-tuning.

    Args:
        tokenizer: of the base encoder or of an earlier artifact.
        texts: what the model will learn from.
        special_tokens: tokens that stand for themselves, such as `<search>`.
        minimum_count: characters seen less often stay unknown.

    Returns:
        The extended tokenizer; new ids follow the old ones without a gap. The same input gives the same ids.
    """
    first_id = tokenizer.get_vocab_size(with_added_tokens=True)
    texts = list(texts)
    tokenizer, forgotten = _without_rare_ideographs(tokenizer, texts)
    known = tokenizer.get_vocab(with_added_tokens=True)
    state = json.loads(tokenizer.to_str())
    is_word_piece = state["model"]["type"] == "WordPiece"
    prefix = state["model"]["continuing_subword_prefix"] if is_word_piece else None
    characters = list(dict.fromkeys([*_unknown_characters(tokenizer, texts, minimum_count), *forgotten]))
    pieces = [piece for character in characters for piece in _pieces(character, prefix) if piece not in known]
    wanted = [entry for entry in special_tokens if entry not in known]
    added = (*pieces, *wanted)
    if is_word_piece:
        # Special tokens too: `tokenizers` numbers an added token by the size of the model's own vocabulary, and a gap
        # there would give a later extension an id that is taken.
        state["model"]["vocab"] |= {entry: first_id + place for place, entry in enumerate(added)}
    extended = Tokenizer.from_str(json.dumps(state))
    if not is_word_piece:
        extended.add_tokens([AddedToken(piece) for piece in pieces])
    extended.add_special_tokens([AddedToken(entry, normalized=False, special=True) for entry in wanted])
    misplaced = [entry for place, entry in enumerate(added) if extended.token_to_id(entry) != first_id + place]
    if misplaced:
        raise ValueError(f"the tokenizer numbers {misplaced[0]!r} with a gap; use another base encoder")
    return extended


def _without_rare_ideographs(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tokenizer, list[str]]:
    """`tokenizer` without the Chinese characters of another language's vocabulary, and those characters.

    Their ids stay taken, under names that no text spells, so that every other id keeps its place. A vocabulary of
    Chinese, one that forgot before, and texts without Chinese change nothing.
    """
    state = json.loads(tokenizer.to_str())
    if state["model"]["type"] != "WordPiece" or not any(is_ideograph(letter) for text in texts for letter in text):
        return tokenizer, []
    vocabulary = state["model"]["vocab"]
    rare = sorted(filter(is_ideograph, vocabulary), key=lambda entry: vocabulary[entry])
    if not rare or len(rare) >= _CHINESE_FROM or any(entry.startswith(_FORGOTTEN) for entry in vocabulary):
        return tokenizer, []
    for entry in rare:
        vocabulary[f"{_FORGOTTEN}{entry}]"] = vocabulary.pop(entry)
    return Tokenizer.from_str(json.dumps(state)), rare


def added_rows(base: Tokenizer, extended: Tokenizer) -> AddedRows:
    """What `extended` holds beyond `base`, and the known tokens that each new one starts from.

    A special token starts from the words of its name, a Chinese word or character from its English gloss.
    """
    base = Tokenizer.from_str(base.to_str())
    base.no_padding()
    base.no_truncation()
    first_id = base.get_vocab_size(with_added_tokens=True)
    places = range(first_id, extended.get_vocab_size(with_added_tokens=True))
    tokens = [extended.id_to_token(place) or "" for place in places]
    unknown = _unknown_id(base)
    sources: list[tuple[int, ...]] = []
    for entry in tokens:
        words = re.sub(r"[^a-z0-9]+", " ", entry) if _NAMED.fullmatch(entry) else glosses().get(entry, "")
        ids = base.encode(words, add_special_tokens=False).ids if words else []
        sources.append(tuple(identity for identity in ids if identity != unknown))
    return AddedRows(first_id, tuple(tokens), tuple(sources))


def _pieces(character: str, prefix: str | None) -> tuple[str, ...]:
    # The BERT normaliser sets ideographs apart, so they never continue a word.
    return (character,) if prefix is None or is_ideograph(character) else (character, prefix + character)


def is_ideograph(entry: str) -> bool:
    """Whether `entry` is one Chinese character."""
    return len(entry) == 1 and ("\u3400" <= entry <= "\u9fff" or "\uf900" <= entry <= "\ufaff" or entry >= "\U00020000")


def _unknown_characters(tokenizer: Tokenizer, texts: Iterable[str], minimum_count: int) -> list[str]:
    """Characters of words that come out as the unknown token, most frequent first, then by code point."""
    unknown = _unknown_id(tokenizer)
    if unknown is None:
        return []
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer is not None else text
        if tokenizer.pre_tokenizer is not None:
            words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
        else:
            words.update(normal.split())
    counts: Counter[str] = Counter()
    for word, count in words.items():
        if any(piece.id == unknown for piece in tokenizer.model.tokenize(word)):
            for character in word:
                counts[character] += count
    frequent = [character for character, count in counts.items() if count >= minimum_count]
    return sorted(frequent, key=lambda character: (-counts[character], character))[:MAX_ADDED_CHARACTERS]
