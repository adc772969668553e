"""Segments of a shop whose groups are known: found, named, kept, described, written and read again."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.applications.artifacts import USER_SEGMENTS, newest_artifact, verified
from intent_tracking.applications.profiles.building import (
    STABILITY,
    Fitted,
    TooFewShoppersError,
    day_rows,
    fit_segments,
    refusal,
    write_segments,
)
from intent_tracking.applications.profiles.fitting import Tried, choose, fit_space
from intent_tracking.applications.profiles.matching import kept_ids, overlaps
from intent_tracking.applications.profiles.naming import new_name
from intent_tracking.applications.profiles.refresh import refresh
from intent_tracking.applications.profiles.rules import RulesError, read_rules
from intent_tracking.applications.profiles.segments import Segments, Trait
from intent_tracking.applications.profiles.space import profile_features, stem
from intent_tracking.applications.profiles.traits import LANGUAGES, wording, words_of
from intent_tracking.artifact import ArtifactError
from intent_tracking.features.declaration import longest_window
from intent_tracking.settings import Settings
from tests.fakes.shopper_groups import ASKERS, BUYERS, DAY, LOOKERS, SHOP, shop, small_rules

pytestmark = pytest.mark.unit

RULES = small_rules()


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_segments(*shop(), RULES, DAY)


@pytest.fixture(scope="module")
def folder(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segments(tmp_path_factory.mktemp("applications"), fitted, *shop(), RULES, DAY)


@pytest.fixture(scope="module")
def live(folder: Path) -> Segments:
    return Segments.load(folder)


def segment_of(segments: Segments, group: str, seed: int = 0) -> str:
    """The segment that the shoppers of a group are in, all but a few."""
    features, tokens = shop(seed=seed)
    assigned = segments.assign(features, tokens)
    of = Counter(
        segments.ids[at]
        for shopper, at in zip(features["shopper_id"].to_pylist(), assigned.positions.tolist(), strict=True)
        if shopper.startswith(group)
    )
    (found, count), *_ = of.most_common(1)
    assert count >= 0.95 * of.total()
    return found


def test_the_number_and_the_members_of_the_planted_groups_are_found(fitted: Fitted) -> None:
    assert fitted.clusters.chosen.number == len(SHOP)
    assert fitted.clusters.chosen.mean > 0.95
    assert fitted.clusters.chosen.silhouette > 0.4
    assert len({segment_of(fitted.segments, group) for group in SHOP}) == len(SHOP)
    assert sum(segment.share for segment in fitted.segments.segments) == pytest.approx(1, abs=1e-3)


def test_traits_say_what_was_planted_and_their_values_bear_them_out(fitted: Fitted) -> None:
    buyers = fitted.segments.get(segment_of(fitted.segments, "buyer"))
    assert buyers is not None
    of = {trait.trait: trait for trait in buyers.traits}
    assert {"user_purchases_30d", "user_spend_30d"} <= {name for name, trait in of.items() if trait.level == "high"}
    assert of["category:shoes"].value > 0.9
    assert of["category:shoes"].typical == pytest.approx(BUYERS.size / 200, abs=0.01)
    for segment in fitted.segments.segments:
        assert segment.traits
        assert set(segment.name) == set(LANGUAGES)
        for trait in segment.traits:
            assert trait.value > trait.typical if trait.level in ("high", "likes") else trait.value < trait.typical


def test_an_artifact_gives_what_was_learned_and_its_golden_answers(
    fitted: Fitted, folder: Path, live: Segments
) -> None:
    assert live.replay_golden() == []
    features, tokens = shop(seed=5)
    learned, read = (each.assign(features, tokens) for each in (fitted.segments, live))
    assert (learned.positions == read.positions).all()
    assert learned.distances == pytest.approx(read.distances)
    assert live.segments == fitted.segments.segments
    assert verified(folder, USER_SEGMENTS).metrics["segments"] == len(SHOP)


def test_equal_input_is_an_equal_version_that_names_nobody(folder: Path) -> None:
    again = fit_segments(*shop(), RULES, DAY)
    assert write_segments(folder.parents[1], again, *shop(), RULES, DAY) == folder
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not [group for group in SHOP if f"{group}-0".encode() in written]


def test_a_changed_artifact_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "segments.json").write_bytes(
        (copy / "segments.json").read_bytes().replace(b"category:hats", b"category:rats")
    )
    with pytest.raises(ArtifactError):
        Segments.load(copy)


def test_reading_and_assigning_needs_no_library_of_training(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from intent_tracking.applications.profiles.segments import Segments\n"
        f"assert Segments.load(Path({str(folder)!r})).replay_golden() == []\n"
        "print(sorted({'sklearn', 'scipy', 'duckdb', 'ibis', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_learned_again_a_group_keeps_its_id_and_name_one_that_vanished_is_retired_and_a_new_one_is_new(
    live: Segments,
) -> None:
    returners = replace(LOOKERS, size=70, means={"user_refunds_30d": 6, "user_views_30d": 10}, category="coats")
    changed = {"buyer": BUYERS, "looker": LOOKERS, "returner": returners}
    features, tokens = shop(changed, seed=9)
    again = fit_segments(features, tokens, RULES, DAY + timedelta(days=7), live)
    assert set(again.kept) == {segment_of(live, "buyer"), segment_of(live, "looker")}
    assert again.retired == (segment_of(live, "asker"),)
    (new,) = again.new
    assert new not in {*live.ids}
    found = again.segments
    for kept in again.kept:
        before, after = live.get(kept), found.get(kept)
        assert before
        assert after
        assert (before.name, before.since) == (after.name, after.since)
    assert [each.id for each in found.retired] == list(again.retired)
    assert found.name_of(again.retired[0]) == live.name_of(again.retired[0])
    back = fit_segments(*shop(seed=11), RULES, DAY + timedelta(days=14), found)
    # Nothing takes the id of what was retired, not even a group like it.
    assert again.retired[0] not in back.segments.ids


def test_a_shopper_is_described_by_the_traits_of_the_segment_with_own_values(live: Segments) -> None:
    features, tokens = shop()
    rows = day_rows(live, features, tokens, DAY)
    assert rows["shopper_id"].to_pylist() == features["shopper_id"].to_pylist()
    row = rows.to_pylist()[0]
    own = features.to_pylist()[0]
    traits = {each["trait"]: each for each in orjson.loads(row["traits"])}
    segment = live.get(row["segment"])
    assert segment is not None
    assert {trait.trait for trait in segment.traits if trait.level != "likes"} <= set(traits)
    for name, trait in traits.items():
        if trait["level"] != "likes":
            assert trait["value"] == pytest.approx(own[name], abs=1e-4)
            assert 0 <= trait["percentile"] <= 100
    # Nobody is told apart by what everybody has.
    assert [name for name in traits if name.startswith("category:")] == ["category:phones"]


def test_a_shopper_without_tokens_and_a_day_without_shoppers_are_described_too(live: Segments) -> None:
    features, tokens = shop()
    assert day_rows(live, features, tokens.slice(0, 0), DAY).num_rows == features.num_rows
    assert day_rows(live, features.slice(0, 0), tokens, DAY).num_rows == 0


def test_too_few_and_equal_shoppers_have_no_segments() -> None:
    with pytest.raises(TooFewShoppersError, match="200 shoppers on 2026-03-08; 5 segments need 250"):
        fit_segments(*shop(), small_rules(shoppers_a_segment=50), DAY)
    features, _ = shop()
    same = features.take([0] * 200)
    with pytest.raises(TooFewShoppersError, match="alike"):
        fit_segments(same, shop()[1].slice(0, 0), RULES, DAY)


def tried(number: int, *stability: float, silhouette: float = 0.3, smallest: float = 0.1) -> Tried:
    return Tried(number, stability, silhouette, smallest)


def test_among_equally_stable_numbers_the_live_one_stays_then_the_silhouette_decides() -> None:
    found = [tried(3, 0.9, 0.9), tried(4, 0.93, 0.91, silhouette=0.2), tried(5, 0.6, 0.6, silhouette=0.9)]
    assert choose(found, RULES).number == 3
    assert choose(found, RULES, live=4).number == 4
    assert choose(found, RULES, live=5).number == 3
    small = [tried(3, 0.7, 0.7), tried(4, 0.9, 0.9, smallest=0.001)]
    assert choose(small, RULES).number == 3
    assert choose(small[1:], RULES).number == 4


def test_what_is_less_stable_than_the_live_segments_is_not_published(fitted: Fitted, folder: Path) -> None:
    manifest = verified(folder, USER_SEGMENTS)
    assert refusal(fitted, manifest, RULES) is None
    worse = replace(fitted, clusters=replace(fitted.clusters, chosen=tried(3, 0.7, 0.72, 0.74)))
    assert refusal(worse, None, RULES) is None
    assert f"is below the {manifest.metrics[STABILITY]:.3f} of {manifest.version}" in (
        refusal(worse, manifest, RULES) or ""
    )
    bad = replace(fitted, clusters=replace(fitted.clusters, chosen=tried(3, 0.2, 0.2)))
    assert "stability 0.200 of 3 segments is below 0.5" in (refusal(bad, None, RULES) or "")


def test_segments_are_learned_when_due_and_a_refused_training_leaves_nothing_behind(tmp_path: Path) -> None:
    home = Settings(home=tmp_path)
    first = refresh(home, *shop(), RULES, DAY)
    assert first.written
    assert first.folder == newest_artifact(home.applications, USER_SEGMENTS)
    assert not refresh(home, *shop(seed=1), RULES, DAY + timedelta(days=6)).written
    # One crowd without groups comes out differently each time.
    crowd = {"looker": replace(LOOKERS, size=200)}
    strict = small_rules(least_stability=0.99)
    refused = refresh(home, *shop(crowd, seed=2), strict, DAY + timedelta(days=7))
    assert "refused" in refused.why
    assert refused.folder == first.folder == newest_artifact(home.applications, USER_SEGMENTS)
    again = refresh(home, *shop(seed=1), RULES, DAY + timedelta(days=7))
    assert again.written
    assert again.fitted
    assert len(again.fitted.kept) == len(SHOP)
    afresh = refresh(home, *shop(seed=1), RULES, DAY + timedelta(days=8), fresh=True)
    assert afresh.fitted
    assert not afresh.fitted.kept


labels = st.integers(2, 5).flatmap(
    lambda most: st.lists(st.tuples(st.integers(0, most - 1), st.integers(0, most - 1)), min_size=1, max_size=60).map(
        lambda pairs: (most, np.array(pairs))
    )
)


@settings(max_examples=60)
@given(drawn=labels, data=st.data())
def test_names_do_not_depend_on_the_order_of_clusters_and_are_given_once(drawn, data) -> None:
    most, pairs = drawn
    old, new = pairs[:, 0], pairs[:, 1]
    ids = [f"s{at}" for at in range(most)]
    same = kept_ids(ids, old, old, most, 0.3)
    assert same == {at: ids[at] for at in sorted(set(old.tolist()))}
    kept = kept_ids(ids, old, new, most, 0.3)
    assert len(set(kept.values())) == len(kept)
    common = overlaps(old, new, most, most)
    assert all(common[ids.index(name), at] >= 0.3 for at, name in kept.items())
    order = np.array(data.draw(st.permutations(range(most))))
    moved = kept_ids(ids, old, order[new], most, 0.3)
    # More than half in common can be had by one pair alone, whatever the order.
    sure = {at: name for at, name in kept.items() if common[ids.index(name), at] > 0.5}
    assert {order[at]: name for at, name in sure.items()}.items() <= moved.items()


def test_every_feature_of_a_profile_has_its_own_words() -> None:
    chosen = profile_features()
    assert {stem(feature) for feature in chosen} == set(wording()["features"])
    assert longest_window(chosen).days == 30
    for feature in chosen:
        for level in ("high", "low", "usual"):
            said = words_of(feature.name, level)
            assert set(said) == set(LANGUAGES)
            assert all(said.values())
    assert words_of("intent:track_order", "likes", "track_order")["en"] == "often comes for: track order"
    assert ASKERS.category == "phones"


def test_a_shop_sets_some_rules_and_is_told_of_wrong_ones(tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    assert read_rules(file) == read_rules()
    file.write_text("most: 6\n")
    assert read_rules(file) == read_rules().model_copy(update={"most": 6})
    for text, told in (
        ("mots: 6", "mots"),
        ("most: 1", "most"),
        ("fewest: 12", "less than fewest"),
        ("- 1", "mapping"),
    ):
        file.write_text(text)
        with pytest.raises(RulesError, match=told):
            read_rules(file)


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=256))
def test_an_id_fits_into_a_file_name_however_long_a_brand_is(brand: str) -> None:
    trait = Trait(f"brand:{brand}", "likes", 0.9, 0.1, label=brand)
    taken: set[str] = set()
    for _ in range(3):
        identifier, _ = new_name([trait], taken)
        assert identifier not in taken
        taken.add(identifier)
        assert len(f".segment-{identifier}.png".encode()) <= 255
        assert "/" not in identifier


def test_one_visitor_names_nothing_that_others_are_told() -> None:
    # Cause: of the labels of a token the last in the alphabet was taken, whoever sent it.
    features, tokens = shop()
    rows = tokens.to_pylist()
    mine = next(row for row in rows if row["token"] == "category:hats")
    mine["label"] = "zoe lives in mill lane"
    of_shoes = [row for row in rows if row["token"] == "item:shoes-1"]
    for number, row in enumerate(of_shoes):
        row["label"] = f"name {number}"
    space = fit_space(features, pa.Table.from_pylist(rows, schema=tokens.schema), small_rules())
    label_of = dict(zip(space.vocabulary, space.labels, strict=True))
    assert len(of_shoes) >= small_rules().token_shoppers
    assert (label_of["category:hats"], label_of["item:shoes-1"]) == ("hats", "shoes-1")
