"""Other ways to write a labelled text: typing noise, words left out, small talk around it, words of the other language.

Every edit keeps the marked slots: texts are edited as a row of units, and a unit lies inside one slot or outside all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from intent_tracking.modeling.lexicon import glosses, translations
from intent_tracking.text.language import Language

Marked = tuple[str, int, int]

# Placeholders and event tokens stand for themselves; a Chinese character is a word of its own.
_UNIT = re.compile(r"<[a-z0-9_:+-]+>|[\u3400-\u9fff]|[A-Za-z]+(?:'[A-Za-z]+)?|\d+|\s+|.", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]{4,}")
_HAN = re.compile(r"[\u3400-\u9fff]")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# Neither greetings nor thanks: in many label schemes they are intents themselves.
_FRAMES: dict[Language, tuple[tuple[str, str], ...]] = {
    "en": (
        ("please ", ""), ("", " please"), ("ok so ", ""), ("um, ", ""), ("quick question: ", ""), ("", " asap"),
        ("", ", you know"), ("actually ", ""), ("well, ", ""), ("just wondering, ", ""),
    ),
    "zh": (
        ("请问", ""), ("麻烦", ""), ("那个,", ""), ("嗯,", ""), ("就是", ""), ("", "哈"), ("", "啊"), ("", "呢"),
        ("想问一下,", ""), ("其实", ""),
    ),
}  # fmt: skip
# Each row says the same; a phrase backs off to another of its row.
_PARAPHRASES: dict[Language, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("i want to", "i would like to", "i'd like to", "i need to", "i wanna"),
        ("can you", "could you", "can u", "would you"),
        ("how do i", "how can i", "how would i", "what do i do to"),
        ("what is", "what's", "whats"),
        ("where is", "where's", "wheres"),
        ("do not", "don't", "dont"),
        ("cannot", "can't", "can not", "cant"),
        ("i am", "i'm", "im"),
        ("tell me", "let me know", "show me"),
    ),
    "zh": (
        ("我想", "我要", "我想要", "我打算"),
        ("怎么", "如何", "怎样"),
        ("多少钱", "什么价格", "价格多少"),
        ("可以吗", "行吗", "好吗"),
        ("在哪里", "在哪儿", "在什么地方"),
        ("为什么", "为啥", "怎么会"),
        ("什么时候", "啥时候", "何时"),
        ("帮我", "给我", "替我"),
        ("有没有", "是否有", "有无"),
        ("没有", "没"),
    ),
}


class Augmentation(BaseModel):
    """How often each edit is made; a probability of 0 turns it off.

    `keep`, `frame` and `paraphrase` are by text, the others by word (in Chinese by character).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: float = Field(default=0.3, ge=0, le=1, description="Texts that stay as they are.")
    character_noise: float = Field(default=0.04, ge=0, le=1, description="Slips of the keyboard.")
    word_drop: float = Field(default=0.05, ge=0, le=1, description="Words left out; never of a slot.")
    word_swap: float = Field(default=0.03, ge=0, le=1, description="Words that change places with the next.")
    frame: float = Field(default=0.15, ge=0, le=1, description="Small talk before or after.")
    paraphrase: float = Field(default=0.3, ge=0, le=1, description="Phrases replaced by ones that say the same.")
    code_switch: float = Field(default=0.0, ge=0, le=1, description="Words of the lexicon in the other language.")

    @classmethod
    def only(cls, edits: Collection[str]) -> Augmentation:
        """These edits of `EDITS` alone, at their default rates; code-switching, which is off by default, at 0.1.

        Raises:
            ValueError: there is no such edit.
        """
        for name in edits:
            if name not in EDITS:
                raise ValueError(f"no edit is called {name!r}; there are {', '.join(EDITS)}")
        rates = {name: cls.model_fields[name].default or _OFF_BY_DEFAULT for name in edits}
        return cls(**(dict.fromkeys(EDITS, 0.0) | rates))


EDITS = tuple(name for name in Augmentation.model_fields if name != "keep")
_OFF_BY_DEFAULT = 0.1


def chosen_edits(edits: Collection[str], times: int) -> Augmentation | None:
    """`Augmentation.only(edits)`; None, which is the defaults, where none is named.

    Raises:
        ValueError: there is no such edit, or texts are written anew 0 `times`.
    """
    if not edits:
        return None
    if not times:
        raise ValueError(f"edits ({', '.join(edits)}) say how texts are written anew: say how often, too (--augment)")
    return Augmentation.only(edits)


class _Unit(NamedTuple):
    text: str
    slot: int  # place in the list of slots, -1 outside


