from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import ExampleArrays, make_batch, plan_pass
from intent_tracking.modeling.dataset import TokenizedDataset, choose_max_tokens, prepare_dataset
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.intent_head import prototypes_of
from intent_tracking.modeling.objective import class_weights, loss_of
from intent_tracking.modeling.optimizer import make_optimizer
from intent_tracking.modeling.recipe import Recipe, choose_recipe
from intent_tracking.modeling.scores import roc_auc
from intent_tracking.modeling.training import fine_tune
from intent_tracking.modeling.training_result import Progress
from intent_tracking.modeling.validation import (
    FEWEST_TO_JUDGE,
    SplitOutputs,
    chance_of,
    pooled_texts,
    scores_of,
)
from tests.fakes.tiny_encoder import NOON, tiny_encoder, tiny_examples

pytestmark = pytest.mark.unit

RECIPE = Recipe(epochs=6, batch_size=8, learning_rate=1e-3, patience=6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TokenizedDataset:
    return prepare_dataset(tiny_examples(), str(tiny_encoder(tmp_path_factory.mktemp("encoder"))))


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_intents_and_key_information_are_learned(dataset: TokenizedDataset, tmp_path: Path) -> None:
    seen: list[Progress] = []
    recipe = RECIPE.model_copy(update={"epochs": 40, "patience": 40})
    result = fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", progress=seen.append)
    assert result.history[-1].scores["accuracy"] == 1.0
    assert result.history[-1].scores["tag_f1"] > 0.8
    assert result.history[-1].loss < result.history[0].loss
    assert seen[-1].step == seen[-1].steps == result.steps
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_base_rows_stay_and_added_rows_learn(dataset: TokenizedDataset, tmp_path: Path) -> None:
    before = assemble(dataset, champion=None, dropout=0.1, seed=0)
    old = before.encoder.get_input_embeddings().weight.detach()
    result = fine_tune(dataset, work_dir=tmp_path, recipe=RECIPE, device="cpu")
    new = result.model.encoder.get_input_embeddings().weight.detach()
    first = result.model.config.base_vocabulary
    assert torch.equal(old[:first], new[:first])
    assert not torch.equal(old[first:], new[first:])


def test_same_seed_same_weights_other_seed_others(dataset: TokenizedDataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1})
    runs = [
        _weights(fine_tune(dataset, work_dir=tmp_path / name, recipe=recipe, seed=seed, device="cpu").model)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert any(not torch.equal(runs[0][name], runs[2][name]) for name in runs[0])


@pytest.fixture(scope="module")
def misleading(dataset: TokenizedDataset) -> TokenizedDataset:
    """Each validation label is another than training teaches, so that every pass after the first is a worse one."""
    table = dataset.table
    held_out = table.filter(pc.equal(table["split"], "validation"))
    wrong = pc.choose(held_out["intent"], 1, 2, 0).cast(pa.int32())
    held_out = held_out.set_column(table.column_names.index("intent"), "intent", wrong)
    enough = -(-FEWEST_TO_JUDGE // len(held_out))
    return replace(dataset, table=pa.concat_tables([dataset.split("train"), *[held_out] * enough]))


def test_training_stops_when_passes_are_worse_by_more_than_chance(misleading: TokenizedDataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 50, "patience": 2})
    result = fine_tune(misleading, work_dir=tmp_path, recipe=recipe, device="cpu")
    assert result.stopped == "no improvement"
    assert len(result.history) == result.best_epoch + 3


def test_too_few_validation_texts_choose_no_pass(misleading: TokenizedDataset, tmp_path: Path) -> None:
    few = pa.concat_tables([misleading.split("train"), misleading.split("validation").slice(0, FEWEST_TO_JUDGE - 1)])
    recipe = RECIPE.model_copy(update={"epochs": 5, "patience": 2})
    result = fine_tune(replace(misleading, table=few), work_dir=tmp_path, recipe=recipe, device="cpu")
    assert (result.stopped, result.best_epoch) == ("finished", 4)


@given(right=st.integers(0, 500), count=st.integers(FEWEST_TO_JUDGE, 500))
def test_chance_is_that_of_so_many_answers(right: int, count: int) -> None:
    right = min(right, count)
    targets = np.zeros(count, dtype=np.int64)
    logits = np.zeros((count, 2), dtype=np.float32)
    logits[:right, 0], logits[right:, 1] = 1, 1
    none = np.zeros(0, dtype=np.int64)
    outputs = SplitOutputs(None, none, (logits.argmax(1) + 1), targets + 1, None, none)
    judged = scores_of(outputs)["score"]
    assert 0 < chance_of(outputs) <= 0.5 / count**0.5
    assert chance_of(outputs) >= 0.9 * (judged * (1 - judged) / count) ** 0.5


def _of_intents(truth: list[int], predicted: list[int]) -> SplitOutputs:
    none = np.zeros(0, dtype=np.int64)
    logits = np.eye(1 + max(*truth, *predicted), dtype=np.float32)[predicted]
    return SplitOutputs(logits, np.array(truth), None, none, None, none)


def test_a_pass_that_gives_a_label_which_validation_lacks_is_worse_by_one_error_alone() -> None:
    """The label was a class of F1 0: passes that never answered rare labels won."""
    truth = [place % 2 for place in range(200)]
    wrong, rare = [1, *truth[1:]], [2, *truth[1:]]
    assert scores_of(_of_intents(truth, rare))["score"] == pytest.approx(
        scores_of(_of_intents(truth, wrong))["score"], abs=0.01
    )
    assert scores_of(_of_intents(truth, rare))["macro_f1"] < 0.7


def test_a_mean_over_rare_labels_is_less_sure_than_one_over_as_many_common_answers() -> None:
    common, rare = [0, 1] * 100, [0, 1] * 95 + list(range(2, 12))
    assert 2 * chance_of(_of_intents(common, common)) < chance_of(_of_intents(rare, rare)) < 0.1
    # Of labels with as many texts each it is about that of a share.
    wrong = [(place + (place < 40)) % 2 for place in range(200)]
    share = (0.8 * 0.2 / 200) ** 0.5
    assert chance_of(_of_intents([place % 2 for place in range(200)], wrong)) == pytest.approx(share, rel=0.2)


def test_a_training_that_has_stopped_goes_no_further_when_it_is_started_again(
    misleading: TokenizedDataset, tmp_path: Path
) -> None:
    """Its process may be killed while its artifact is made: the checkpoint is that of the last pass."""
    recipe = RECIPE.model_copy(update={"epochs": 50, "patience": 2})
    first, again = (
        fine_tune(misleading, work_dir=tmp_path, recipe=recipe, device="cpu", checkpoint_seconds=0.0) for _ in range(2)
    )
    assert (again.stopped, again.steps, again.history) == (first.stopped, first.steps, first.history)
    assert first.stopped == "no improvement"


def test_several_runs_give_the_mean_of_their_weights_and_are_not_run_again(
    dataset: TokenizedDataset, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 2, "runs": 2})
    seen: list[Progress] = []
    result = fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", progress=seen.append)
    runs = [
        load_file(next((tmp_path / name).glob("step-*/best.safetensors"))) for name in ("checkpoints", "checkpoints-1")
    ]
    assert not torch.equal(runs[0]["intent.weight"], runs[1]["intent.weight"])
    assert result.model.intent is not None
    torch.testing.assert_close(result.model.intent.weight, (runs[0]["intent.weight"] + runs[1]["intent.weight"]) / 2)
    assert [figures.epoch for figures in result.history] == [0, 1, 2, 3]
    assert seen[-1].step == seen[-1].steps == result.steps
    # What is told of the passes and of the time while it trains is what the result says.
    told = {entry.epoch: entry.scores for entry in seen if entry.scores}
    assert told == {figures.epoch + 1: figures.scores for figures in result.history}
    assert seen[-1].seconds == result.seconds
    seen.clear()
    again = fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", progress=seen.append)
    assert seen == []
    assert all(torch.equal(value, _weights(again.model)[name]) for name, value in _weights(result.model).items())


