"""What a masked language model must guess: whole words, and in Chinese short runs of characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from intent_tracking.modeling.tokenization import SessionTokenizer, is_ideograph

# Lengths of Chinese runs that are guessed as one, and how often: most words have two characters.
_RUN_LENGTHS = (1, 2, 3)
_RUN_SHARES = (0.4, 0.4, 0.2)
_MASKED, _REPLACED = 0.8, 0.1


@dataclass(frozen=True, eq=False)
class MaskingTable:
    """Ids that masking needs.

    Attributes:
        mask: id of the mask token.
        words: ids that a guessed token may be replaced by, sorted.
        ideographs: for each id of the vocabulary, whether it is one Chinese character.
        kept: for each id, whether it is never guessed: boundary tokens, event tokens, the unknown token.
    """

    mask: int
    words: npt.NDArray[np.int64]
    ideographs: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: SessionTokenizer, seen: Sequence[int]) -> MaskingTable:
        """For `tokenizer`; `seen` are the ids that occur in the texts.

        Raises:
            ValueError: the vocabulary has no mask token.
        """
        vocabulary = tokenizer.vocabulary
        mask = vocabulary.token_to_id(mask_token(vocabulary))
        if mask is None:
            raise ValueError("the tokenizer has no mask token: extend it by mask_token(tokenizer) first")
        size = tokenizer.vocabulary_size
        kept = np.zeros(size, dtype=bool)
        kept[[place for place, entry in vocabulary.get_added_tokens_decoder().items() if entry.special]] = True
        if tokenizer.unknown_id is not None:
            kept[tokenizer.unknown_id] = True
        ideographs = np.array([is_ideograph(vocabulary.id_to_token(place) or "") for place in range(size)])
        ids = np.unique(np.asarray(seen, dtype=np.int64))
        return cls(mask, ids[~kept[ids]], ideographs, kept)


def mask_token(tokenizer: Tokenizer) -> str:
    """The name of its mask token; `[MASK]` where it has none yet."""
    return "<mask>" if tokenizer.token_to_id("<mask>") is not None else "[MASK]"


def guessable(
    ids: npt.NDArray[np.int64], word_starts: npt.NDArray[np.bool_], table: MaskingTable
) -> list[tuple[int, ...]]:
    """Words of a text as places of their tokens, boundary tokens and special tokens left out; `ids`, `word_starts` [T].

    `word_starts` says of each token whether it begins a word.
    """
    words: list[list[int]] = []
    kept = table.kept[ids].tolist()
    for place, begins in enumerate(word_starts[1:-1].tolist(), start=1):
        if kept[place]:
            continue
        if begins or not words or words[-1][-1] != place - 1:
            words.append([place])
        else:
            words[-1].append(place)
    return [tuple(word) for word in words]


def mask_words(
    ids: npt.NDArray[np.int64],
    words: Sequence[tuple[int, ...]],
    table: MaskingTable,
    random: np.random.Generator,
    rate: float = 0.15,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """A copy of `ids` [T] in which about `rate` of the tokens are to be guessed, and which ones [T].

    Whole words are chosen, and runs of one to three neighbouring Chinese characters; at least one token where there is
    a word. Of the chosen tokens 80% become the mask, 10% another word and 10% stay (Devlin et al. 2019; whole words
    and n-grams after Cui et al. 2021).
    """
    chosen = np.zeros(len(ids), dtype=bool)
    masked = ids.copy()
    wanted = max(1, round(rate * sum(map(len, words))))
    for first in random.permutation(len(words)):
        if chosen.sum() >= wanted:
            break
        run = 1
        if len(words[first]) == 1 and table.ideographs[ids[words[first][0]]]:
            run = int(random.choice(_RUN_LENGTHS, p=_RUN_SHARES))
        for word in words[first : first + run]:
            if run > 1 and not table.ideographs[ids[word[0]]]:
                break
            chosen[list(word)] = True
    places = np.flatnonzero(chosen)
    fate = random.random(len(places))
    masked[places[fate < _MASKED]] = table.mask
    replaced = places[(fate >= _MASKED) & (fate < _MASKED + _REPLACED)]
    if len(table.words):
        masked[replaced] = random.choice(table.words, len(replaced))
    return masked, chosen