def augment(
    text: str,
    slots: Sequence[Marked],
    language: Language,
    random: Random,
    config: Augmentation | None = None,
) -> tuple[str, list[Marked]]:
    """`text` written in another way, and its slots there, in their order.

    The same arguments and state of `random` give the same text. A text is never emptied, nor is a slot. Digits,
    placeholders and event tokens are left alone.

    Args:
        text: what a person wrote.
        slots: (name, start, end) by characters of `text`; they do not overlap.
        language: of the text.
        random: one of each example and pass, such as `Random(f"{seed}/{epoch}/{place}")`.
        config: how often each edit is made; None: the defaults.

    Raises:
        ValueError: slots overlap or lie outside the text.
    """
    config = config or Augmentation()
    units = _units(text, slots)
    if random.random() < config.keep or not text.strip():
        return text, list(slots)
    edits: tuple[Callable[[], list[_Unit]], ...] = (
        lambda: _paraphrased(units, language, random, config.paraphrase),
        lambda: _code_switched(units, language, random, config.code_switch),
        lambda: _swapped(units, random, config.word_swap),
        lambda: _dropped(units, random, config.word_drop),
        lambda: _mistyped(units, random, config.character_noise),
        lambda: _framed(units, language, random, config.frame),
    )
    for edit in edits:
        units = edit()
    return _written(units, slots)


def augment_utterance(
    text: str,
    slots: Sequence[Marked],
    utterance: tuple[int, int],
    language: Language,
    random: Random,
    config: Augmentation | None = None,
) -> tuple[str, list[Marked], tuple[int, int]]:
    """`augment` for the utterance inside a rendered session: what shops logged around it stays.

    Args:
        text: of a row of `EXAMPLE_SCHEMA`.
        slots: offsets in `text`.
        utterance: characters [start, end) of the utterance; slots outside it are shifted, not edited.
        language, random, config: as in `augment`.

    Returns:
        Text, slots and the utterance's place in it.
    """
    start, end = utterance
    inside = [(name, first - start, last - start) for name, first, last in slots if start <= first and last <= end]
    written, moved = augment(text[start:end], inside, language, random, config)
    by = len(written) - (end - start)
    following = iter(moved)
    placed: list[Marked] = []
    for name, first, last in slots:
        if start <= first and last <= end:
            name, first, last = next(following)
            placed.append((name, first + start, last + start))
        else:
            shift = by if first >= end else 0
            placed.append((name, first + shift, last + shift))
    return text[:start] + written + text[end:], placed, (start, end + by)


def augmented_examples(train: pa.Table, times: int, seed: int = 0, config: Augmentation | None = None) -> pa.Table:
    """Each row of `train` written anew `times` times: rows of its schema, `<example_id>~<n>`, slots moved along."""
    rows = []
    for number in range(1, times + 1):
        for place, row in enumerate(train.to_pylist()):
            slots = [(slot["name"], slot["start"], slot["end"]) for slot in row["slots"] or ()]
            utterance = row["utterance_start"], row["utterance_end"]
            random = Random(f"{seed}/{number}/{place}")
            text, moved, (start, end) = augment_utterance(
                row["text"], slots, utterance, row["language"], random, config
            )
            row |= {"example_id": f"{row['example_id']}~{number}", "text": text}
            row |= {"utterance_start": start, "utterance_end": end}
            if row["slots"] is not None:
                row["slots"] = [{"name": name, "start": first, "end": last} for name, first, last in moved]
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=train.schema)


def _units(text: str, slots: Sequence[Marked]) -> list[_Unit]:
    owner = [-1] * len(text)
    for place, (name, start, end) in enumerate(slots):
        if not 0 <= start < end <= len(text) or any(other != -1 for other in owner[start:end]):
            raise ValueError(
                f"slot {name!r} at {start}:{end} overlaps another or lies outside of {len(text)} characters"
            )
        owner[start:end] = [place] * (end - start)
    units: list[_Unit] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or owner[end] != owner[start]:
            units.extend(_Unit(found, owner[start]) for found in _UNIT.findall(text[start:end]))
            start = end
    return units


def _written(units: Sequence[_Unit], slots: Sequence[Marked]) -> tuple[str, list[Marked]]:
    bounds: dict[int, tuple[int, int]] = {}
    at = 0
    for unit in units:
        if unit.slot >= 0:
            bounds[unit.slot] = (bounds.get(unit.slot, (at, at))[0], at + len(unit.text))
        at += len(unit.text)
    return "".join(unit.text for unit in units), [(name, *bounds[place]) for place, (name, _, _) in enumerate(slots)]


def _is_word(unit: _Unit) -> bool:
    return unit.text[0].isalpha()