def test_a_label_that_the_champion_had_no_head_for_starts_at_its_texts(tmp_path: Path) -> None:
    """One label alone cannot be learned, so that a champion of one has no intent head."""
    still = RECIPE.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    train_artifact(
        tiny_examples(("track",)),
        tmp_path / "champion",
        version="champion",
        work_dir=tmp_path / "a",
        base_encoder=str(tiny_encoder(tmp_path / "encoder")),
        recipe=RECIPE,
        device="cpu",
    )
    champion = tmp_path / "champion"
    dataset = prepare_dataset(tiny_examples(), "unused", champion=champion)
    model = fine_tune(dataset, work_dir=tmp_path / "b", champion=champion, recipe=still, device="cpu").model
    examples = ExampleArrays.of(dataset.split("train"), 0)
    pooled, having = pooled_texts(model, examples, torch.device("cpu"), classes=len(dataset.labels.intents), most=32)
    expected = prototypes_of(pooled, having)
    assert model.intent is not None
    torch.testing.assert_close(model.intent.weight.detach(), expected, atol=1e-5, rtol=0)


def test_weights_decay_but_for_biases_norms_and_added_rows(dataset: TokenizedDataset) -> None:
    model = assemble(dataset, champion=None, dropout=0.1, seed=0)
    model.freeze_base_rows()
    decays = {
        id(value): group["weight_decay"]
        for group in make_optimizer(model, RECIPE).param_groups
        for value in group["params"]
    }
    assert model.tags is not None
    assert model.intent is not None
    added = model.encoder.get_input_embeddings().added
    assert [decays[id(value)] for value in (model.tags.weight, model.intent.weight)] == [RECIPE.weight_decay] * 2
    assert [decays[id(value)] for value in (model.tags.bias, model.intent.bias, added)] == [0.0] * 3


