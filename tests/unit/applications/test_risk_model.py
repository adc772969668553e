"""The risk model: trees as arrays, thresholds within the budget, labels, artifact and gate."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.artifacts import RISK_MODEL, newest_artifact
from intent_tracking.applications.risk.daily import to_beat
from intent_tracking.applications.risk.features import Kind, features_of
from intent_tracking.applications.risk.gate import challenge, decision_shares, is_above, judge
from intent_tracking.applications.risk.model import TREES_FILE, Decision, RiskModel, anomaly, fused
from intent_tracking.applications.risk.policy import Bound, Rule, shipped_policy
from intent_tracking.applications.risk.probes import probes, wrong_probes
from intent_tracking.applications.risk.review import Outcome, ReviewDecision
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import drawn, learn, threshold, write_risk_model
from intent_tracking.applications.risk.trees import Trees, grow_boosting, grow_forest
from intent_tracking.artifact import ArtifactError
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings
from tests.fakes.risk_cases import CARDS, FIRST_DAY, ROBOT, made_up_cases

pytestmark = pytest.mark.unit

UNTIL = FIRST_DAY + timedelta(days=3)
POLICY = shipped_policy().model_copy(update={"least_labels": 10})
SHOP = Shop(usual_amount={"EUR": 50.0}, main_currency="EUR")


@pytest.fixture(scope="module")
def cases() -> pa.Table:
    return made_up_cases(sessions=240)


@pytest.fixture(scope="module")
def model(cases: pa.Table) -> RiskModel:
    return learn(cases, {}, SHOP, POLICY, UNTIL)[0]


@pytest.fixture(scope="module")
def folder(cases: pa.Table, model: RiskModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_risk_model(model, {}, cases, {}, UNTIL, tmp_path_factory.mktemp("applications"))


def test_trees_as_arrays_answer_what_scikit_learn_answers() -> None:
    from sklearn.ensemble import GradientBoostingClassifier, IsolationForest

    random = np.random.default_rng(1)
    rows = random.normal(size=(120, 4)).astype(np.float32)
    wanted = rows[:, 0] + rows[:, 1] ** 2 > 1
    forest = grow_forest(rows, seed=3)
    theirs = IsolationForest(n_estimators=100, max_samples=120, random_state=3).fit(rows)
    np.testing.assert_allclose(anomaly(forest, rows, 120), -theirs.score_samples(rows), rtol=1e-6)
    trees, bias = grow_boosting(rows, wanted, np.ones(120), seed=3)
    boosted = GradientBoostingClassifier(
        n_estimators=200,
        max_depth=3,
        learning_rate=0.05,
        subsample=0.7,
        max_features="sqrt",
        min_samples_leaf=2,
        random_state=3,
    ).fit(rows, wanted)
    ours = 1 / (1 + np.exp(-(bias + trees.sums(rows))))
    np.testing.assert_allclose(ours, boosted.predict_proba(rows)[:, 1], rtol=1e-6)


def test_contributions_are_what_leads_from_the_mean_to_the_answer() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(200, 3)).astype(np.float32)
    trees = grow_forest(rows, seed=0)
    start = trees.value[trees.roots].sum()
    for row in rows[:5]:
        assert start + trees.contributions(row).sum() == pytest.approx(trees.sums(row[None])[0])
    odd = np.array([0, 9, 0], dtype=np.float32)
    assert int(np.argmin(trees.contributions(odd))) == 1


def test_trees_that_lead_back_are_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    arrays = grow_forest(rows, seed=0).arrays("f")
    arrays["f.left"][0] = 0
    with pytest.raises(ValueError, match=r"f\.left: leads to no later node"):
        Trees.of_arrays(arrays, "f")


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1 + 1e-9, 0.5, 0.9, 1.0]), min_size=1, max_size=60), st.floats(0, 1))
def test_a_threshold_never_passes_the_budget(scores: list[float], budget: float) -> None:
    found = np.array(scores)
    at = threshold(found, budget, 0.9)
    assert 0 <= at <= 0.9
    reviewed = (found >= at) & (found < 0.9)
    assert reviewed.sum() <= budget * len(found) + 1e-9
    # The next lower score would pass it.
    below = found[found < at]
    if len(below):
        assert ((found >= below.max()) & (found < 0.9)).sum() > np.floor(budget * len(found))


@given(st.lists(st.floats(0, 1), max_size=5), st.floats(0, 1), st.none() | st.floats(0, 1), st.integers(1, 10_000))
def test_the_fused_score_is_a_share_and_rises_with_each_voice(
    weights: list[float], surprise: float, taught: float | None, labels: int
) -> None:
    score = fused(weights, surprise, taught, labels, POLICY)
    assert 0 <= score <= 1
    assert fused([*weights, 0.5], surprise, taught, labels, POLICY) >= score - 1e-12
    assert fused(weights, min(1.0, surprise + 0.1), taught, labels, POLICY) >= score - 1e-12


def test_robots_and_tried_cards_are_told_with_their_reasons_and_the_budget_is_kept(
    model: RiskModel, cases: pa.Table
) -> None:
    assert wrong_probes(model) == []
    robot = model.assess(Kind.SESSION, ROBOT.values)
    assert robot.decision is not Decision.ALLOW
    assert {"no_dwell_time", "regular_intervals"} <= {reason.name for reason in robot.reasons}
    assert model.assess(Kind.SESSION, CARDS.values).score > 0.9
    for kind in (Kind.SESSION, Kind.ORDER):
        shares = decision_shares(model, kind, drawn(cases, kind).even)
        assert 0 < shares[Decision.REVIEW] <= POLICY.alert_budget.of(kind)


def test_a_flood_of_robots_does_not_raise_the_threshold_above_itself() -> None:
    # Cause: a threshold that flags a fixed share of all traffic lets most of a large attack pass.
    flood = made_up_cases(sessions=60, robots=40)
    model, _ = learn(flood, {}, SHOP, POLICY, UNTIL)
    assert model.assess(Kind.SESSION, ROBOT.values).decision is Decision.BLOCK


def test_what_is_not_known_speaks_neither_for_nor_against(model: RiskModel) -> None:
    for kind in Kind:
        assert model.assess(kind, {}).decision is Decision.ALLOW
        assert model.assess(kind, {}).reasons == ()


def test_the_artifact_answers_as_the_model_and_tells_damage(folder: Path, model: RiskModel) -> None:
    loaded = RiskModel.load(folder)
    assert loaded.replay_golden() == []
    assert loaded.version == folder.name
    for probe in probes():
        assert loaded.assess(probe.kind, probe.values).score == pytest.approx(
            model.assess(probe.kind, probe.values).score
        )
    content = (folder / TREES_FILE).read_bytes()
    try:
        (folder / TREES_FILE).write_bytes(content[:-8] + b"12345678")
        with pytest.raises(ArtifactError):
            RiskModel.load(folder)
    finally:
        (folder / TREES_FILE).write_bytes(content)


def test_a_live_model_that_cannot_be_read_is_none_to_beat(folder: Path, tmp_path: Path) -> None:
    # Cause: after an upgrade that reads another form, no model could be learned because of the live one.
    settings = Settings(home=tmp_path)
    live = settings.applications / RISK_MODEL / folder.name
    shutil.copytree(folder, live)
    publish(settings.release_file, {RISK_MODEL: Component.of(live)}, "first")
    champion = to_beat(settings)
    assert champion is not None
    assert champion.version == folder.name
    (live / TREES_FILE).write_bytes(b"of another form")
    assert to_beat(settings) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_of_many_cases_some_are_drawn_evenly_and_all_decided_ones_kept(cases: pa.Table, kind: Kind) -> None:
    every = drawn(cases, kind)
    ids = every.rows["case_id"].to_pylist()
    assert every.count == len(ids) == len(set(ids))
    labels = ids[::3]
    some = drawn(cases, kind, labels, most=20)
    even, rows = some.even["case_id"].to_pylist(), some.rows["case_id"].to_pylist()
    assert (
        even == drawn(cases, kind, most=20).even["case_id"].to_pylist() == [each for each in ids if each in set(even)]
    )
    assert len(even) == some.count == 20
    assert rows[:20] == even
    assert sorted(rows) == sorted({*even, *labels})


def test_of_shoppers_the_newest_session_of_each_is_looked_at(cases: pa.Table) -> None:
    newest: dict[str, datetime] = {}
    for row in cases.to_pylist():
        if row["kind"] == "session":
            newest[row["shopper_id"]] = max(row["started_at"], newest.get(row["shopper_id"], row["started_at"]))
    rows = drawn(cases, Kind.SHOPPER).rows
    assert dict(zip(rows["shopper_id"].to_pylist(), rows["started_at"].to_pylist(), strict=True)) == newest
    assert rows.num_rows == len(newest)


def test_a_model_of_drawn_cases_keeps_the_budget_among_all() -> None:
    cases = made_up_cases(sessions=600, robots=12)
    # People decided about the oddest: they must not stand for ordinary traffic.
    labels = {f"session:robot-{number}": True for number in range(900, 912)}
    model, metrics = learn(cases, labels, SHOP, POLICY, UNTIL, most=200)
    assert (metrics["session/cases"], metrics["order/cases"]) == (200, 200)
    assert metrics["session/confirmed"] == 12
    for kind in (Kind.SESSION, Kind.ORDER):
        drawn_share = decision_shares(model, kind, drawn(cases, kind, most=200).even)[Decision.REVIEW]
        assert 0 < drawn_share <= POLICY.alert_budget.of(kind)
        assert not is_above(
            decision_shares(model, kind, drawn(cases, kind).even)[Decision.REVIEW], POLICY.alert_budget.of(kind), 200
        )


def test_equal_input_is_one_folder(folder: Path, cases: pa.Table, model: RiskModel) -> None:
    assert write_risk_model(model, {}, cases, {}, UNTIL, folder.parents[1]) == folder
    assert newest_artifact(folder.parents[1], RISK_MODEL) == folder


def test_decisions_teach_what_rules_do_not_know() -> None:
    # Risky here are sessions that follow many promotions: no rule says so, and nothing is odd about them alone.
    cases = made_up_cases(sessions=160, robots=0, seed=4)
    rows = [row for row in cases.to_pylist() if row["kind"] == "session"][:90]
    labels = {row["case_id"]: row["promotions"] > 0 for row in rows}
    model, metrics = learn(cases, labels, SHOP, POLICY, UNTIL)
    assert model.kinds[Kind.SESSION].record.labels == 90
    assert model.kinds[Kind.ORDER].record.labels == 0
    assert metrics["session/labelled_auc"] > 0.9 > metrics["session/labelled_auc_without_labels"]


def test_one_that_misjudges_a_probe_or_the_newest_decisions_is_refused(
    tmp_path: Path, cases: pa.Table, model: RiskModel
) -> None:
    blind = POLICY.model_copy(update={"rules": (), "forest_weight": 0.0})
    few = made_up_cases(sessions=30, robots=12)
    refused = challenge(few, {}, SHOP, blind, UNTIL, None, tmp_path)
    assert refused.folder is None
    assert any("a robot that reads the catalogue must be flagged" in each for each in refused.verdict.problems)
    assert not (tmp_path / RISK_MODEL).exists()
    others = [row for row in cases["case_id"].to_pylist() if row.startswith("session:s-")][:12]
    ids = [row for row in few["case_id"].to_pylist() if "robot" in row or row in others]
    labels = {case: "robot" in case for case in ids}
    decided = few.filter(pa.array([case in labels for case in few["case_id"].to_pylist()]))
    recent = {kind: drawn(cases, kind).even for kind in Kind}
    worse, _ = learn(few, {}, SHOP, blind, UNTIL)
    verdict = judge(model, model, recent, decided, labels, worse)
    assert any("newly decided cases" in each for each in verdict.problems)
    assert judge(model, model, recent, decided, labels, model).passed


def test_one_that_blocks_ordinary_traffic_is_refused(tmp_path: Path, cases: pa.Table) -> None:
    # Cause: what is blocked spends no budget, so that a model that blocked everybody had an alert share of 0.
    everybody = Rule(name="everybody", weight=0.95, when={"shopper_views": Bound(at_least=1)})
    blocking = POLICY.model_copy(update={"rules": (*POLICY.rules, everybody)})
    refused = challenge(cases, {}, SHOP, blocking, UNTIL, None, tmp_path)
    assert refused.folder is None
    for kind in (Kind.SESSION, Kind.ORDER):
        assert refused.verdict.figures[f"{kind}/blocked_share"] > 0.9
        assert refused.verdict.figures[f"{kind}/alert_share"] == 0
        assert any(each.startswith(f"{kind}: ") and "most_blocked is" in each for each in refused.verdict.problems)


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_a_share_is_above_another_only_beyond_chance(most: float, count: int) -> None:
    assert not is_above(most, most, count)
    assert not is_above(1.0, 1.0, count)
    assert not is_above(1 / count, most, count)
    assert is_above(1.0, 0.05, max(3, count))


def test_a_usual_order_in_each_currency_and_a_long_visit_are_probes(cases: pa.Table) -> None:
    shop = Shop(usual_amount={"EUR": 50.0, "JPY": 9_000.0})

    def wrong(rule: Rule) -> list[str]:
        policy = POLICY.model_copy(update={"rules": (*POLICY.rules, rule)})
        return wrong_probes(learn(cases, {}, shop, policy, UNTIL)[0])

    # A bound on money as it stands is one of the main currency.
    (order,) = wrong(Rule(name="costly", weight=0.95, when={"order_value": Bound(at_least=5_000)}))
    assert order.startswith("a usual order in JPY must be allowed")
    (visit,) = wrong(
        Rule(name="long", weight=0.95, when={"items_seen": Bound(at_least=20), "searches": Bound(at_least=1)})
    )
    assert visit.startswith("somebody who looks around for half an hour and buys nothing must not be blocked")


def test_where_orders_tell_no_currency_one_that_does_is_a_probe(cases: pa.Table) -> None:
    shop = Shop(usual_amount={"": 50.0}, main_currency="")
    usual = Rule(name="usual", weight=0.95, when={"order_value_over_usual": Bound(at_least=1)})
    model, _ = learn(cases, {}, shop, POLICY.model_copy(update={"rules": (*POLICY.rules, usual)}), UNTIL)
    wrong = {each.partition(" must ")[0] for each in wrong_probes(model)}
    assert wrong >= {"a usual order in no currency", "a usual order in XXX"}


def test_one_that_passes_is_written_and_knows_until_when_people_decided(tmp_path: Path) -> None:
    cases = made_up_cases(sessions=40)
    at = datetime(2026, 3, 5, tzinfo=UTC)
    decision = ReviewDecision(case_id="session:s-1", session_id="s-1", outcome=Outcome.DISMISSED, decided_at=at)
    made = challenge(cases, {decision.case_id: decision}, SHOP, POLICY, UNTIL, None, tmp_path)
    assert made.folder is not None, made.verdict.problems
    assert RiskModel.load(made.folder).decided_until == at
    assert made.metrics["session/dismissed"] == 1


def test_a_kind_with_few_cases_has_rules_alone() -> None:
    few = made_up_cases(sessions=30, robots=0)
    model, _ = learn(few, {}, SHOP, POLICY, UNTIL)
    assert model.kinds[Kind.SESSION].forest is None
    assert model.assess(Kind.SESSION, ROBOT.values).decision is not Decision.ALLOW


def test_models_read_no_money_that_a_change_of_prices_moves() -> None:
    for kind in Kind:
        money = {"order_value", "session_value", "order_mean_price", "shopper_mean_value"}
        assert not money & set(features_of(kind, modelled=True))