def _dropped(units: list[_Unit], random: Random, rate: float) -> list[_Unit]:
    left = sum(map(_is_word, units))
    kept: list[_Unit] = []
    for unit in units:
        if unit.slot < 0 and left > 2 and _is_word(unit) and random.random() < rate:
            left -= 1
            continue
        # A word takes the blank before it along.
        if unit.text.isspace() and unit.slot < 0 and kept and kept[-1].text.isspace():
            continue
        kept.append(unit)
    return kept


def _swapped(units: list[_Unit], random: Random, rate: float) -> list[_Unit]:
    units = list(units)
    words = [place for place, unit in enumerate(units) if _is_word(unit)]
    for first, second in pairwise(words):
        # Only neighbours with at most a blank between, and never across the edge of a slot.
        between = units[first + 1 : second]
        together = all(unit.slot < 0 for unit in units[first : second + 1])
        if together and all(unit.text.isspace() for unit in between) and random.random() < rate:
            units[first], units[second] = units[second], units[first]
    return units


def _mistyped(units: list[_Unit], random: Random, rate: float) -> list[_Unit]:
    typed: list[_Unit] = []
    for unit in units:
        if _LETTERS.fullmatch(unit.text) and random.random() < rate:
            typed.append(unit._replace(text=_slip(unit.text, random)))
        elif unit.slot < 0 and _HAN.fullmatch(unit.text) and random.random() < rate / 2:
            # Chinese is typed by sound, which cannot be told from the character: a key pressed twice.
            typed.append(unit._replace(text=unit.text * 2))
        else:
            typed.append(unit)
    return typed


def _slip(word: str, random: Random) -> str:
    place = random.randrange(1, len(word) - 1)
    kind = random.randrange(4)
    if kind == 0:
        return word[:place] + _neighbour(word[place], random) + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 2:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place] + word[place:]


def _neighbour(letter: str, random: Random) -> str:
    for row, keys in enumerate(_KEYS):
        column = keys.find(letter.lower())
        if column >= 0:
            near = keys[max(0, column - 1) : column] + keys[column + 1 : column + 2]
            for other in (row - 1, row + 1):
                if 0 <= other < len(_KEYS):
                    near += _KEYS[other][column : column + 1]
            found = random.choice(near)
            return found.upper() if letter.isupper() else found
    return letter


def _framed(units: list[_Unit], language: Language, random: Random, rate: float) -> list[_Unit]:
    if random.random() >= rate:
        return units
    before, after = random.choice(_FRAMES[language])
    ending: list[_Unit] = []
    if after:
        # Before the closing mark, as people write it.
        units = list(units)
        while units and units[-1].slot < 0 and units[-1].text in ".!?。!?":
            ending.insert(0, units.pop())
    return [_Unit(before, -1)] * bool(before) + units + [_Unit(after, -1)] * bool(after) + ending


def _paraphrased(units: list[_Unit], language: Language, random: Random, rate: float) -> list[_Unit]:
    if random.random() >= rate:
        return units
    choices = [(phrase, row) for row in _PARAPHRASES[language] for phrase in row]
    # Longer phrases first: `i would like to` holds others.
    for phrase, row in sorted(choices, key=lambda choice: -len(choice[0])):
        place, end = _find(units, phrase)
        if place >= 0:
            other = random.choice([entry for entry in row if entry != phrase])
            return [*units[:place], *(_Unit(found, -1) for found in _UNIT.findall(other)), *units[end:]]
    return units


def _find(units: Sequence[_Unit], phrase: str) -> tuple[int, int]:
    """Units [place, end) outside of slots that spell `phrase`, (-1, -1) where none do."""
    wanted = _UNIT.findall(phrase)
    for place in range(len(units) - len(wanted) + 1):
        window = units[place : place + len(wanted)]
        if all(unit.slot < 0 and unit.text.lower() == word for unit, word in zip(window, wanted, strict=True)):
            return place, place + len(wanted)
    return -1, -1


def _code_switched(units: list[_Unit], language: Language, random: Random, rate: float) -> list[_Unit]:
    if not rate:
        return units
    table = glosses() if language == "zh" else translations()
    longest = 4 if language == "zh" else 5
    switched: list[_Unit] = []
    place = 0
    while place < len(units):
        for size in range(min(longest, len(units) - place), 0, -1):
            window = units[place : place + size]
            spelled = "".join(unit.text for unit in window).lower()
            one_side = len({unit.slot for unit in window}) == 1
            # Single characters mean too many things alone.
            if one_side and (language == "en" or size > 1) and spelled in table and random.random() < rate:
                switched.extend(_Unit(found, window[0].slot) for found in _UNIT.findall(table[spelled]))
                place += size
                break
        else:
            switched.append(units[place])
            place += 1
    return switched
