from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.inference import IntentPredictor
from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.calibration import Calibration, calibrate_label_sets
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.golden import differences, golden_case
from intent_tracking.modeling.intent_head import SCALE
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.multi_label import (
    choose_thresholds,
    label_set_matrix,
    label_set_scores,
    names_in,
)
from intent_tracking.modeling.prediction import IntentScore, Prediction
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from intent_tracking.sessions.render import render_utterance
from tests.fakes.tiny_encoder import NOON, ORDERS, THINGS, tiny_encoder

pytestmark = pytest.mark.unit


def test_labels_are_written_with_a_bar_and_the_data_chooses_the_head() -> None:
    assert names_in("b | a|b") == ("a", "b")
    assert names_in("oos") == ()
    single = LabelSet.of(["a", "oos"], [])
    assert (single.multi_label, single.label_set("a"), single.set_size) == (False, None, 0)
    several = LabelSet.of(["a", "c|b", "oos"], [])
    assert several.intents == several.class_names() == ("a", "b", "c")
    assert (several.intent_classes, several.set_size) == (3, 3)
    assert [several.label_set(name) for name in ("c|a", "b|new", "oos", None)] == [[0, 2], [1], [], None]


def test_label_sets_as_a_matrix_tell_none_of_them_from_not_labelled() -> None:
    matrix = label_set_matrix([[0, 2], [], None], 3)
    assert matrix[:2].tolist() == [[1, 0, 1], [0, 0, 0]]
    assert np.isnan(matrix[2]).all()
    assert label_set_matrix([None, None], 0).shape == (2, 0)


@settings(max_examples=50)
@given(st.integers(10, 40), st.integers(0, 2**32 - 1))
def test_a_labels_threshold_has_the_best_f1(texts: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.ones(10, dtype=bool), random.random(texts) < 0.5])[:, None]
    probabilities = np.round(random.random((len(truth), 1)), 1).astype(np.float32)

    def f1(threshold: float) -> float:
        return label_set_scores(truth, probabilities >= threshold)["micro_f1"]

    (chosen,) = choose_thresholds(probabilities, truth)
    assert f1(chosen) == pytest.approx(max(f1(threshold) for threshold in np.arange(-0.05, 1.1, 0.1)))


def test_a_rare_label_takes_the_shared_threshold() -> None:
    truth = np.zeros((40, 2), dtype=bool)
    truth[:20, 0] = True
    truth[0, 1] = True
    probabilities = np.where(truth, 0.3, 0.1).astype(np.float32)
    probabilities[0, 1] = 0.9
    first, second = choose_thresholds(probabilities, truth)
    assert 0.1 < second < 0.3
    assert 0.1 < first < 0.3


def test_scores_agree_with_their_definitions() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    truth, chosen = random.random((100, 4)) < 0.3, random.random((100, 4)) < 0.3
    found = label_set_scores(truth, chosen)
    assert found["micro_f1"] == pytest.approx(sklearn.f1_score(truth, chosen, average="micro"))
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score(truth, chosen, average="macro"))
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, chosen))


def test_calibration_makes_overconfident_labels_mean_what_they_say() -> None:
    random = np.random.default_rng(1)
    sure = random.normal(size=(2000, 3))
    truth = random.random((2000, 3)) < 1 / (1 + np.exp(-sure))
    fitted = calibrate_label_sets(Calibration(), (4 * sure).astype(np.float32), truth)
    assert fitted.temperature == pytest.approx(4.0, rel=0.2)
    assert fitted.ece_after is not None
    assert fitted.ece_before is not None
    assert fitted.ece_after < 0.5 * fitted.ece_before
    assert len(fitted.label_thresholds) == 3
    assert Calibration.model_validate_json(fitted.model_dump_json()) == fitted


def _texts() -> list[LabelledText]:
    """One wish a text, or two of them in one text."""
    rows = []
    for thing in THINGS:
        for intent, patterns in ORDERS.items():
            rows += [LabelledText(text=pattern.format(thing), intent=intent) for pattern in patterns]
        for (first, one), (second, other) in product(ORDERS.items(), ORDERS.items()):
            if first < second:
                words = f"{one[0].format(thing)} {other[1].format(thing)}"
                rows.append(LabelledText(text=words, intent=f"{second}|{first}"))
        rows.append(LabelledText(text=f"the {thing}", intent="oos"))
    return rows


