"""The quality benchmark: its plan, its draws, its figures and the page that it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.quality.figures import MISSING
from benchmarks.quality.kept_models import model_folder
from benchmarks.quality.label_sets import as_label_sets
from benchmarks.quality.plan import SEEDS, units
from benchmarks.quality.render import BEGIN, END, render, write_section
from benchmarks.quality.texts import accuracy_unseen, few_shot, scope_figures
from benchmarks.quality.training_times import other_times
from benchmarks.quality.unit import (
    RESULTS,
    ROOT,
    Measured,
    Unit,
    Workplace,
    code_digest,
    measure,
    read_results,
    state_of,
)
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.datasets.rows import Utterance, UtteranceSet

pytestmark = pytest.mark.unit


def result(data: str, variant: str, seed: int, **figures: float) -> dict[str, object]:
    return {
        "set": data,
        "variant": variant,
        "seed": seed,
        "figures": figures,
        "seconds": 60.0,
        "machine": "a machine",
        "code_version": "abc",
    }


def test_the_page_says_what_the_results_say() -> None:
    """After a change of the tables or the results: `make bench-quality ARGS=--render`."""
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    section = page.split(BEGIN + "\n")[1].split(END)[0]
    assert section == render(read_results(RESULTS))


def trained(took: float, *, texts: int = 10_000, seed: int = 0, **given: float | None) -> dict[str, object]:
    details = {"examples": {"train": texts}, **given}
    return {**result("banking77", "evaluate", seed, training_seconds=took), "details": details}


def test_the_page_says_which_trainings_had_another_time_than_evaluate_gives_itself() -> None:
    """What does not record its time tells by taking more: ten thousand texts have 480 s, twenty thousand twice that."""
    assert other_times([trained(479), trained(900, texts=20_000)]) == ([], 2)
    assert other_times([trained(500, max_seconds=None), trained(1, max_seconds=None)]) == ([], 0)
    longer = [trained(500), trained(1_600, seed=1), trained(300, seed=2, max_seconds=3_000.0)]
    rows = [("banking77.evaluate", "not recorded, 3,000", "300 to 1,600", "480")]
    assert other_times([*longer, trained(479)]) == (rows, 1)
    text = render(longer)
    assert "| banking77.evaluate | not recorded, 3,000 | 300 to 1,600 | 480 |" in text
    assert "but for the time of some trainings" in text
    assert "but for the time" not in render([trained(479)])


def test_a_kept_model_is_of_its_encoder_and_its_training_time(tmp_path: Path) -> None:
    place = Workplace(DataFolders(None, tmp_path), tmp_path, "cpu", "one", print)
    places = [place, replace(place, base_encoder="other"), replace(place, max_seconds=60.0)]
    assert len({model_folder(each, "banking77", 0) for each in places}) == 3
    assert model_folder(place, "banking77", 0) == model_folder(replace(place), "banking77", 0)


def test_each_result_belongs_to_a_unit_of_the_plan() -> None:
    names = {unit.name for unit in units()}
    for path in RESULTS.glob("*.json"):
        assert path.stem in names
        content = json.loads(path.read_text(encoding="utf-8"))
        assert path.stem == f"{content['set']}.{content['variant']}.seed{content['seed']}"
        assert path.stem in content["command"]
        assert content["figures"]


def test_each_unit_says_which_code_decides_it() -> None:
    code = {f"{unit.set}.{unit.variant}": unit.code for unit in units([0])}
    assert all((ROOT / path).exists() for paths in code.values() for path in paths)
    assert "intent_tracking/modeling" in code["multidogo-scenes.no_adapters"]
    assert "benchmarks/quality/scenes.py" in code["multidogo-scenes.no_adapters"]
    # A change of the model leaves the lines to beat as they are.
    for line in ("banking77.svm", "online_shoppers.boosting", "ud-english-ewt.pipeline"):
        assert "intent_tracking/modeling" not in code[line]
    with pytest.raises(ValueError, match="holds no code"):
        code_digest(["intent_tracking/no_such_room"])


def test_a_result_of_other_code_is_named_and_counted(tmp_path: Path) -> None:
    place = Workplace(DataFolders(None, tmp_path), tmp_path, "cpu", "none", print)
    unit = Unit("set", "svm", 0, 0.0, lambda _, seed: Measured({"accuracy": 0.5}), ("benchmarks/quality/unit.py",))
    assert state_of(unit, tmp_path) == "to do"
    made = measure(unit, place, tmp_path)
    assert state_of(unit, tmp_path) == "done"
    assert state_of(replace(unit, code=("benchmarks/quality/plan.py",)), tmp_path) == "older code"
    (tmp_path / unit.result_file).write_text(json.dumps({**made, "code": {"paths": list(unit.code), "digest": "0"}}))
    assert state_of(unit, tmp_path) == "older code"
    (tmp_path / unit.result_file).write_text(json.dumps(result("set", "svm", 0)))
    assert state_of(unit, tmp_path) == "older code"

    older = {**made, "seed": 1, "code": {**made["code"], "digest": "0"}, "measured": "2000-01-01T00:00:00+00:00"}
    other_files = {**older, "variant": "evaluate", "code": {"paths": ["intent_tracking/modeling"], "digest": "1"}}
    assert "0 of 2 results are of older code" in render([made, other_files])
    assert "1 of 3 results are of older code" in render([older, made, other_files])
    assert "2 of 4 results are of older code" in render([older, made, other_files, result("set", "svm", 2)])


def test_the_page_says_by_both_definitions_whether_one_model_of_all_scenes_is_better() -> None:
    def of(variant: str, own: float, everywhere: float) -> dict[str, object]:
        return result("multidogo-scenes", variant, 0, macro_f1_own=own, macro_f1=everywhere)

    text = render([of("together", 0.746, 0.673), of("no_adapters", 0.754, 0.611), of("apart", 0.739, 0.724)])
    assert 'intents it does: 74.6 against 73.9; the best row is "all scenes, neither", 75.4.' in text
    assert 'page it does not: 67.3 against 72.4; the best row is "one model a scene", 72.4.' in text
    assert f"Over the scene's intents: {MISSING}." in render([of("together", 0.746, 0.673)])
    again = [{**of(variant, own, 0.7), "seed": 1} for variant, own in (("together", 0.736), ("apart", 0.741))]
    text = render([of("together", 0.746, 0.673), of("apart", 0.739, 0.724), *again])
    assert "intents it does: 74.1 against 74.0 (+0.7, -0.5 by the seeds);" in text


def test_the_page_says_how_far_probabilities_go_and_how_long_it_takes() -> None:
    """Of a result from before these figures the row says that they are not measured."""
    figures = {"ece_before": 0.02, "ece_after": 0.01, "risk_coverage_area": 0.008, "answered": 0.83, "seconds": 612.4}
    entry = {**result("clinc150", "evaluate", 0, **figures), "details": {"examples": {"train": 15_100}}}
    text = render([entry])
    assert "| CLINC150 | 2.0 (n=1) | 1.0 (n=1) | 0.8 (n=1) | 83.0 (n=1) |" in text
    assert "| clinc150 | 15,100 | 612 (n=1) |  |" in text
    assert f"| crosswoz | {MISSING} | {MISSING} |  |" in text


def test_the_plan_finishes_one_seed_before_the_next() -> None:
    plan = units()
    assert [unit.seed for unit in plan] == sorted(unit.seed for unit in plan)
    assert len({unit.name for unit in plan}) == len(plan)
    assert {unit.seed for unit in plan if unit.set == "banking77" and unit.variant == "evaluate"} == set(SEEDS)
    assert [unit.seed for unit in plan if unit.name.startswith("banking77.svm")] == [0]


def test_means_and_spread_over_the_seeds() -> None:
    text = render([result("banking77", "evaluate", seed, accuracy=a) for seed, a in enumerate((0.94, 0.95, 0.96))])
    assert "| Banking77, accuracy | 95.0 ± 1.0 (n=3) | not measured yet | 94.8 |" in text
    assert "| a machine | 3 | 3 | `abc` |" in text


def test_gain_over_the_svm_is_a_mean_over_domains() -> None:
    found = [
        result("multidogo-airline", "evaluate", 0, macro_f1=0.80),
        result("multidogo-airline", "svm", 0, macro_f1=0.76),
        result("multidogo-media", "evaluate", 0, macro_f1=0.75),
        result("multidogo-media", "svm", 0, macro_f1=0.74),
        result("multidogo-finance", "svm", 0, macro_f1=0.7),
    ]
    assert "mean over 2 of 6 domains: +2.5 points (target +3, above on each); least +1.0." in render(found)


def test_the_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale words\n{END}\nafter\n", encoding="utf-8")
    assert write_section(page, [])
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "stale words" not in text
    assert MISSING in text
    assert not write_section(page, [])
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="needs the lines"):
        write_section(page, [])


def test_a_result_is_written_when_the_unit_is_done(tmp_path: Path) -> None:
    folders = DataFolders(None, tmp_path)
    place = Workplace(folders, tmp_path, "cpu", "none", print)
    code = ("benchmarks/quality/unit.py",)
    good = Unit("set", "variant", 1, 0.0, lambda _, seed: Measured({"accuracy": 0.5 + seed / 10}, {"texts": 3}), code)
    measure(good, place, tmp_path)
    [found] = read_results(tmp_path)
    assert (found["figures"], found["details"]) == ({"accuracy": 0.6}, {"texts": 3, "max_seconds": None})
    assert found["command"] == "make bench-quality ARGS='--only set.variant.seed1 --force'"
    timed = measure(good, replace(place, max_seconds=3000.0), tmp_path)
    assert timed["details"]["max_seconds"] == 3000.0
    assert timed["command"] == "make bench-quality ARGS='--only set.variant.seed1 --force --max-seconds 3000'"

    def breaks(_: Workplace, seed: int) -> Measured:
        raise ValueError(f"seed {seed}")

    with pytest.raises(ValueError, match="seed 2"):
        measure(Unit("set", "variant", 2, 0.0, breaks, code), place, tmp_path)
    assert len(read_results(tmp_path)) == 1


def test_few_shot_draws_are_nested_and_differ_by_seed() -> None:
    rows = [Utterance(f"{label} {number}", label) for label in ("a", "b") for number in range(20)]
    five, ten = few_shot(rows, 5, 0), few_shot(rows, 10, 0)
    assert [sum(row.intent == label for row in five) for label in "ab"] == [5, 5]
    assert set(five) < set(ten)
    assert few_shot(rows, 5, 0) == five
    assert few_shot(rows, 5, 1) != five


def test_figures_of_scope_and_of_unseen_texts() -> None:
    truth = ["a", "a", "b", "oos", "oos"]
    best = ["a", "b", "b", "a", "b"]
    answered = ["a", "b", "oos", "oos", "b"]
    assert scope_figures(truth, best, answered) == {
        "in_scope_accuracy": pytest.approx(1 / 3),
        "in_scope_accuracy_plain": pytest.approx(2 / 3),
        "oos_recall": 0.5,
        "oos_precision": 0.5,
    }
    rows = UtteranceSet((Utterance("Hello ", "a"),), (), (Utterance("hello", "a"), Utterance("bye", "b")))
    assert accuracy_unseen(rows, ["a", "a"]) == 0.0
    assert accuracy_unseen(rows, ["b", "b"]) == 1.0


def test_turns_of_two_intents_become_label_sets() -> None:
    """MultiDoGO's two-intent turns are one `<div>` label each, so that no public set measured the head of several."""
    turn = Utterance("thanks, bye", "thankyou<div>closing", spans=())
    rows = as_label_sets(UtteranceSet((turn,), (turn,), (replace(turn, intent="closing"),)))
    assert [row.intent for row in (*rows.train, *rows.dev, *rows.test)] == ["closing|thankyou"] * 2 + ["closing"]
