"""Areas under curves agree with scikit-learn, and a curve is only drawn where it means something."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from intent_tracking.evaluation import curves

pytestmark = pytest.mark.unit
LABELS = ("a", "b", "c")


def _noisy(count: int = 300) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(5)
    codes = generator.integers(0, 3, count)
    scores = generator.random((count, 3)) + np.eye(3)[codes] * 0.6
    return [LABELS[c] for c in codes], scores / scores.sum(axis=1, keepdims=True)


def test_areas_equal_scikit_learn() -> None:
    truth, scores = _noisy()
    target = np.array([[t == label for label in LABELS] for t in truth])
    roc = curves.roc_curves(truth, scores, LABELS)
    pr = curves.precision_recall_curves(truth, scores, LABELS)
    assert roc is not None
    assert pr is not None
    assert roc.micro is not None
    assert pr.micro is not None
    assert roc.macro.area == pytest.approx(roc_auc_score(target, scores, average="macro"))
    assert roc.micro.area == pytest.approx(roc_auc_score(target, scores, average="micro"))
    assert pr.macro.area == pytest.approx(average_precision_score(target, scores, average="macro"))
    assert pr.micro.area == pytest.approx(average_precision_score(target, scores, average="micro"))


def test_too_many_scores_have_no_micro_curve() -> None:
    """Of 10,000 texts and 5,000 labels several copies of 50 million scores were sorted, again for each scene."""
    truth, scores = _noisy(30)
    whole, bounded = (curves.roc_curves(truth, scores, LABELS, most) for most in (90, 89))
    assert whole is not None
    assert bounded is not None
    assert whole.micro is not None
    assert (bounded.micro, bounded.macro, bounded.cells) == (None, whole.macro, 90)
    scenes = ["cart"] * 20 + ["search"] * 10
    assert [found.group for found in curves.group_curves(truth, scores, LABELS, scenes, 59)] == ["search"]


def test_micro_means_are_of_one_scale() -> None:
    """The scores of `oos` are no probabilities: in one order with them what errs nowhere had an AP of .917."""
    truth = ["a", "b", "oos", "oos"]
    scores = np.array([[0.4, 0.2, 0.5], [0.1, 0.7, 0.45], [0.3, 0.3, 0.65], [0.2, 0.35, 0.55]])
    labels, scenes = ("a", "b", "oos"), ["cart"] * 4
    roc, pr = curves.roc_curves(truth, scores, labels), curves.precision_recall_curves(truth, scores, labels)
    assert roc is not None
    assert pr is not None
    assert roc.micro is not None
    assert pr.micro is not None
    assert [found.label for found in pr.by_label] == ["a", "b", "oos"]
    assert (pr.macro.area, pr.micro.area) == (1.0, 1.0)
    assert (roc.macro.area, roc.micro.area, roc.cells) == (1.0, 1.0, 8)
    (group,) = curves.group_curves(truth, scores, labels, scenes)
    assert (group.roc.area, group.precision_recall.area) == (1.0, 1.0)
    alone = curves.roc_curves(truth, scores[:, 2:], ["oos"])
    assert alone is not None
    assert (alone.micro, alone.cells) == (None, 0)
    assert curves.group_curves(truth, scores[:, 2:], ["oos"], scenes) == ()


def test_a_set_is_one_more_name_where_it_is_a_label() -> None:
    """A text of `a|b` counted for `a` and for `b` although the model could give it neither of the two rightly."""
    truth, scores = ["a", "b", "a|b"], np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.5, 0.5, 0.0]])
    single = curves.roc_curves(truth, scores, ["a", "b", "a|b"])
    several = curves.roc_curves(truth, scores[:, :2], ["a", "b"])
    assert single is not None
    assert several is not None
    assert [(found.label, found.support) for found in single.by_label] == [("a", 1), ("b", 1), ("a|b", 1)]
    assert [(found.label, found.support) for found in several.by_label] == [("a", 2), ("b", 2)]


def test_a_label_that_never_or_always_occurs_has_no_curve() -> None:
    truth, scores = _noisy()
    roc = curves.roc_curves(truth, np.hstack([scores, scores[:, :1]]), (*LABELS, "never"))
    assert roc is not None
    assert [c.label for c in roc.by_label] == list(LABELS)
    assert curves.roc_curves(["a", "a"], scores[:2], LABELS) is None


def test_a_label_that_the_model_does_not_know_has_no_curve_and_is_in_no_mean() -> None:
    """Its one constant score was drawn as a curve, with an area of a half in the macro mean."""
    truth, scores = _noisy()
    more, wider = [*truth, "new", "a|new"], np.zeros((302, 5))
    wider[:300, :3] = scores
    labels, known = (*LABELS, "new", "a|new"), LABELS
    told, scenes = ("new", "a|new"), ["cart"] * 302
    for curves_of in (curves.roc_curves, curves.precision_recall_curves):
        found = curves_of(more, wider, labels, unknown=told)
        assert found is not None
        assert tuple(c.label for c in found.by_label) == known
        assert found.macro.area == pytest.approx(np.mean([c.area for c in found.by_label]))
        assert found.cells == 302 * 3
        # To a model of single labels the unknown set is no text of `a`.
        assert found.by_label[0].support == truth.count("a")
        assert found.micro is not None
        (group,) = curves.group_curves(more, wider, labels, scenes, unknown=told)
        assert found.micro.area in (group.roc.area, group.precision_recall.area)
    assert curves.roc_curves(["a", "new"], wider[:2, :2], ("a", "new"), unknown=("a", "new")) is None


@pytest.mark.parametrize(("count", "positive"), [(20, 0.3), (300, 0.05), (5000, 0.2)])
def test_the_steps_of_a_precision_recall_curve_enclose_its_average_precision(count: int, positive: float) -> None:
    """Straight lines between few points enclosed another area than the one that was written beside them."""
    generator = np.random.default_rng(count)
    hit = generator.random(count) < positive
    high = generator.normal(size=count) + hit
    truth, scores = ["a" if one else "b" for one in hit], np.stack([high, -high], axis=1)
    found = curves.precision_recall_curves(truth, scores, ["a", "b"])
    assert found is not None
    for curve in (*found.by_label, found.macro):
        assert np.dot(np.diff(curve.x), curve.y[1:]) == pytest.approx(curve.area, abs=0.01)


def test_curves_stay_small_and_inside_the_square() -> None:
    truth, scores = _noisy(3000)
    roc = curves.roc_curves(truth, scores, LABELS)
    assert roc is not None
    assert roc.micro is not None
    for curve in (*roc.by_label, roc.macro, roc.micro):
        assert len(curve.x) == len(curve.y) <= curves.GRID
        assert 0 <= min(curve.x + curve.y) <= max(curve.x + curve.y) <= 1
        assert list(curve.x) == sorted(curve.x)


def test_purchase_auc_needs_both_outcomes_and_skips_unknown_ones() -> None:
    assert curves.outcome_auc([True, False, None, False], [0.9, 0.2, 0.99, math.nan]) == 1.0
    assert curves.outcome_auc([True, True], [0.4, 0.5]) is None
    assert curves.outcome_auc([True, False], [0.5, 0.5]) == 0.5


def test_each_scene_has_the_micro_curves_of_its_own_examples() -> None:
    truth, scores = _noisy()
    scenes = [("cart", "search", None)[i % 3] for i in range(len(truth))]
    found = curves.group_curves(truth, scores, LABELS, scenes)
    assert [(g.group, g.count) for g in found] == [("cart", 100), ("search", 100)]
    rows = [i for i, scene in enumerate(scenes) if scene == "search"]
    target = np.array([[truth[i] == label for label in LABELS] for i in rows])
    assert found[1].roc.area == pytest.approx(roc_auc_score(target, scores[rows], average="micro"))
    assert found[1].precision_recall.area == pytest.approx(
        average_precision_score(target, scores[rows], average="micro")
    )
    assert curves.group_curves(["a", "a"], scores[:2], LABELS, ["cart", "cart"]) == ()


def test_the_threshold_lies_on_the_out_of_scope_curves() -> None:
    generator = np.random.default_rng(2)
    is_out = generator.random(500) < 0.2
    foreign = generator.normal(size=500) + 2.0 * is_out
    found = curves.scope_curves(list(is_out), list(foreign), list(foreign > 1.0))
    assert found is not None
    assert found.roc.area == pytest.approx(roc_auc_score(is_out, foreign))
    assert found.precision_recall.area == pytest.approx(average_precision_score(is_out, foreign))
    assert found.recall == pytest.approx(np.interp(found.false_rejections, found.roc.x, found.roc.y), abs=0.02)
    assert found.precision == pytest.approx(is_out[foreign > 1.0].mean())
    assert curves.scope_curves([False, False], [0.1, 0.2], [False, True]) is None


def test_thinning_keeps_the_shape_where_the_points_crowd() -> None:
    # 99% of the points lie on one vertical line; the rest of the curve must not be cut to a chord.
    x = np.concatenate([np.linspace(0, 1, 100), np.ones(9900)])
    y = np.concatenate([1 - 0.5 * np.linspace(0, 1, 100) ** 8, np.linspace(0.5, 0, 9900)])
    thin = curves._thin(x, y, "", 0.0, 1)
    assert np.abs(np.interp(x[:99], thin.x, thin.y) - y[:99]).max() < 0.01
