"""What a text states that must not change on the way: numbers with their units, links and addresses, and denials.

Numbers are read in digits and in words of both languages: 七天, "seven days" and "7 days" are one. A denial is the
presence of a word that denies or excepts, clause by clause; what it applies to inside its clause is not understood.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from intent_tracking.applications.customer_service.terms import terms
from intent_tracking.text.simplified import simplified

_LINK: Final = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|(?:[a-z0-9-]+\.)+[a-z]{2,}(?:[/?#:]\S*)?")
_SCHEME: Final = re.compile(r"(?:https?://)?(?:www\.)?")
_HAN: Final = "\u4e00-\u9fff"
# Not the marks inside a link.
_SENTENCE: Final = re.compile(rf"(?<=[.!?])(?=[\s{_HAN}])|(?<=[。;])")
_QUESTION: Final = re.compile(r"(?:\?|[吗呢]\s*[。.]?)\s*$")
_DIGITS: Final = {"零": 0, "〇": 0, "两": 2, "半": 0.5} | {each: n for n, each in enumerate("一二三四五六七八九", 1)}
_SCALES: Final = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}
_WORD_SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_OTHER_WORDS: Final = {"half": 0.5, "dozen": 12, "couple": 2, "twice": 2}
# What 一 counts beside the units: elsewhere it is an article (一个) or a piece of a word (一般, 统一).
_ONE_COUNTS: Final = frozenset("次件双倍份单张条家")
_PREFIXES: Final = ("un", "non", "in", "im")


@dataclass(frozen=True)
class Fact:
    """A link, an address or a number as it was written; `value` is its one form, `unit` what a number counts.

    Letters that touch a number are a unit, too (A4, 15pro): they make another thing of it.
    """

    written: str
    value: str
    unit: str = ""


@dataclass(frozen=True)
class _Clause:
    text: str
    denies: bool
    terms: frozenset[str]


def made_up(said: str, held: Iterable[str]) -> str | None:
    """The first fact of `said` that none of `held` states; a bare number may stand for one with a unit.

    What `held` ask they do not state.
    """
    known = {(fact.value, fact.unit) for text in held for each in _stated(text) for fact in facts(each)}
    known |= {(value, "") for value, _ in known}
    return next((fact.written for fact in facts(said) if (fact.value, fact.unit) not in known), None)


def facts(text: str) -> list[Fact]:
    """The facts of `text`: links and addresses, then numbers."""
    patterns = _patterns()
    plain = _plain(text)
    links = [found.group().rstrip(".,:;)。") for found in _LINK.finditer(plain)]
    found = [Fact(link, _SCHEME.sub("", link, count=1)) for link in links]
    plain = patterns.counts_nothing.sub(" ", _LINK.sub(" ", plain))
    for number in patterns.number.finditer(plain):
        before, found_after = number["before"] or "", patterns.unit.match(plain, number.end())
        after = found_after[0] if found_after is not None else ""
        unit = "percent" if number["part"] else _unit(before) or _unit(after)
        if number["han"] == "半" and not unit:
            continue
        if number["han"] == "一" and not unit and plain[number.end() : number.end() + 1] not in _ONE_COUNTS:
            continue
        written = plain[number.start() : number.end() + len(after)].strip()
        found.append(Fact(written, _value(number), unit or before + after))
    return found


def contradicted(said: str, held: Sequence[str]) -> str | None:
    """The first clause of `said` that denies where `held` do not, or does not where they do; None where all agree.

    A clause agrees if those that share most words with it deny as it does, and each word that it shares stands also in
    one that does. So a condition or an exception that is left out may count as a contradiction, and never the reverse.
    Questions claim nothing.
    """
    stated = [clause for text in held for clause in _clauses(text)]
    words = {word for clause in stated for word in clause.terms}
    for clause in _clauses(said):
        agreeing, opposed = (_words(stated, clause.denies), _words(stated, not clause.denies))
        shared = clause.terms & words
        shares = [(len(clause.terms & each.terms), each.denies) for each in stated]
        most = max((share for share, _ in shares), default=0)
        nearest = {denies for share, denies in shares if share == most}
        if nearest - {clause.denies} or shared & opposed - agreeing:
            return clause.text
        if any(_opposite(word) & words for word in clause.terms - words):
            return clause.text
    return None


def _words(clauses: Iterable[_Clause], denies: bool) -> set[str]:
    return {word for clause in clauses if clause.denies == denies for word in clause.terms}


def _opposite(word: str) -> set[str]:
    """`worn` of `unworn` and the reverse."""
    without = {word.removeprefix(each) for each in _PREFIXES if word.startswith(each)}
    return {f"{each}{word}" for each in _PREFIXES if word.isascii()} | without


def _stated(text: str) -> list[str]:
    """The sentences of `text` that are no questions."""
    return [sentence for sentence in _SENTENCE.split(_plain(text)) if not _QUESTION.search(sentence)]


def _clauses(text: str) -> list[_Clause]:
    found = [part for sentence in _stated(text) for part in _parts(sentence)]
    clauses: list[_Clause] = []
    waiting, denied = "", False
    for (clause, denies), words in zip(found, terms([clause for clause, _ in found]), strict=True):
        # What says nothing by itself ("No,") belongs to what follows it.
        waiting, denied = f"{waiting}{clause}", denied or denies
        if words:
            clauses.append(_Clause(waiting.strip(), denied, frozenset(words)))
            waiting, denied = "", False
    if denied:
        clauses.append(_Clause(waiting.strip(), denied, frozenset()))
    return clauses


def _parts(sentence: str) -> Iterator[tuple[str, bool]]:
    """The clauses of a sentence and whether each denies; a denial before a colon goes for the list after it."""
    patterns = _patterns()
    listed = False
    for clause in patterns.turn.split(sentence):
        bare = patterns.denies_nothing.sub(" ", clause)
        denial = patterns.denies.search(bare)
        yield clause, listed or denial is not None
        listed = listed or (denial is not None and ":" in bare[denial.end() :])


def _plain(text: str) -> str:
    return simplified(unicodedata.normalize("NFKC", text).lower())


def _unit(text: str) -> str:
    """The name of the listed unit that `text` writes, with what joins it to its number; empty where it is none."""
    found = _patterns().unit.match(text)
    return found.lastgroup or "" if found is not None else ""


def _value(number: re.Match[str]) -> str:
    """One form for a number in digits, in Chinese or in English words; what is no number stays as it is."""
    if number["digits"]:
        value, scale = number["digits"], number["scale"] or ""
        if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", value):
            value = value.replace(",", "")
        if not re.fullmatch(r"\d+(?:\.\d{1,2})?", value):
            return value + scale
        amount = float(value)
        for each in scale:
            amount *= _SCALES[each]
        return _written(amount)
    if number["han"] or number["part"]:
        run = number["han"] or number["part"]
        amount_of_run = _han(run)
        return run if amount_of_run is None else _written(amount_of_run)
    return _written(_english(re.findall(r"[a-z]+", number["words"])))


def _written(amount: float) -> str:
    return f"{amount:.6f}".rstrip("0").rstrip(".")


def _han(run: str) -> float | None:
    """The value of a Chinese numeral; None where it is none, as 七八 (seven or eight)."""
    if run.isdigit() and run.isascii():
        return float(run)
    if all(each in _DIGITS and each != "半" for each in run) and (len(run) > 2 or {"零", "〇"} & set(run)):
        return float("".join(str(_DIGITS[each]) for each in run))
    if re.search("[百千万亿][^十百千万亿零〇]$", run):
        return None  # 一百五 is 150
    total = section = 0.0
    digit: float | None = None
    for each in run:
        if each in _DIGITS:
            if digit:
                return None
            digit = _DIGITS[each]
        elif _SCALES[each] < _SCALES["万"]:
            section += (1 if digit is None else digit) * _SCALES[each]
            digit = None
        else:
            total += (section + (digit or 0) or 1) * _SCALES[each]
            section, digit = 0.0, None
    return total + section + (digit or 0)


def _english(words: Sequence[str]) -> float:
    """The value of English number words; `a` beside none of them is one, as in a week."""
    values: Mapping[str, float] = _listed()["numbers"] | _OTHER_WORDS
    words = [word for word in words if word in values or word in _WORD_SCALES] or ["one"]
    total = current = 0.0
    for word in words:
        if word == "hundred":
            current = (current or 1) * _WORD_SCALES[word]
        elif word in _WORD_SCALES:
            total, current = total + (current or 1) * _WORD_SCALES[word], 0.0
        else:
            current += values[word]
    return total + current


@dataclass(frozen=True)
class _Patterns:
    number: re.Pattern[str]
    unit: re.Pattern[str]
    counts_nothing: re.Pattern[str]
    denies: re.Pattern[str]
    denies_nothing: re.Pattern[str]
    turn: re.Pattern[str]


@cache
def _listed() -> dict[str, Any]:
    path = resources.files("intent_tracking.applications.customer_service") / "claims.yaml"
    listed: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return listed


@cache
def _patterns() -> _Patterns:
    listed = _listed()
    units = {name: _either(written.get("en"), written.get("zh")) for name, written in listed["units"].items()}
    unit = "|".join(f"(?P<{name}>{pattern})" for name, pattern in units.items())
    small = [word for word, value in listed["numbers"].items() if value < 10]
    tens = [word for word, value in listed["numbers"].items() if value >= 20]
    teens = [word for word, value in listed["numbers"].items() if 10 <= value < 20]
    joint = r"[\s-]+"
    below_100 = rf"(?:(?:{'|'.join(tens)})(?:{joint}(?:{'|'.join(small)}))?|{'|'.join(teens)}|{'|'.join(small)})"
    below_1000 = rf"(?:(?:{below_100}|a){joint}hundred(?:{joint}(?:and{joint})?{below_100})?|{below_100})"
    words = (
        rf"(?:(?:{below_1000}|a){joint}thousand(?:{joint}(?:and{joint})?{below_1000})?|{below_1000}"
        rf"|hundred|thousand|million|dozen|couple(?:{joint}of)?|twice|half(?:{joint}an?)?"
        rf"|an?(?={joint}(?:{'|'.join(units.values())})))"
    )
    han = f"[{''.join([*_DIGITS, *_SCALES])}]+"
    before = _either(listed["before"]["en"], listed["before"]["zh"])
    number = (
        rf"(?P<before>{before}|(?<![a-z])[a-z]+(?=\d))?\s*(?:百分之(?P<part>{han}|\d+)"
        rf"|(?P<digits>\d+(?:[.,:]\d+)*)(?P<scale>[{''.join(_SCALES)}]*)|(?P<han>{han})"
        rf"|(?<![a-z0-9])(?P<words>{words})(?![a-z0-9]))"
    )
    return _Patterns(
        number=re.compile(number),
        unit=re.compile(rf"[\s-]*(?:{unit})|[a-z]+"),
        counts_nothing=_listing(listed["counts_nothing"]),
        denies=_listing(listed["denies"]),
        denies_nothing=_listing(listed["denies_nothing"]),
        # A comma parts clauses in Chinese; in English it parts the words of a list.
        turn=re.compile(rf"{_either(listed['turns']['en'], listed['turns']['zh'])}|(?<=[{_HAN}]),|,(?=[{_HAN}])"),
    )


def _either(english: str | None, chinese: str | None) -> str:
    words = rf"(?<![a-z])(?:{english})(?![a-z])" if english else None
    return f"(?:{'|'.join(part for part in (words, chinese) if part)})"


def _listing(listed: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    return re.compile(_either("|".join(listed["en"]), "|".join(listed["zh"])))