def test_time_budget_ends_the_training_with_a_usable_model(dataset: TokenizedDataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 10_000, "patience": 10_000})
    result = fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", max_seconds=0.5)
    assert result.stopped == "time"
    assert result.validation is not None


def test_a_run_is_repeated_only_where_there_is_time_for_all_of_it(dataset: TokenizedDataset, tmp_path: Path) -> None:
    """Three runs shared the time: on a slow machine the mean of three beginnings was worse than one training."""
    recipe = RECIPE.model_copy(update={"epochs": 2, "runs": 2})
    whole = fine_tune(dataset, work_dir=tmp_path / "whole", recipe=recipe, device="cpu", max_seconds=600)
    assert (whole.stopped, whole.passes, whole.runs, whole.kept_pass) == ("finished", 2.0, 2, None)
    assert [number for number, *_ in whole.learning_curve] == [1, 2, 2.5, 3, 4]
    assert np.isnan(whole.learning_curve[2][1:]).all()
    endless = RECIPE.model_copy(update={"epochs": 10_000, "patience": 10_000, "runs": 2})
    cut = fine_tune(dataset, work_dir=tmp_path / "cut", recipe=endless, device="cpu", max_seconds=1.0)
    assert cut.stopped == "time"
    steps_of_a_pass = -(-len(dataset.split("train")) // recipe.batch_size)
    assert cut.passes == pytest.approx(cut.steps / steps_of_a_pass)
    assert (cut.runs, cut.kept_pass) == (1, cut.best_epoch + 1)
    # What the clock left of a pass was one step of it, and counted as a pass.
    assert len(cut.history) - cut.passes < 0.9 + 1e-9


def test_a_run_behind_its_time_comes_down_before_it_ends(dataset: TokenizedDataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 10_000, "patience": 10_000, "warmup_share": 0.0001})
    seen: list[Progress] = []
    fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", max_seconds=1.5, progress=seen.append)
    assert seen[-1].step < 0.5 * seen[-1].steps
    assert seen[-1].rate < 0.1 < max(entry.rate for entry in seen)


def test_global_random_state_is_left_alone(dataset: TokenizedDataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fine_tune(dataset, work_dir=tmp_path, recipe=RECIPE.model_copy(update={"epochs": 1}), device="cpu")
    assert torch.equal(torch.rand(1), expected)


def test_checkpoint_of_other_work_is_not_continued(dataset: TokenizedDataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1})
    fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", checkpoint_seconds=0.0)
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 1
    again = fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", seed=1)
    fresh = fine_tune(dataset, work_dir=tmp_path / "fresh", recipe=recipe, device="cpu", seed=1)
    assert again.history == fresh.history


def test_a_checkpoint_is_gone_on_with_where_bf16_is_measured_otherwise(
    dataset: TokenizedDataset, tmp_path: Path
) -> None:
    began = RECIPE.model_copy(update={"epochs": 1})
    again = began.model_copy(update={"bf16": True})
    first, second = (
        fine_tune(dataset, work_dir=tmp_path, recipe=recipe, device="cpu", checkpoint_seconds=0.0)
        for recipe in (began, again)
    )
    assert (second.recipe, second.history) == (began, first.history)