def test_a_text_gets_every_label_that_it_has(tmp_path: Path) -> None:
    rows = _texts()
    table = pa.concat_tables([examples_from_labelled(rows, name, NOON) for name in ("train", "validation")])  # type: ignore[arg-type]
    trained = train_artifact(
        table,
        tmp_path / "model",
        version="model",
        work_dir=tmp_path / "work",
        base_encoder=str(tiny_encoder(tmp_path / "encoder")),
        recipe=Recipe(epochs=40, batch_size=8, learning_rate=2e-3, patience=40),
        device="cpu",
    )
    assert trained.manifest.labels == ("cancel", "return", "track")
    predictor = IntentPredictor.load(tmp_path / "model", "cpu")
    assert predictor.replay_golden() == []
    answers = predictor.predict([render_utterance(row.text) for row in rows])
    wanted = [set(names_in(row.intent)) for row in rows]
    equal = [set(answer.labels) == names for answer, names in zip(answers, wanted, strict=True)]
    assert np.mean(equal) > 0.9
    assert all(answer.out_of_scope == (not answer.labels) for answer in answers)
    both = next(answer for answer in answers if len(answer.labels) == 2)
    assert both.label == "|".join(both.labels)
    # Probabilities of a multi-label answer are decisions of their own: two may both be likely.
    assert sum(score.probability for score in both.intents[:2]) > 1.0


def test_a_label_that_never_stands_alone_starts_at_its_texts(tmp_path: Path) -> None:
    rows = [row for row in _texts() if len(names_in(row.intent)) > 1]
    dataset = prepare_dataset(examples_from_labelled(rows, "train", NOON), str(tiny_encoder(tmp_path / "encoder")))
    still = Recipe(epochs=1, batch_size=8, learning_rate=1e-12)
    head = fine_tune(dataset, work_dir=tmp_path / "work", recipe=still, device="cpu").model.intent
    assert head is not None
    # Each pair of labels shares a third of its texts or more; rows drawn at random are near a right angle.
    prototypes = torch.nn.functional.normalize(head.weight.detach(), dim=1)
    assert (prototypes @ prototypes.t()).min() > 0.5


def _champion(rows: list[LabelledText], home: Path) -> Path:
    train_artifact(
        examples_from_labelled(rows, "train", NOON),
        home / "champion",
        version="champion",
        work_dir=home / "work",
        base_encoder=str(tiny_encoder(home / "encoder")),
        recipe=Recipe(epochs=2, batch_size=8, learning_rate=1e-2),
        device="cpu",
    )
    return home / "champion"


def test_labels_that_a_champion_never_decided_one_by_one_start_undecided(tmp_path: Path) -> None:
    """At a bias of 0 a new label would be given to every text."""
    every = examples_from_labelled(_texts(), "train", NOON)
    single = _champion([row for row in _texts() if len(names_in(row.intent)) == 1], tmp_path / "single")
    model = assemble(prepare_dataset(every, "unused", champion=single), champion=single, dropout=0.1, seed=0)
    assert model.intent is not None
    assert model.intent.bias.tolist() == [-SCALE / 2] * 3

    several = _champion([row for row in _texts() if "return" not in row.intent], tmp_path / "several")
    dataset = prepare_dataset(every, "unused", champion=several)
    model = assemble(dataset, champion=several, dropout=0.1, seed=0)
    assert model.intent is not None
    bias = dict(zip(dataset.labels.class_names(), model.intent.bias.tolist(), strict=True))
    assert bias["return"] == -SCALE / 2
    assert bias["cancel"] != -SCALE / 2
    assert bias["track"] != -SCALE / 2


def test_a_label_at_its_threshold_may_flip_on_another_machine() -> None:
    def answer(probability: float, *, holds: bool) -> Prediction:
        return Prediction(
            intents=(IntentScore("a", probability), IntentScore("b", 0.1)),
            out_of_scope=not holds,
            key_information=(),
            purchase_probability=np.nan,
            embedding=np.zeros(2, dtype=np.float32),
            unknown_share=0.0,
            token_count=3,
            labels=("a",) if holds else (),
        )

    cases = {1: golden_case(render_utterance("hello"), answer(0.601, holds=True))}
    assert differences(cases, [answer(0.599, holds=False)], None) == []
    assert differences(cases, [answer(0.4, holds=False)], None) == [
        "golden.jsonl line 1: intent a 0.4000 instead of 0.6010"
    ]
