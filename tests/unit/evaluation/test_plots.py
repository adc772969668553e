"""What the pictures show: the names, figures and points that a reader looks for, not only that a file was written."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from intent_tracking.evaluation import confusion_plots, curve_plots, plots, style
from intent_tracking.evaluation.abstention import abstention_curve
from intent_tracking.evaluation.curves import group_curves, precision_recall_curves, roc_curves, scope_curves
from intent_tracking.evaluation.metrics import CalibrationFigures
from intent_tracking.evaluation.report import Confusion
from intent_tracking.modeling.calibration import reliability_bins

pytestmark = pytest.mark.unit
CHINESE = ("查询订单", "退货退款", "修改地址", "催发货", "投诉客服")


def _confusion(size: int, names: tuple[str, ...] = ()) -> Confusion:
    """Each third label is often taken for the one after it."""
    labels = tuple(names[i] if i < len(names) else f"intent_{i}" for i in range(size))
    right = [(label, label, 20) for label in labels]
    wrong = [(labels[row], labels[row + 1], 5 + row % 7) for row in range(0, size - 1, 3)]
    return Confusion(labels, (*right, *wrong))


def _names_on(picture: Figure, axes: int = 0) -> list[str]:
    return [tick.get_text() for tick in picture.axes[axes].get_yticklabels()]


def _numbers_in(picture: Figure) -> list[str]:
    return [text.get_text() for text in picture.axes[0].texts if text.get_text().replace(",", "").isdigit()]


def test_a_small_confusion_matrix_shows_every_count_that_is_not_zero() -> None:
    picture = confusion_plots.confusion_matrix(_confusion(5, CHINESE))
    assert _names_on(picture) == [style.drawable(name) for name in CHINESE]
    assert sorted(map(int, _numbers_in(picture))) == [5, 8, 20, 20, 20, 20, 20]
    assert not confusion_plots.is_mapped(_confusion(5))


def test_a_map_that_nobody_could_read_is_not_drawn() -> None:
    """The names of 5,000 labels were ordered for minutes and written in a third of a point."""
    assert not confusion_plots.is_mapped(_confusion(confusion_plots.MOST_MAPPED_CLASSES + 1))


@pytest.mark.parametrize("size", [77, 150])
def test_many_labels_show_the_most_confused_by_name_and_the_rest_in_the_full_map(size: int, tmp_path: Path) -> None:
    confusion = _confusion(size, CHINESE)
    assert confusion_plots.is_mapped(confusion)
    picture = confusion_plots.confusion_matrix(confusion)
    shown = _names_on(picture)
    assert 20 <= len(shown) <= confusion_plots.READABLE_CLASSES
    pairs = confusion.worst_pairs(confusion_plots.LISTED_PAIRS)
    for truth, predicted, count in pairs[:8]:
        at, to = shown.index(style.drawable(truth)), shown.index(style.drawable(predicted))
        assert abs(at - to) == 1  # labels that are taken for each other stand together
        numbers = {text.get_position(): text.get_text() for text in picture.axes[0].texts}
        assert numbers[(to, at)] == str(count)
    assert _names_on(picture, 1) == [style.drawable(f"{t}  →  {p}") for t, p, _ in pairs]

    full = confusion_plots.full_confusion_matrix(confusion)
    assert sorted(_names_on(full)) == sorted(map(style.drawable, confusion.labels))
    assert len(_numbers_in(full)) == len(confusion.worst_pairs(None))
    style.save(full, tmp_path, "full")
    assert np.frombuffer((tmp_path / "full.png").read_bytes()[16:24], ">u4").min() > 12 * size  # pixels for each row


def _long(size: int, letters: str) -> tuple[str, ...]:
    """Names of 30 characters."""
    return tuple(f"{i:03d}_" + (letters * 30)[:26] for i in range(size))


@pytest.mark.parametrize(
    ("size", "letters"),
    [(2, "track_order_"), (12, "退款"), (21, "退款"), (27, "track_order_"), (27, "退款"), (40, "退款"), (150, "a")],
)
def test_long_names_leave_the_cells_of_a_matrix_their_size(size: int, letters: str, tmp_path: Path) -> None:
    """The constrained layout gave up where names left no room: it warned, and squeezed the matrix beside its bar."""
    confusion = _confusion(size, _long(size, letters))
    pictures = {
        "matrix": confusion_plots.confusion_matrix(confusion),
        "full": confusion_plots.full_confusion_matrix(confusion),
    }
    for name, picture in pictures.items():
        style.save(picture, tmp_path, name)  # a warning is an error here
        matrix = picture.axes[0]
        drawn = matrix.get_window_extent()
        bar = picture.axes[-1].get_window_extent()
        cell = drawn.height / len(matrix.get_yticks()) / picture.dpi * 72  # points
        assert drawn.width == pytest.approx(drawn.height)
        assert 0.1 < (bar.x0 - drawn.x1) / picture.dpi < 0.3
        assert all(6 < tick.get_fontsize() < cell for tick in matrix.get_yticklabels())
        widest = max(tick.get_window_extent().width for tick in matrix.get_yticklabels())
        assert widest < drawn.x0 < widest + picture.dpi  # names stand in the picture, and nothing else takes the room


@pytest.mark.parametrize("size", [5, 27])
def test_lines_run_between_the_cells_of_a_matrix(size: int) -> None:
    """Lines in the middle of the rows and columns went through the cells and their numbers."""
    for picture in (
        confusion_plots.confusion_matrix(_confusion(size)),
        confusion_plots.full_confusion_matrix(_confusion(size)),
    ):
        for axis in (picture.axes[0].xaxis, picture.axes[0].yaxis):
            assert not any(line.get_visible() for line in axis.get_gridlines())
            assert all(tick.gridline.get_visible() for tick in axis.get_minor_ticks())
            assert np.all(axis.get_minorticklocs() % 1 == 0.5)


def test_many_labels_of_which_none_is_confused_are_drawn(tmp_path: Path) -> None:
    labels = tuple(f"intent_{i}" for i in range(30))
    picture = confusion_plots.confusion_matrix(Confusion(labels, tuple((label, label, 3) for label in labels)))
    style.save(picture, tmp_path, "none")
    assert "No label is confused" in style.texts(picture)


def test_a_name_that_is_too_wide_loses_its_middle_unless_it_is_then_like_another() -> None:
    alike = tuple("order_" + "b" * 30 + middle + "b" * 30 + "_end" for middle in ("x", "y"))
    short, *whole = style.names_within(("track_" + "a" * 60 + "_end", *alike), 8.0, 1.0)
    assert short.startswith("track_")
    assert short.endswith("_end")
    assert "…" in short
    assert style.width_of(short, 8.0) <= 1.0
    assert whole == list(alike)
    assert style.names_within(("x" * 30, "x" * 30), 8.0, 1.0)[0].count("…") == 1  # the same name twice is one name
    assert style.names_within(("退款",), 8.0, 3.0) == [style.drawable("退款")]


def test_the_order_puts_mutual_confusions_side_by_side() -> None:
    counts = np.diag(np.full(6, 10))
    counts[0, 5] = counts[5, 0] = 8
    counts[1, 3] = 6
    order = list(confusion_plots.alike_first(counts))
    assert sorted(order) == list(range(6))
    assert abs(order.index(0) - order.index(5)) == 1
    assert abs(order.index(1) - order.index(3)) == 1


def test_curves_name_the_worst_labels_and_draw_the_others() -> None:
    generator = np.random.default_rng(0)
    labels = [f"intent_{i}" for i in range(12)]
    codes = generator.integers(0, 12, 600)
    scores = generator.random((600, 12)) + np.eye(12)[codes] * np.linspace(0.1, 0.9, 12)[codes, None]
    curves = roc_curves([labels[c] for c in codes], scores, labels)
    assert curves is not None
    axes = curve_plots.roc(curves).axes[0]
    named = [line.get_label() for line in axes.lines if not str(line.get_label()).startswith("_")]
    assert len(named) == curve_plots.NAMED_CURVES + 2
    assert any(str(name).startswith("intent_0 ") for name in named)
    assert not any(str(name).startswith("intent_11 ") for name in named)
    assert len(axes.lines) == 12 + 2 + 1  # all labels, two means, the diagonal


def test_each_scene_has_a_curve_with_its_area() -> None:
    generator = np.random.default_rng(0)
    truth = ["a", "b"] * 50
    found = group_curves(truth, generator.random((100, 2)), ["a", "b"], ["cart"] * 40 + ["客服"] * 60)
    picture = curve_plots.by_scene(found)
    for axes, area in zip(picture.axes, ("roc", "precision_recall"), strict=True):
        named = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [name.split(" ")[0] for name in named] == ["cart", style.drawable("客服")]
        assert all(f"{getattr(g, area).area:.3f}" in name for g, name in zip(found, named, strict=True))


def test_the_threshold_is_a_point_on_the_out_of_scope_and_abstention_pictures() -> None:
    is_out = [True, True, False, False, False]
    scope = scope_curves(is_out, [0.9, 0.3, 0.4, 0.2, 0.1], [True, False, True, False, False])
    assert scope is not None
    left, right = curve_plots.out_of_scope(scope).axes
    assert [tuple(line.get_xydata()[0]) for line in left.lines if line.get_marker() == "o"] == [(1 / 3, 0.5)]
    assert [tuple(line.get_xydata()[0]) for line in right.lines if line.get_marker() == "o"] == [(0.5, 0.5)]
    curve = abstention_curve([0.9, 0.8, 0.7, 0.1], [True, True, False, False], [False, False, False, True])
    assert curve is not None
    axes = curve_plots.abstention(curve).axes[0]
    assert [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "o"] == [(0.75, 2 / 3)]
    assert any(f"AURC {curve.aurc:.4f}" in text.get_text() for text in axes.texts)


def test_precision_and_recall_are_drawn_as_the_steps_that_average_precision_sums() -> None:
    """Lines that were drawn straight from point to point enclosed .55 where the legend said .100."""
    generator = np.random.default_rng(3)
    truth, scores = ["a", "b"] * 10, generator.random((20, 2))
    found = precision_recall_curves(truth, scores, ["a", "b"])
    assert found is not None
    scope = scope_curves([one == "a" for one in truth], list(scores[:, 0]), [False] * 20)
    assert scope is not None
    pictures = (
        curve_plots.precision_recall(found).axes[0],
        curve_plots.by_scene(group_curves(truth, scores, ["a", "b"], ["cart"] * 20)).axes[1],
        curve_plots.out_of_scope(scope).axes[1],
    )
    for axes in pictures:
        named = [line for line in axes.lines if "AP " in str(line.get_label())]
        assert named
        for line in named:
            steps = line.get_path().vertices  # as drawn
            area = float(str(line.get_label()).split("AP ")[1].rstrip(")"))
            assert np.trapezoid(steps[:, 1], steps[:, 0]) == pytest.approx(area, abs=0.015)


@pytest.mark.parametrize(("right", "decimals"), [(0.5, 0), (0.87, 0), (0.96, 0), (0.985, 1)])
def test_the_axes_of_abstention_name_the_places_that_they_mark(right: float, decimals: int) -> None:
    """Ticks at 97.5% and 92.5% were named 98% and 92%; notes on familiarity lay over the names of the axis."""
    generator = np.random.default_rng(1)
    familiar = generator.random(800)
    curve = abstention_curve(list(familiar), list(familiar > 1 - right), [False] * 800)
    assert curve is not None
    axes = curve_plots.abstention(curve).axes[0]
    named = [tick.get_text() for tick in axes.get_yticklabels()]
    assert [float(name.rstrip("%")) for name in named] == pytest.approx(list(100 * axes.get_yticks()))
    assert {len(name.rstrip("%").partition(".")[2]) for name in named} == {decimals}
    below = [tick.get_text() for tick in axes.get_xticklabels()]
    assert [name.split("\n")[0] for name in below] == ["0%", "20%", "40%", "60%", "80%", "100%"]
    for name, share in zip(below[1:], (0.2, 0.4, 0.6, 0.8, 1.0), strict=True):
        assert float(name.split("\n")[1]) == pytest.approx(np.quantile(familiar, 1 - share), abs=0.02)
    assert not any("familiarity" in text.get_text() for text in axes.texts)


def test_a_share_that_no_threshold_answers_has_no_familiarity() -> None:
    curve = abstention_curve([0.5] * 4, [True, False, True, True], [False] * 4)
    assert curve is not None
    below = [tick.get_text() for tick in curve_plots.abstention(curve).axes[0].get_xticklabels()]
    assert below == ["0%", "20%", "40%", "60%", "80%", "100%\n0.500"]


def test_the_reliability_picture_of_label_sets_counts_decisions() -> None:
    """Above an axis of examples that held over 1,000 it said "150 examples"."""
    bins = reliability_bins(np.array([0.3, 0.3, 0.9, 0.8]), np.array([True, False, True, False]))
    top, bottom = plots.calibration(CalibrationFigures(0.1, None, 0.2, 2, bins)).axes
    assert any("2 texts, 4 decisions" in text.get_text() for text in top.texts)
    assert bottom.get_ylabel() == "decisions"
    top, bottom = plots.calibration(CalibrationFigures(0.1, None, 0.2, 4, bins)).axes
    assert any(", 4 examples;" in text.get_text() for text in top.texts)
    assert bottom.get_ylabel() == "examples"


def test_the_reliability_picture_says_both_errors_and_draws_the_filled_bins() -> None:
    bins = reliability_bins(np.array([0.3, 0.3, 0.9]), np.array([True, False, True]))
    axes = plots.calibration(CalibrationFigures(0.123, 0.456, 0.2, 3, bins)).axes[0]
    assert any("ECE 0.123 (0.456 before the temperature)" in text.get_text() for text in axes.texts)
    (line,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert line.get_xydata().tolist() == [[pytest.approx(0.3), 0.5], [pytest.approx(0.9), 1.0]]


HISTORY = [(1, 2.0, 0.7), (2, 1.0, 0.8), (3, 0.5, 0.79), (4, 0.4, 0.6)]


def test_the_learning_curve_marks_the_pass_that_is_kept() -> None:
    """The highest score was marked as the best pass, while the weights of a later one were kept."""
    picture = plots.learning_curve(HISTORY, kept=3)
    assert "kept: pass 3, 0.790" in style.texts(picture)
    rings = [line for line in picture.axes[1].lines if line.get_markersize() == 9]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[3.0, 0.79]]]
    assert picture.axes[0].lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5, 0.4]


def test_the_learning_curve_marks_nothing_where_it_is_not_told_which_pass_is_kept() -> None:
    picture = plots.learning_curve(HISTORY)
    assert not any("kept" in text or "best" in text for text in style.texts(picture))
    assert len(picture.axes[1].lines) == 1


def test_a_pass_that_is_kept_without_a_score_is_marked_without_one() -> None:
    assert "kept: pass 2" in style.texts(plots.learning_curve([(1, 2.0, float("nan")), (2, 1.0, float("nan"))], 2))


GAP = float("nan")
REPEATED = [(1, 2.0, 0.7), (2, 1.0, 0.8), (2.5, GAP, GAP), (3, 2.1, 0.6), (4.5, GAP, GAP), (5, 2.0, 0.7), (6, 1.0, 0.8)]


def test_the_learning_curve_of_several_trainings_parts_them_and_says_what_is_kept() -> None:
    """Three trainings looked like one that started anew twice, of which no pass was kept."""
    picture = plots.learning_curve(REPEATED)
    assert "3 trainings, the mean of their weights is kept" in style.texts(picture)
    parts = [line.get_xdata() for line in picture.axes[0].lines[1:]]
    assert [list(set(places)) for places in parts] == [[2.5], [4.5]]
    # The time was up after the first of them.
    cut = plots.learning_curve([*REPEATED[:2], *(row for row in REPEATED if row[0] in (2.5, 4.5))])
    assert not any("trainings" in text for text in style.texts(cut))
    assert len(cut.axes[0].lines) == 1
    assert cut.axes[0].get_xlim() == (0.5, 2.5)


@pytest.mark.parametrize("kept", [None, 2])
def test_without_a_validation_score_there_is_no_axis_for_it(kept: int | None) -> None:
    picture = plots.learning_curve([(step, loss, GAP) for step, loss, _ in HISTORY], kept)
    (axes,) = picture.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training loss"]
    assert not any("score" in text for text in style.texts(picture))


@pytest.mark.parametrize("passes", [1, 2, 3, 12])
def test_the_learning_curve_counts_whole_passes(passes: int, tmp_path: Path) -> None:
    """A single pass stood on an axis from 0.96 to 1.04."""
    picture = plots.learning_curve([(i, 1 / i, 0.5) for i in range(1, passes + 1)], kept=1)
    style.save(picture, tmp_path, "curve")
    axes = picture.axes[0]
    shown = [place for place in axes.get_xticks() if axes.get_xlim()[0] <= place <= axes.get_xlim()[1]]
    assert shown
    assert all(place == int(place) and 1 <= place <= passes for place in shown)
    assert passes > 1 or shown == [1]


def test_chinese_names_are_drawn_where_a_font_has_them(tmp_path: Path) -> None:
    if len(style.families()) < 2:
        pytest.skip("no font with Chinese characters is installed (fonts-noto-cjk has them)")
    picture = confusion_plots.confusion_matrix(_confusion(5, CHINESE))
    assert _names_on(picture) == list(CHINESE)
    style.save(picture, tmp_path, "chinese")  # a glyph that is missing would warn, and a warning is an error here
    assert style.MISSING_FONT not in style.texts(picture)


def test_a_name_that_no_font_draws_is_a_code_and_the_picture_says_so_once(tmp_path: Path) -> None:
    private = chr(0xE123) + chr(0xE124)  # private use: no font here has them
    picture = confusion_plots.confusion_matrix(_confusion(5, ("order", private)))
    style.save(picture, tmp_path, "codes")
    assert _names_on(picture)[:2] == ["order", "\\ue123\\ue124"]
    assert style.texts(picture).count(style.MISSING_FONT) == 1
    english = confusion_plots.confusion_matrix(_confusion(5))
    style.save(english, tmp_path, "english")
    assert style.MISSING_FONT not in style.texts(english)


def test_a_character_without_a_glyph_is_written_as_its_code_and_never_as_a_blank() -> None:
    private = chr(0xE123)  # private use: no font here has it
    assert style.drawable(f"order {private}") == "order \\ue123"
    assert style.drawable("track_order → oos") == "track_order → oos"
    assert style.drawable("under $5") == r"under \$5"
