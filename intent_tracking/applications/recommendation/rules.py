"""The rules of the shop: which strategy answers which intent, and what may be shown at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from intent_tracking.applications.shop_file import Declared, ShopFile

logger = logging.getLogger(__name__)


class RulesError(ValueError):
    """The file of rules cannot be used; the message names the entry and what it takes."""


class Source(StrEnum):
    """Where a candidate comes from."""

    SESSION = "session"
    ALIKE = "alike"
    PAST = "past"
    LAST_PURCHASE = "last_purchase"
    OWN = "own"
    POPULAR = "popular"


class Named(Declared):
    """Items by what they are."""

    items: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    brands: frozenset[str] = frozenset()


Factor = Annotated[float, Field(ge=0, le=100)]


class Boost(Declared):
    """Factors on the score of items by what they are; several are multiplied."""

    items: Mapping[str, Factor] = Field(default_factory=dict)
    categories: Mapping[str, Factor] = Field(default_factory=dict)
    brands: Mapping[str, Factor] = Field(default_factory=dict)


class PriceRange(Declared):
    """Bounds of the price, both inclusive."""

    least: float | None = None
    most: float | None = None


class Strategy(Declared):
    """How candidates become an answer; `rules.yaml` says what each field does."""

    repeats: Literal["keep", "leave_out"] = "keep"
    session_items: Literal["first", "keep", "leave_out"] = "leave_out"
    sources: frozenset[Source] = frozenset()
    weights: Mapping[Source, Annotated[float, Field(ge=0, le=10)]] = Field(default_factory=dict)
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    most: Annotated[int, Field(ge=0)] | None = None


class Rules(Declared):
    """Everything that the shop decides about recommendations."""

    exclude: Named
    out_of_stock: frozenset[str]
    least_shoppers: Annotated[int, Field(ge=0)]
    price: PriceRange
    boost: Boost
    most_of_category: Annotated[int, Field(ge=1)] | None
    least_probability: Annotated[float, Field(ge=0, le=1)]
    default_strategy: str
    strategy_of_intent: Mapping[str, str]
    strategies: Mapping[str, Strategy]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named = {self.default_strategy, *self.strategy_of_intent.values()}
        if unknown := sorted(named - set(self.strategies)):
            raise ValueError(f"strategies {', '.join(unknown)} are named and not declared")
        return self

    def strategy_for(self, intent: str | None) -> str:
        """The name of the strategy for an intent; the default for None and for one that the rules do not name."""
        if intent is None:
            return self.default_strategy
        return self.strategy_of_intent.get(intent, self.default_strategy)


_FILE: Final = ShopFile(Rules, Path(__file__).with_name("rules.yaml"), RulesError)


@cache
def shipped_rules() -> Rules:
    """The rules of a shop that has decided nothing."""
    return _FILE.read_shipped()


def read_rules(path: Path) -> Rules:
    """The shipped rules with the entries of `path` in their place; the shipped ones where there is no file.

    Raises:
        RulesError: the file cannot be read or is no YAML, or an entry is unknown or out of bounds.
    """
    return _FILE.read_over(path) if path.exists() else shipped_rules()


_Stamp: TypeAlias = tuple[int, ...]


class LiveRules:
    """The rules at this moment: the file is read again when it has changed. Safe for several threads.

    A file that cannot be used is logged and leaves the rules as they were. Where none was usable since the start there
    are none: those shipped would show what the shop has taken from sale. What is wrong in a file is remembered until
    it changes; one that could not be opened is tried again each time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = threading.Lock()
        self._seen: _Stamp | None = None
        self._rules: Rules | None = None
        self._refusal = ""
        self._refused: _Stamp | None = None

    def current(self) -> Rules:
        """The rules that hold now. It waits for the disk; while one thread reads, others go on with the rules before.

        Raises:
            RulesError: the file cannot be used, and could not since the start.
            OSError: its folder cannot be looked into.
        """
        held = self._rules
        if held is None:
            self._reading.acquire()
        elif not self._reading.acquire(blocking=False):
            return held
        try:
            found = _stamp(self._path)
            if found != self._seen:
                self._read(found)
            if self._rules is None:
                raise RulesError(self._refusal)
            return self._rules
        finally:
            self._reading.release()

    def _read(self, found: _Stamp) -> None:
        try:
            self._rules = read_rules(self._path)
            self._seen = found
        except RulesError as error:
            self._refusal = str(error)
            if found != self._refused:
                logger.error("ALERT: a file of rules of recommendations is refused: %s", error)
            self._refused = found
            # Too many open files, for one, says nothing of the file.
            if not isinstance(error.__cause__, OSError):
                self._seen = found


@cache
def live_rules(path: Path) -> LiveRules:
    """The rules of `path`, followed once in a process."""
    return LiveRules(path)


def _stamp(path: Path) -> _Stamp:
    """Differs where the file may have changed; that of a missing one is empty."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_size