def test_padding_changes_no_answer(dataset: TokenizedDataset) -> None:
    model = assemble(dataset, champion=None, dropout=0.1, seed=0).eval()
    examples = ExampleArrays.of(dataset.split("train"), 0)
    short, long = int(np.argmin(examples.lengths)), int(np.argmax(examples.lengths))
    assert examples.lengths[short] < examples.lengths[long]
    cpu = torch.device("cpu")
    with torch.inference_mode():
        alone = make_batch(examples, [short], cpu)
        both = make_batch(examples, [short, long], cpu)
        single, padded = model(alone.ids, alone.mask), model(both.ids, both.mask)
    assert torch.allclose(single.intents[0], padded.intents[0], atol=1e-5)
    assert torch.allclose(single.pooled[0], padded.pooled[0], atol=1e-5)


def test_dataset_survives_its_files(dataset: TokenizedDataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "data")
    again = TokenizedDataset.load(tmp_path / "data")
    assert again.table.equals(dataset.table)
    assert (again.labels, again.info) == (dataset.labels, dataset.info)
    assert again.tokenizer.encode(["red dress"])[0].ids == dataset.tokenizer.encode(["red dress"])[0].ids


def test_a_pass_takes_each_example_once_in_an_order_of_its_seed() -> None:
    lengths = [place % 37 for place in range(1000)]
    sure = [True] * 1000
    plan = plan_pass(lengths, 16, seed=3, epoch=2, always=sure)
    assert sorted(place for batch in plan for place in batch) == list(range(1000))
    assert plan == plan_pass(lengths, 16, seed=3, epoch=2, always=sure)
    assert plan != plan_pass(lengths, 16, seed=3, epoch=3, always=sure)
    padding = sum(max(lengths[p] for p in batch) * len(batch) - sum(lengths[p] for p in batch) for batch in plan)
    assert padding < 0.1 * sum(lengths)


def test_a_hurried_pass_takes_all_that_people_labelled_and_draws_from_the_rest() -> None:
    sure = [place < 100 for place in range(1000)]
    passes = [
        {place for batch in plan_pass([9] * 1000, 16, seed=0, epoch=epoch, always=sure, share=0.2) for place in batch}
        for epoch in range(2)
    ]
    assert [len(taken) for taken in passes] == [280, 280]
    assert all(set(range(100)) <= taken for taken in passes)
    assert passes[0] != passes[1]


def test_rare_classes_weigh_more_and_the_mean_stays_one() -> None:
    intents = np.array([0] * 90 + [1] * 10 + [-100] * 5)
    weights = class_weights(intents, np.ones(len(intents), np.float32), 3, 0.5).numpy()
    assert weights[1] > weights[0]
    assert float((weights[0] * 90 + weights[1] * 10) / 100) == pytest.approx(1.0)
    assert np.allclose(class_weights(np.array([0, 1, 2]), np.ones(3, np.float32), 3, 0.5).numpy(), 1.0)


def test_a_class_counts_by_its_texts_within_limits() -> None:
    intents = np.repeat([0, 1, 2, 3], [100, 50, 30, 1])
    even, limited = (class_weights(intents, np.ones(181, np.float32), 4, power).numpy() for power in (0.0, 1.0))
    assert even == pytest.approx([1, 1, 1, 1])
    # Classes weigh the same, but for the last, whose single text counts four times as much as one of the mean class.
    assert limited[0] * 100 == pytest.approx(limited[1] * 50)
    assert limited[3] / limited[2] == pytest.approx(4 / (181 / 4 / 30))


def test_a_class_that_behaviour_labels_is_as_rare_as_its_weights_say() -> None:
    intents, weights = np.repeat([0, 1], 50), np.repeat([1.0, 0.25], 50).astype(np.float32)
    found = class_weights(intents, weights, 2, 1.0).numpy()
    assert found[1] / found[0] == pytest.approx(4.0)


def test_a_class_weight_scales_the_loss_of_its_texts_and_smooths_them_no_further(dataset: TokenizedDataset) -> None:
    examples = ExampleArrays.of(dataset.split("train"), len(dataset.info.features), dataset.info.scenes)
    model = assemble(dataset, champion=None, dropout=0.0, seed=0).eval()
    alike = np.flatnonzero(examples.intents == examples.intents[0])[:4].tolist()
    batch = make_batch(examples, alike, torch.device("cpu"))
    recipe = RECIPE.model_copy(update={"label_smoothing": 0.2, "tag_weight": 0.0, "outcome_weight": 0.0})
    with torch.inference_mode():
        output = model(batch.ids, batch.mask, batch.features, batch.scenes)
        by_class = torch.arange(1.0, dataset.labels.intent_classes + 1)
        plain, weighed = (loss_of(output, batch, each, recipe) for each in (torch.ones_like(by_class), by_class))
    assert float(weighed) == pytest.approx(float(plain) * float(by_class[int(examples.intents[0])]), rel=1e-5)


