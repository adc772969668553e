"""What shoppers ask about an item, and whether what the shop says of it has the answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import duckdb
import pyarrow as pa

from intent_tracking.applications.insights.material import create_view
from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.applications.insights.rising import log_odds
from intent_tracking.events.contract import EventName
from intent_tracking.tables import DayTable
from intent_tracking.text.attributes import attributes
from intent_tracking.text.linguistics import Analysis

# What is said of an item comes again with every event: each wording is numbered once, and who met it is kept beside the
# number alone. Hashes of two shoppers that meet would count them as one, never as more than there are.
_WORDINGS: Final = """
CREATE TEMP VIEW met_items AS
  SELECT shopper_id, coalesce(item.item_id, item.item_name) AS key, coalesce(item.item_name, item.item_id) AS name,
         item.item_category AS category, concat_ws(' ', item.item_name, item.item_brand, item.item_category,
         item.item_variant) AS said
  FROM (SELECT shopper_id, unnest(items) AS item FROM events)
  WHERE coalesce(item.item_id, item.item_name) IN (SELECT key FROM wanted);
CREATE TEMP TABLE wordings AS
  SELECT row_number() OVER () AS number, * FROM (SELECT DISTINCT key, name, category, said FROM met_items);
CREATE TEMP TABLE meetings AS
  SELECT DISTINCT number, CASE WHEN shopper_id IS NOT NULL THEN hash(shopper_id) END AS shopper
  FROM met_items JOIN wordings ON wordings.key = met_items.key AND wordings.name = met_items.name
    AND wordings.said = met_items.said AND wordings.category IS NOT DISTINCT FROM met_items.category
"""
_TOLD: Final = """
WITH met AS (
  SELECT shopper, wordings.* FROM meetings JOIN wordings USING (number)
), names AS (
  SELECT key, name, count(DISTINCT shopper) AS shoppers,
         row_number() OVER (PARTITION BY key ORDER BY count(DISTINCT shopper) DESC, name) AS rank
  FROM met GROUP BY key, name
), categories AS (
  SELECT key, name, category, count(DISTINCT shopper) AS shoppers,
         row_number() OVER (PARTITION BY key, name ORDER BY count(DISTINCT shopper) DESC, category) AS rank
  FROM met WHERE category IS NOT NULL GROUP BY key, name, category
), called AS (
  SELECT names.key, names.name, names.shoppers, coalesce(categories.category, '') AS category
  FROM names LEFT JOIN categories
    ON categories.key = names.key AND categories.name = names.name AND categories.rank = 1
    AND categories.shoppers >= $least
  WHERE names.rank = 1
)
SELECT key, any_value(called.name), any_value(called.category), string_agg(DISTINCT said, ' ' ORDER BY said),
       any_value(called.shoppers)
FROM wordings JOIN called USING (key) GROUP BY key ORDER BY key
"""
_LOOKING: Final = frozenset({EventName.VIEW_ITEM, EventName.SELECT_ITEM})
_ABOUT: Final = frozenset({"NOUN", "ADJ", "PROPN", "VERB"})
KINDS: Final = frozenset({"colour", "material", "size"})
_NO_ASPECT: Final = frozenset({"price", "price_at_most", "price_at_least", "quantity"})
# A word of the questions must be more frequent there than in other messages: thanks and orders are no aspects.
_TELLING: Final = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about an item, or words searched for before it was opened, analysed."""

    shopper: str
    item: str
    analysis: Analysis


@dataclass(frozen=True)
class ItemText:
    """What the shop says of an item: all its texts in small letters, and how many shoppers met it by this name."""

    name: str
    category: str
    said: str
    shoppers: int

    def says(self, word: str) -> bool:
        """Whether the texts have `word`; as a piece of them where the language puts no spaces."""
        return word in self.said if not word.isascii() else word in self.words

    def named(self, word: str) -> bool:
        """Whether the name or the category has `word`, also as the beginning of a word: lip of a lipstick."""
        if not word.isascii():
            return word in self.name or word in self.category
        own = f"{self.name} {self.category}".lower().replace("-", " ").split()
        return any(word == each or (len(word) > 2 and each.startswith(word)) for each in own)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the texts."""
        return frozenset("".join(c if c.isalnum() else " " for c in self.said).split())


@dataclass(frozen=True)
class Suggestion:
    """`aspect` was asked about for a subject, an item or all items of a category; how often, by how many.

    Attributes:
        kind: `word`, or the kind of a value (size, colour, material): then `values` are the most asked for.
        answered: 0..1 of the questions whose item's texts have the word or the value.
        views: of the product page within a week, where features know it.
    """

    subject: str
    whole_category: bool
    kind: str
    aspect: str
    values: tuple[str, ...]
    times: int
    shoppers: int
    answered: float
    views: int | None


def told_items(
    events: DayTable, days: Sequence[date], items: Collection[str], descriptions: Mapping[str, str], least: int
) -> dict[str, ItemText]:
    """What events (EVENT_SCHEMA) of `days` and `descriptions` (by item id) say of each of `items`.

    An item has the name that most shoppers met it by, and the category that most of these met it in; none where fewer
    than `least` did. Both come from browsers, and what one of them sends is shown to nobody.
    """
    with duckdb.connect() as database:
        create_view(database, "events", events, days)
        database.register("wanted", pa.table({"key": pa.array(sorted(items), pa.string())}))
        database.execute(_WORDINGS)
        rows = database.execute(_TOLD, {"least": least}).fetchall()
    return {
        key: ItemText(name, category, f"{said} {descriptions.get(key, '')}".lower(), shoppers)
        for key, name, category, said, shoppers in rows
    }


def items_asked_about(session: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(event id, `message` or `search`, item) of each message about an item and each search that led to one.

    A message is about its own item or the one looked at last before it; a search led to the item opened first after it.
    """
    found: list[tuple[str, str, str]] = []
    looked: str | None = None
    searched: str | None = None
    for event in session["events"]:
        name, items = event["event_name"], event["items"] or ()
        item = (items[0]["item_id"] or items[0]["item_name"]) if items else None
        if name in _LOOKING and item:
            if searched is not None:
                found.append((searched, "search", item))
            looked, searched = item, None
        elif name == EventName.SEARCH:
            searched = event["event_id"] if event["search_term"] else None
        elif name == EventName.MESSAGE and (item or looked):
            found.append((event["event_id"], "message", item or looked or ""))
    return found


