"""A report as sections of paragraphs, tables and pictures, in one language: what both formats are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intent_tracking.applications.insights.findings import Insights
from intent_tracking.applications.insights.intents import IntentCount
from intent_tracking.applications.insights.items import KINDS, Suggestion
from intent_tracking.applications.insights.wording import Wording


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Sentences of equal rank."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """A table; figures stand to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A picture by the name that `pictures` gives it."""

    name: str
    says: str


Block = Paragraph | Listing | Rows | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def document(found: Insights, wording: Wording) -> Document:
    """The report of `found` in the language of `wording`."""
    policy = found.policy
    lead = wording(
        "lead", texts=found.texts, days=policy.days, day=found.day, history=found.history, least=policy.least_shoppers
    )
    parts = (_missing, _intents, _funnel, _searches, _rising, _not_understood, _suggestions, _segments, _drift)
    sections = [section for part in parts if (section := part(found, wording)) is not None]
    return Document(wording("title", day=found.day), lead, tuple(sections))


def _missing(found: Insights, wording: Wording) -> Section | None:
    if not found.missing:
        return None
    texts = tuple(
        wording(f"missing.{name}", history=found.history, wanted=found.policy.history_days) for name in found.missing
    )
    return Section(wording("missing_title"), (Listing(texts),))


def _intents(found: Insights, wording: Wording) -> Section:
    title = wording("intents.title")
    if found.intents is None:
        return Section(title, (Paragraph(wording("intents.none")),))

    def rows(counts: tuple[IntentCount, ...], header: str, *, language: bool = False) -> Rows:
        names = wording.language_name if language else wording.name
        return Rows(
            wording.header(f"intents.{header}"),
            tuple((names(c.name), c.sessions, *map(_or_dash, (c.day_before, c.week_before))) for c in counts),
        )

    return Section(
        title,
        (
            Paragraph(wording("intents.note")),
            Picture("intents", wording("intents.picture")),
            rows(found.intents.by_intent, "header"),
            rows(found.intents.by_scene, "scene"),
            rows(found.intents.by_language, "language", language=True),
        ),
    )


def _funnel(found: Insights, wording: Wording) -> Section:
    title = wording("funnel.title")
    if not found.funnel:
        return Section(title, (Paragraph(wording("funnel.none")),))
    rows = tuple(
        (wording.name(row.intent) or wording("funnel.unanswered"), row.sessions, *row.reached) for row in found.funnel
    )
    picture = Picture("funnel", wording("funnel.picture"))
    return Section(title, (picture, Rows(wording.header("funnel.header"), rows)))


def _searches(found: Insights, wording: Wording) -> Section:
    title = wording("searches.title")
    searches = found.searches
    if not searches.worst:
        return Section(title, (Paragraph(wording("searches.none")),))
    share = f"{searches.unmet / searches.searches:.0%}"
    rows = tuple(
        (
            each.term,
            wording.language_name(each.language),
            each.searches,
            each.asked_again,
            each.left,
            each.shoppers,
            each.then or "",
        )
        for each in searches.worst
    )
    summary = wording("searches.summary", unmet=searches.unmet, searches=searches.searches, share=share)
    picture = Picture("searches", wording("searches.picture"))
    return Section(title, (Paragraph(summary), picture, Rows(wording.header("searches.header"), rows)))


def _rising(found: Insights, wording: Wording) -> Section:
    title = wording("rising.title")
    if not found.rising:
        return Section(title, (Paragraph(wording("rising.none")),))
    rows = tuple(
        (w.term, wording.language_name(w.language), round(w.now, 1), round(w.before, 1), round(w.z, 1))
        for w in found.rising
    )
    summary = wording("rising.summary", share=f"{found.policy.false_discoveries:.0%}")
    picture = Picture("rising", wording("rising.picture"))
    return Section(title, (Paragraph(summary), picture, Rows(wording.header("rising.header"), rows)))


def _not_understood(found: Insights, wording: Wording) -> Section:
    title, part = wording("not_understood.title"), found.not_understood
    if part is None:
        return Section(title, (Paragraph(wording("not_understood.unanswered")),))
    summary = Paragraph(
        wording(
            "not_understood.summary",
            out=part.out_of_scope,
            answers=part.answers,
            unsure=part.unsure,
            low=found.policy.low_confidence,
            unthemed=part.unthemed,
        )
    )
    if not part.themes:
        return Section(title, (summary, Paragraph(wording("not_understood.none"))))
    rows = tuple((", ".join(t.words), t.texts, t.shoppers, " / ".join(t.examples)) for t in part.themes)
    table = Rows(wording.header("not_understood.header"), rows)
    return Section(title, (summary, table, Paragraph(wording("not_understood.note"))))


def _suggestions(found: Insights, wording: Wording) -> Section:
    title = wording("suggestions.title")
    if not found.suggestions:
        return Section(title, (Paragraph(wording("suggestions.none")),))
    rows = tuple(
        (_subject(s, wording), _aspect(s, wording), s.times, s.shoppers, _advice(s, wording)) for s in found.suggestions
    )
    return Section(title, (Rows(wording.header("suggestions.header"), rows),))


def _subject(each: Suggestion, wording: Wording) -> str:
    if each.whole_category:
        return wording("suggestions.category", subject=each.subject)
    return wording("suggestions.views", subject=each.subject, views=each.views) if each.views else each.subject


def _aspect(each: Suggestion, wording: Wording) -> str:
    return wording(f"kinds.{each.kind}") if each.kind in KINDS else each.aspect


def _advice(each: Suggestion, wording: Wording) -> str:
    if each.kind not in KINDS:
        return wording("suggestions.word", aspect=each.aspect, times=each.times)
    values = wording("suggestions.values", values=", ".join(each.values)) if each.values else ""
    share = f"{each.answered:.0%}"
    aspect = _aspect(each, wording)
    return wording("suggestions.kind", aspect=aspect, times=each.times, values=values, answered=share)


def _segments(found: Insights, wording: Wording) -> Section:
    title = wording("segments.title")
    if not found.segments:
        return Section(title, (Paragraph(wording("segments.none")),))
    rows = tuple((each.name, each.shoppers, _or_dash(each.week_before)) for each in found.segments)
    table = Rows(wording.header("segments.header"), rows)
    return Section(title, (Paragraph(wording("segments.day", day=found.segments_day)), table))


def _drift(found: Insights, wording: Wording) -> Section:
    title, drift = wording("drift.title"), found.drift
    if drift is None:
        return Section(title, (Paragraph(wording("drift.none")),))
    verdict = Paragraph(wording("drift.verdict" if drift.drifted else "drift.calm", reason=drift.reason))
    far = sorted((c for c in drift.columns if c.drifted), key=lambda c: (-c.statistic / c.threshold, c.name))
    rows = tuple((c.name, c.kind, round(c.statistic, 3), round(c.threshold, 3)) for c in far)
    return Section(title, (verdict, *([Rows(wording.header("drift.header"), rows)] if rows else [])))


def _or_dash(number: int | None) -> int | str:
    return "–" if number is None else number


def pictures_of(report: Document) -> Iterator[Picture]:
    """The pictures that a document shows, in its order."""
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Picture):
                yield block