def test_recipe_follows_the_data() -> None:
    few = choose_recipe(385, 77, [15] * 385, bf16=False)
    many = choose_recipe(10_000, 77, [15] * 10_000, bf16=False)
    assert few.epochs > many.epochs
    assert few.batch_size < many.batch_size
    assert (few.learning_rate, few.label_smoothing) == (1e-4, 0.0)
    assert (few.runs, many.runs) == (3, 1)
    assert choose_recipe(385, 77, [15] * 385, bf16=False, max_seconds=60, tokens_per_second=2000).runs == 1
    base_sized = choose_recipe(10_000, 77, [15] * 10_000, bf16=False, hidden=768)
    assert base_sized.learning_rate == pytest.approx(many.learning_rate / 4)
    # Texts without an intent do not make labels many.
    mostly_silent = choose_recipe(10_000, 77, [15] * 10_000, bf16=False, n_labelled=385)
    assert (mostly_silent.learning_rate, mostly_silent.label_smoothing) == (1e-4, 0.0)
    hurried = choose_recipe(10_000, 77, [15] * 10_000, bf16=False, max_seconds=200, tokens_per_second=2000)
    assert 2 <= hurried.epochs < many.epochs
    assert 150_000 * hurried.epochs <= 1.3 * 200 * 2000
    doubtful = [place > 2000 for place in range(10_000)]
    spared = choose_recipe(
        10_000, 77, [15] * 10_000, bf16=False, doubtful=doubtful, max_seconds=200, tokens_per_second=2000
    )
    assert spared.epochs > hurried.epochs
    assert 0.1 <= spared.behaviour_share < 1.0


def test_what_only_held_out_examples_have_is_no_head(tmp_path: Path) -> None:
    """Of outcomes that none of the training examples had, a head with the weights of its start was served."""
    examples = tiny_examples()
    held_out = pc.equal(examples["split"], "validation")
    outcomes = pc.if_else(held_out, True, pa.scalar(None, pa.bool_()))
    place = examples.column_names.index("outcome")
    for column, heads in ((outcomes, 0), (pc.invert(held_out), 1)):
        table = examples.set_column(place, "outcome", column)
        made = assemble(prepare_dataset(table, str(tiny_encoder(tmp_path))), champion=None, dropout=0.0, seed=0)
        assert (made.outcome is not None) == bool(heads)


def test_texts_are_read_as_far_as_the_encoder_has_positions(tmp_path: Path) -> None:
    """Longer ones ended the training with the sizes of two tensors."""
    config = json.loads((tiny_encoder(tmp_path) / "config.json").read_text())
    weights = load_file(tmp_path / "model.safetensors")
    name = "bert.embeddings.position_embeddings.weight"
    save_file(weights | {name: weights[name][:40].clone()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40}))
    long = [LabelledText(text="where is my red dress " * 20, intent=intent) for intent in ("track", "return") * 8]
    dataset = prepare_dataset(examples_from_labelled(long, "train", NOON), str(tmp_path))
    assert dataset.info.max_tokens == 40
    fine_tune(dataset, work_dir=tmp_path / "work", recipe=RECIPE.model_copy(update={"epochs": 1}), device="cpu")


def test_budget_of_tokens_leaves_nearly_all_texts_whole() -> None:
    assert choose_max_tokens([10] * 1000) == 32
    assert choose_max_tokens([60] * 1000) == 64
    assert choose_max_tokens([500] * 1000) == 192


def test_the_area_under_the_curve_agrees_with_its_definition() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 300)
    scores = random.integers(0, 20, 300).astype(np.float32)
    assert roc_auc(truth > 1, scores) == pytest.approx(sklearn.roc_auc_score(truth > 1, scores))


def test_unlabelled_data_is_refused_with_the_remedy(dataset: TokenizedDataset, tmp_path: Path) -> None:
    table = tiny_examples()
    empty = table.filter([False] * len(table))
    with pytest.raises(ValueError, match="no example is in the training split"):
        prepare_dataset(empty, dataset.info.base_encoder)
