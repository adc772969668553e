from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import ExampleArrays, in_other_scenes, make_batch
from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset, scenes_of
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.loading import load_config, load_model, load_pipeline
from intent_tracking.modeling.model import ModelOutput
from intent_tracking.modeling.objective import rows_of, scene_consistency
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from intent_tracking.sessions.render import render_utterance
from intent_tracking.sessions.vocabulary import scene_token
from tests.fakes.tiny_encoder import NOON, labelled, tiny_encoder

pytestmark = pytest.mark.unit

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=6, batch_size=8, learning_rate=1e-3, patience=6, adapter_width=4)


def _rows(*scenes: str) -> pa.Table:
    """The same texts in every scene; five of six train, one of six validates."""
    rows = [row.model_copy(update={"scene": scene}) for scene in scenes for row in labelled()]
    train = [row for place, row in enumerate(rows) if place % 6]
    held = [row for place, row in enumerate(rows) if place % 6 == 0]
    return pa.concat_tables(
        [examples_from_labelled(train, "train", NOON), examples_from_labelled(held, "validation", NOON)]
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def dataset(encoder: Path) -> TokenizedDataset:
    return prepare_dataset(_rows("search", "salon"), str(encoder))


def test_known_scenes_keep_their_places() -> None:
    assert scenes_of(["cart", "cart"]) == ("cart",)
    assert scenes_of(["search", "cart"]) == ("cart", "search")
    assert scenes_of(["cart", "aisle"], ("search", "cart")) == ("search", "cart", "aisle")


def test_a_shops_own_scene_has_a_token_and_a_place(dataset: TokenizedDataset) -> None:
    assert dataset.info.scenes == ("salon", "search")
    identity = dataset.tokenizer.vocabulary.token_to_id(scene_token("salon"))
    entry = render_utterance("where is my order", "salon")
    assert dataset.tokenizer.encode([entry.text])[0].ids[1] == identity
    examples = ExampleArrays.of(dataset.table, 0, dataset.info.scenes)
    assert set(examples.scenes.tolist()) == {1, 2}
    assert set(ExampleArrays.of(dataset.table, 0).scenes.tolist()) == {0}


def test_one_scene_is_known_and_nothing_is_learned_about_it(encoder: Path, tmp_path: Path) -> None:
    alone = prepare_dataset(_rows("salon"), str(encoder))
    model = fine_tune(alone, work_dir=tmp_path, recipe=RECIPE.model_copy(update={"epochs": 1}), device="cpu").model
    assert model.config.scenes == ("salon",)
    assert model.adapters is None


def test_a_scene_is_named_in_plain_letters() -> None:
    with pytest.raises(ValueError, match="small letters"):
        render_utterance("hello", "Out<let>")


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(0, 2**16))
def test_shown_in_another_scene_only_the_scene_changes(dataset: TokenizedDataset, rows: int, seed: int) -> None:
    examples = ExampleArrays.of(dataset.split("train"), 0, dataset.info.scenes)
    batch = make_batch(examples, list(range(rows)), CPU)
    tokens = torch.tensor(
        [0, *(dataset.tokenizer.vocabulary.token_to_id(scene_token(scene)) for scene in dataset.info.scenes)]
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shown, places = in_other_scenes(batch, tokens)
    assert torch.equal(shown.ids[:rows], batch.ids)
    assert len(shown.ids) == rows + len(places)
    assert len(places) == round(rows / 4)
    assert shown.tokens == int(shown.mask.sum())
    again, scenes = shown.ids[rows:], shown.scenes[rows:]
    assert (scenes != batch.scenes[places]).all()
    assert torch.equal(again[:, 2:], batch.ids[places][:, 2:])
    expected = torch.where(scenes > 0, tokens[scenes], batch.ids[places][:, 1])
    assert torch.equal(again[:, 1], expected)


def test_consistency_is_zero_for_equal_answers_and_teaches_the_other_scene_alone() -> None:
    pooled, intents = torch.randn(4, 8, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    own = ModelOutput(pooled, intents, None, None)
    assert scene_consistency(own, own).item() == pytest.approx(0.0, abs=1e-5)
    moved = ModelOutput(torch.randn(4, 8, requires_grad=True), torch.randn(4, 3, requires_grad=True), None, None)
    loss = scene_consistency(own, moved)
    loss.backward()
    assert loss.item() > 0.1
    assert pooled.grad is None
    assert intents.grad is None
    assert moved.pooled.grad is not None
    assert rows_of(own, slice(1, 3)).pooled.shape == (2, 8)


def _drift(dataset: TokenizedDataset, work: Path, weight: float) -> float:
    """Mean distance of the intents of the same texts in the two scenes, after training."""
    recipe = RECIPE.model_copy(update={"consistency_weight": weight, "epochs": 12})
    model = fine_tune(dataset, work_dir=work, recipe=recipe, device="cpu").model
    examples = ExampleArrays.of(dataset.split("validation"), 0, dataset.info.scenes)
    batch = make_batch(examples, range(len(examples)), CPU)
    other = 3 - batch.scenes
    vocabulary = dataset.tokenizer.vocabulary
    tokens = torch.tensor([0, *(vocabulary.token_to_id(scene_token(scene)) for scene in dataset.info.scenes)])
    ids = batch.ids.clone()
    ids[:, 1] = tokens[other]
    with torch.inference_mode():
        here, there = model(batch.ids, batch.mask, None, batch.scenes), model(ids, batch.mask, None, other)
    return float((here.intents.softmax(1) - there.intents.softmax(1)).abs().sum(1).mean())


def test_the_consistency_term_brings_scenes_together(encoder: Path, tmp_path: Path) -> None:
    # The scene gives two intents away; only the term says that words mean the same where they were not labelled.
    home = {"track": ("search",), "cancel": ("salon",), "return": ("search", "salon")}
    rows = [row.model_copy(update={"scene": scene}) for row in labelled() for scene in home[row.intent]]
    table = pa.concat_tables([examples_from_labelled(rows, name, NOON) for name in ("train", "validation")])  # type: ignore[arg-type]
    dataset = prepare_dataset(table, str(encoder))
    assert _drift(dataset, tmp_path / "with", 2.0) < 0.8 * _drift(dataset, tmp_path / "without", 0.0)


def test_an_artifact_grows_a_scene(encoder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train_artifact(
        _rows("search", "salon"),
        first,
        version="first",
        work_dir=tmp_path / "a",
        base_encoder=str(encoder),
        recipe=RECIPE,
        device="cpu",
    )
    assert load_config(first).scenes == ("salon", "search")
    grown = prepare_dataset(_rows("search", "salon", "aisle"), str(encoder), champion=first)
    assert grown.info.scenes == ("salon", "search", "aisle")
    model = assemble(grown, champion=first, dropout=0.1, seed=0, adapter_width=16)
    old = load_model(first, load_config(first))
    assert model.adapters is not None
    assert old.adapters is not None
    for before, after in zip(old.adapters, model.adapters, strict=True):
        assert before.up.detach().any()
        assert torch.equal(after.up[:2], before.up)
        assert torch.allclose(after.up[2], before.up.mean(0))
    # What the old scenes were answered stays as it was.
    pipeline = load_pipeline(first, CPU)
    answer = pipeline.predict([render_utterance("where is my red dress", "salon")])[0]
    pooled = model.eval()(*_one("where is my red dress", "salon", grown)).pooled
    assert torch.allclose(pooled[0], torch.from_numpy(answer.embedding), atol=1e-4)


def _one(text: str, scene: str, dataset: TokenizedDataset) -> tuple[torch.Tensor, torch.Tensor, None, torch.Tensor]:
    ids = dataset.tokenizer.encode([render_utterance(text, scene).text])[0].ids
    place = dataset.info.scenes.index(scene) + 1
    return torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long), None, torch.tensor([place])


def test_scenes_mix_in_one_call_and_answers_stay_in_order(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    train_artifact(
        _rows("search", "salon"),
        folder,
        version="model",
        work_dir=tmp_path / "work",
        base_encoder=str(encoder),
        recipe=RECIPE,
        device="cpu",
    )
    pipeline = load_pipeline(folder, CPU)
    inputs = [render_utterance("cancel my red dress", scene) for scene in ("search", "salon", "unheard_of", "search")]
    mixed = pipeline.predict(inputs)
    alone = [pipeline.predict([entry])[0] for entry in inputs]
    for one, other in zip(mixed, alone, strict=True):
        assert one.intents[0].name == other.intents[0].name
        assert one.intents[0].probability == pytest.approx(other.intents[0].probability, abs=1e-4)


def test_a_labelled_text_may_come_from_any_scene() -> None:
    assert LabelledText(text="hello", intent="greet", scene="salon").scene == "salon"