def suggestions(
    asked: Sequence[Asked],
    others: Sequence[Analysis],
    told: Mapping[str, ItemText],
    views: Mapping[str, int],
    policy: InsightsPolicy,
) -> list[Suggestion]:
    """What to say of which item, by how many asked for what its texts do not have.

    Items that too few asked about are taken together by category.

    Args:
        asked: questions and searches, each with its item.
        others: messages that are no questions about items, from which the words of questions are told.
        told: of the items.
        views: of the last week, by item.
        policy: from how many shoppers on.
    """
    telling = _telling([each.analysis for each in asked], others)
    by_item: defaultdict[tuple[str, str], list[tuple[Asked, str]]] = defaultdict(list)
    for each in asked:
        if each.item in told and told[each.item].shoppers >= policy.least_shoppers:
            for kind, aspect, value in _aspects(each.analysis, telling):
                # Who calls a lipstick "lip" asks for nothing that is missing.
                if kind != "word" or not told[each.item].named(value):
                    by_item[each.item, f"{kind}\x1f{aspect}"].append((each, value))
    found: list[Suggestion] = []
    by_category: defaultdict[tuple[str, str], list[tuple[Asked, str]]] = defaultdict(list)
    for (item, aspect), questions in sorted(by_item.items()):
        if _shoppers(questions) >= policy.least_shoppers:
            found.append(_suggestion(told[item].name, False, aspect, questions, told, views.get(item), policy))
        elif told[item].category:
            by_category[told[item].category, aspect] += questions
    for (category, aspect), questions in sorted(by_category.items()):
        if _shoppers(questions) >= policy.least_shoppers:
            found.append(_suggestion(category, True, aspect, questions, told, None, policy))
    unanswered = [each for each in found if each.answered < 0.5]
    unanswered.sort(
        key=lambda each: (each.whole_category, -each.times * (1 - each.answered), each.subject, each.aspect)
    )
    return unanswered[: policy.most]


def _shoppers(questions: Iterable[tuple[Asked, str]]) -> int:
    return len({asked.shopper for asked, _ in questions})


def _suggestion(
    subject: str,
    whole: bool,
    key: str,
    questions: Sequence[tuple[Asked, str]],
    told: Mapping[str, ItemText],
    views: int | None,
    policy: InsightsPolicy,
) -> Suggestion:
    kind, aspect = key.split("\x1f")
    users: defaultdict[str, set[str]] = defaultdict(set)
    for asked, value in questions:
        users[value].add(asked.shopper)
    shown = sorted((v for v in users if len(users[v]) >= policy.least_shoppers), key=lambda v: (-len(users[v]), v))
    answered = sum(any(told[asked.item].says(word) for word in value.split()) for asked, value in questions)
    return Suggestion(
        subject=subject,
        whole_category=whole,
        kind=kind,
        aspect=aspect,
        values=tuple(shown[:3]) if kind in KINDS else (),
        times=len(questions),
        shoppers=_shoppers(questions),
        answered=answered / len(questions),
        views=views,
    )


def _aspects(analysis: Analysis, telling: Collection[str]) -> set[tuple[str, str, str]]:
    """(kind, aspect, value) of what a text asks for: values of known kinds, and the telling words."""
    found: set[tuple[str, str, str]] = set()
    taken: set[int] = set()
    for each in attributes(analysis):
        if each.kind in KINDS:
            found.add((each.kind, each.kind, each.value.lower()))
        if each.kind in KINDS or each.kind in _NO_ASPECT:
            taken.update(range(each.start, each.end))
    for before, token in pairwise((None, *analysis.tokens)):
        word = token.text.lower() if token is not None else ""
        if token is None or token.tag not in _ABOUT or token.start in taken:
            continue
        if before is not None and before.end == token.start and before.text.isdigit() and word.isascii():
            # 44mm, 512gb: a number and its unit are one size.
            found.add(("size", "size", f"{before.text}{word}"))
        elif word in telling:
            found.add(("word", word, word))
    return found


def _telling(asked: Sequence[Analysis], others: Sequence[Analysis]) -> set[str]:
    """The words that questions about items have more often than other messages do."""
    inside = Counter(word for analysis in asked for word in _content(analysis))
    outside = Counter(word for analysis in others for word in _content(analysis))
    if not outside:
        return set(inside)
    scores = log_odds(inside, outside, (inside.total(), outside.total()), inside)
    return {word for word, score in scores.items() if score > _TELLING}


def _content(analysis: Analysis) -> set[str]:
    return {token.text.lower() for token in analysis.tokens if token.tag in _ABOUT and len(token.text) > 1}
