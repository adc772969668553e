"""What a shop learned on a day: found where it was put, and nothing of a single person shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.insights.anonymity import named_in
from intent_tracking.applications.insights.document import document
from intent_tracking.applications.insights.findings import find_insights
from intent_tracking.applications.insights.items import ItemText, told_items
from intent_tracking.applications.insights.material import (
    DescriptionsError,
    analysed_messages,
    sessions_with,
    texts_of,
)
from intent_tracking.applications.insights.pages import as_html, as_markdown
from intent_tracking.applications.insights.pictures import days_shown
from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.applications.insights.report import write_report
from intent_tracking.applications.insights.rising import discoveries, log_odds, rising_words
from intent_tracking.applications.insights.searches import unmet_searches
from intent_tracking.applications.insights.wording import Wording
from intent_tracking.applications.insights.words import GAP, Said, Voices, spoken
from intent_tracking.erasure.search import Names, search
from intent_tracking.events.contract import EVENT_SCHEMA, EventName
from intent_tracking.tables import DayTable
from tests.fakes.shop_weeks import ANALYSERS, DAY, POLICY, Shop, shop_with_news, sources_of

pytestmark = pytest.mark.unit

HOSTILE = '<img src=x onerror=alert(1)> [click](http://evil.example) | "x"'


@pytest.fixture(scope="module")
def shop_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    shop_with_news().sources(home)
    return home


@pytest.fixture(scope="module")
def found(shop_home):
    return find_insights(sources_of(shop_home), DAY, ANALYSERS, POLICY)


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    return write_report(found, tmp_path_factory.mktemp("reports") / DAY.isoformat()).parent


def said(texts: list[str], *, shoppers: int, day: date = DAY) -> list[Said]:
    return [Said(day, f"shopper-{number}", "en", text) for text in texts for number in range(shoppers)]


def test_what_is_new_rises_and_what_is_usual_does_not(found):
    rising = {word.term for word in found.rising}
    assert {"jacket waterproof", "heated socks"} <= rising
    assert rising.isdisjoint({"red jacket", "order", "the", "is"})


def test_a_phrase_stands_for_the_words_that_only_it_has(found):
    assert {"heated", "waterproof"}.isdisjoint(word.term for word in found.rising)


def test_a_phrase_that_a_grammatical_word_begins_or_ends_is_a_fragment_and_punctuation_is_no_part_of_a_word():
    class Glued(type(ANALYSERS["en"])):
        def words(self, texts):
            return [[word.span() for word in re.finditer(r"\S+", text)] for text in texts]

    now = spoken(said(["sorry, to bother you"], shoppers=40), {"en": Glued()})
    before = spoken(said(["old thing"], shoppers=40, day=DAY - timedelta(days=9)), ANALYSERS)
    policy = InsightsPolicy(least_shoppers=3)
    assert {word.term for word in rising_words(now, before, policy, {"to", "you"})} == {"sorry", "bother"}
    assert "sorry to" in {word.term for word in rising_words(now, before, policy)}


def test_a_piece_of_its_own_name_is_nothing_that_a_description_lacks():
    item = ItemText("Aero lipstick", "make-up", "", 5)
    assert all(item.named(word) for word in ("lip", "lipstick", "aero", "up"))
    assert not any(item.named(word) for word in ("stick", "li", "tee"))
    assert ItemText("红色口红", "美妆", "", 5).named("口红")


def test_a_day_without_answers_has_its_place_on_the_axis():
    first = date(2026, 2, 1)
    assert days_shown([first + timedelta(days=2), first]) == [first + timedelta(days=after) for after in range(3)]


@given(st.integers(1, 400), st.integers(1, 400))
def test_equal_shares_do_not_rise_and_the_more_frequent_side_has_the_positive_score(now, before):
    totals = (1000, 1000)
    score = log_odds({"a": now}, {"a": before}, totals, ["a"])["a"]
    assert (score > 0) == (now > before)
    assert log_odds({"a": before}, {"a": now}, totals, ["a"])["a"] == pytest.approx(-score, abs=1e-9)


@given(st.dictionaries(st.text("ab", min_size=1, max_size=4), st.floats(-6, 12)), st.floats(0.01, 0.5))
def test_discoveries_are_the_strongest_and_grow_with_the_share_allowed(scores, share):
    few, many = discoveries(scores, share / 2), discoveries(scores, share)
    assert many[: len(few)] == few
    left = set(scores) - set(many)
    assert all(scores[a] >= scores[b] for a in many for b in left)


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["red", "blue", "zoe", "99", "shoe", "<phone>"])), max_size=40
    )
)
def test_neither_a_rising_word_nor_an_excerpt_shows_what_fewer_shoppers_used(pairs):
    policy = InsightsPolicy(least_shoppers=3)
    texts = spoken([Said(DAY, f"u{who}", "en", f"{word} now") for who, word in pairs], ANALYSERS)
    before = spoken(said(["old now"], shoppers=9, day=DAY - timedelta(days=9)), ANALYSERS)
    users = {word: len({who for who, other in pairs if other == word}) for _, word in pairs}
    for word in rising_words(texts, before, policy):
        assert all(users.get(part, 3) >= 3 for part in word.term.split())
    voices = Voices([*texts, *before], 3)
    for text in texts:
        excerpt = voices.excerpt(text) or ""
        shown = set(excerpt.replace(GAP, " ").split()) - {"now", "<phone>"}
        assert all(users[word] >= 3 for word in shown)


def test_a_search_is_unmet_when_it_is_asked_again_or_left_and_met_by_a_click(tmp_path):
    shop = Shop()
    for number in range(4):
        shop.session(DAY, f"u{number}", [("search", "Heated  Socks"), ("search", "warm socks"), ("view_item", None)])
        shop.session(DAY, f"u{number}", [("search", "red jacket"), ("search", "red jacket"), ("add_to_cart", None)])
    shop.session(DAY, "u9", [("search", "heated socks"), ("view_search_results", "heated socks")])
    sessions = shop.sources(tmp_path).sessions.read([DAY]).to_pylist()
    findings = unmet_searches(sessions, InsightsPolicy(least_shoppers=4))
    assert (findings.searches, findings.unmet) == (13, 5)
    (worst,) = findings.worst
    assert (worst.term, worst.searches, worst.asked_again, worst.left, worst.shoppers) == ("heated socks", 5, 4, 1, 5)
    assert worst.then == "warm socks"
    assert not unmet_searches(sessions, InsightsPolicy(least_shoppers=6)).worst


def test_the_searches_in_vain_of_the_week_are_found(found):
    assert "heated socks" in {each.term for each in found.searches.worst}
    assert "red jacket" not in {each.term for each in found.searches.worst}


def test_intents_are_counted_by_session_and_compared_with_the_days_before(found):
    counts = {each.name: (each.sessions, each.day_before, each.week_before) for each in found.intents.by_intent}
    assert counts["find_product"] == (10, 10, 10)
    assert counts["product_question"] == (6, 6, 0)
    assert sum(each.sessions for each in found.intents.by_language) == sum(c.sessions for c in found.intents.by_intent)


def test_the_funnel_counts_who_came_as_far_or_further(found):
    rows = {row.intent: row for row in found.funnel}
    assert rows["find_product"].reached == (10, 2, 2, 2)
    assert rows["track_order"].reached == (0, 0, 0, 0)


def test_what_was_not_understood_is_told_by_theme_with_its_own_words(found):
    assert found.not_understood.out_of_scope == 3 * 6 + 1
    assert found.not_understood.unsure == 3 * 6
    words = [set(theme.words) for theme in found.not_understood.themes]
    assert any({"subscribe", "refill"} & each for each in words)
    assert any({"sing", "song"} & each for each in words)
    assert not any({"subscribe", "song"} <= each for each in words)


def test_a_model_that_went_live_in_the_week_ends_no_report(tmp_path):
    # Cause: the embeddings of two models, of two widths, were put into one matrix.
    shop = Shop()
    for number in range(8):
        asks = [("message", "subscribe me to the refill plan")]
        shop.session(DAY - timedelta(days=1), f"u{number}", asks, intent="purchase", out_of_scope=True)
        sings = [("message", "sing a song please")]
        shop.session(
            DAY, f"u{number % 4}", sings, intent="explore", out_of_scope=True, embedding=(1.0, 0.0), model="m2"
        )
    part = find_insights(shop.sources(tmp_path), DAY, ANALYSERS, InsightsPolicy(days=3, history_days=8)).not_understood
    assert (part.answers, part.out_of_scope) == (16, 16)
    assert all("sing" not in theme.words for theme in part.themes)


def test_a_question_that_the_description_does_not_answer_becomes_a_suggestion(found):
    (about,) = [each for each in found.suggestions if each.aspect == "waterproof"]
    assert about.subject == "Rain jacket"
    assert about.times == 3 * 6
    assert about.answered == 0


def test_a_description_that_has_the_word_ends_the_suggestion(shop_home, tmp_path):
    path = tmp_path / "catalogue.jsonl"
    path.write_text(json.dumps({"item_id": "J1", "description": "Fully WATERPROOF shell."}) + "\n", "utf-8")
    again = find_insights(replace(sources_of(shop_home), descriptions=path), DAY, ANALYSERS, POLICY)
    assert "waterproof" not in {each.aspect for each in again.suggestions}
    path.write_text("[]\n", "utf-8")
    with pytest.raises(DescriptionsError, match=r"catalogue\.jsonl:1"):
        find_insights(replace(sources_of(shop_home), descriptions=path), DAY, ANALYSERS, POLICY)


def test_a_large_shop_is_sampled_down_to_the_same_texts_each_time(shop_home):
    sources, days = sources_of(shop_home), POLICY.newest(DAY)
    some = texts_of(sources.validated_events, days, 7)
    assert len(some) == 7 * len(days)
    assert some == texts_of(sources.validated_events, days, 7)
    assert set(some) < set(texts_of(sources.validated_events, days, 8))
    asked = frozenset({EventName.MESSAGE})
    sessions = [s["session_id"] for s in sessions_with(sources.sessions, days, asked, 4)]
    assert len(set(sessions)) == 4 * len(days)
    assert len(analysed_messages(sources.session_texts, days, 3)) == 3 * len(days)


def test_of_what_was_not_understood_all_is_counted_and_some_is_read(found, shop_home):
    few = find_insights(sources_of(shop_home), DAY, ANALYSERS, replace(POLICY, most_texts=4)).not_understood
    whole = found.not_understood
    assert (few.answers, few.out_of_scope, few.unsure) == (whole.answers, whole.out_of_scope, whole.unsure)
    assert sum(theme.texts for theme in few.themes) + few.unthemed <= 4 * POLICY.days


def test_an_item_has_the_name_and_the_category_of_a_crowd(tmp_path):
    # Cause: the category was the last in the alphabet, whoever sent it, and a name counted the shoppers of all names.
    def seen(shopper, name, category):
        item = {"item_id": "J1", "item_name": name, "item_category": category}
        return dict.fromkeys(EVENT_SCHEMA.names) | {"shopper_id": shopper, "items": [item]}

    rows = [seen(f"u{number}", "Rain jacket", "jackets") for number in range(3)]
    rows += [seen("u9", "Rain jacket", "zoe lives in mill lane"), seen("u8", "Regenjacke", "jackets")]
    events = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    events.write(DAY, pa.Table.from_pylist(rows, schema=EVENT_SCHEMA))
    told = told_items(events, [DAY], {"J1"}, {"J1": "Shell"}, 3)["J1"]
    assert (told.name, told.category, told.shoppers) == ("Rain jacket", "jackets", 4)
    assert told.says("shell")
    assert told_items(events, [DAY], {"J1"}, {}, 4)["J1"].category == ""


def test_a_report_holds_neither_an_id_nor_a_word_of_one_person_alone(written):
    assert named_in(written, ["zoe-4711", "shopper-0001"]) == []
    # As an erasure proves it.
    proof = search(written, Names(dict.fromkeys(["zoe-4711", "shopper-0001"], datetime.now(UTC))))
    assert proof.files == len(list(written.iterdir()))
    assert not proof.remaining
    for page in written.glob("report*"):
        assert "xanthippe" not in page.read_text("utf-8").lower()


def test_a_name_that_stands_in_a_report_is_found(tmp_path):
    (tmp_path / "report.md").write_text("asked by zoe\\_4711 twice", "utf-8")
    (tmp_path / "report.html").write_text("<td>abczoe_47112</td>", "utf-8")
    assert named_in(tmp_path, ["zoe_4711", "zoe", "zoe_47112"]) == ["zoe_4711"]


def test_the_same_tables_give_the_same_bytes_and_a_report_takes_the_place_of_the_last(found, written, shop_home):
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    (written / "of an older version").write_text("")
    write_report(find_insights(sources_of(shop_home), DAY, ANALYSERS, POLICY), written)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_a_page_is_whole_in_itself_and_speaks_both_languages(written):
    for name, word in (("report.html", "Rising words"), ("report.zh.html", "上升的词")):
        page = (written / name).read_text("utf-8")
        elements = _Elements()
        elements.feed(page)
        assert word in page
        assert "script" not in elements.names
        assert all(each.startswith(("data:image/png", "report.")) for each in elements.addresses)
        assert "width=device-width" in page


def test_what_shoppers_typed_stays_text_in_both_formats(found):
    worst = replace(found.searches.worst[0], term=HOSTILE)
    report = document(replace(found, searches=replace(found.searches, worst=(worst,))), Wording("en"))
    plain = replace(report, sections=tuple(s for s in report.sections if s.title == "Searches that led nowhere"))
    plain = replace(plain, sections=tuple(replace(s, blocks=s.blocks[2:]) for s in plain.sections))
    html = as_html(plain, "en", None, {}, ("report.zh.html", "中文"))
    elements = _Elements()
    elements.feed(html)
    assert elements.names.isdisjoint({"img"})
    markdown = as_markdown(plain, {}, ("report.zh.md", "中文"))
    (row,) = [line for line in markdown.splitlines() if "onerror" in line]
    assert "\\<img" in row
    assert "\\[click\\]" in row
    assert "http://" not in row
    assert row.count(" | ") == 6


def test_without_data_a_report_says_what_is_missing(tmp_path):
    empty = find_insights(sources_of(tmp_path), DAY, ANALYSERS)
    assert set(empty.missing) == {"events", "history", "predictions", "analyses", "segments", "drift"}
    page = write_report(empty, tmp_path / "report")
    assert "Only 0 of the 28 days before" in page.read_text("utf-8")
    assert "没有事件" in (page.parent / "report.zh.html").read_text("utf-8")


def test_the_wording_says_the_same_things_in_both_languages():
    def keys(texts, prefix=""):
        for name, value in texts.items():
            if isinstance(value, dict) and name != "names":
                yield from keys(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", len(value) if isinstance(value, list) else 0

    assert set(keys(Wording("en")._texts)) == set(keys(Wording("zh")._texts))


def test_a_policy_that_would_show_single_people_is_refused():
    with pytest.raises(ValueError, match="least_shoppers"):
        InsightsPolicy(least_shoppers=2)
