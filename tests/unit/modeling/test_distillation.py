from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from intent_tracking.artifact import verify
from intent_tracking.inference import IntentPredictor
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import TEACHER_INTENTS, TEACHER_POOLED, ExampleArrays, make_batch
from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset
from intent_tracking.modeling.distillation import taught, unlabelled_examples
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.loading import load_config
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from intent_tracking.sessions.render import render_utterance
from tests.fakes.tiny_encoder import NOON, labelled, tiny_encoder, tiny_examples

pytestmark = pytest.mark.unit

RECIPE = Recipe(epochs=30, batch_size=8, learning_rate=1e-3, patience=30)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, trained on every text."""
    folder = tmp_path_factory.mktemp("teacher")
    encoder = str(tiny_encoder(folder / "encoder"))
    train_artifact(
        tiny_examples(),
        folder / "t1",
        version="t1",
        work_dir=folder / "work",
        base_encoder=encoder,
        recipe=RECIPE,
        device="cpu",
    )
    return folder / "t1"


def _few_and_many() -> pa.Table:
    """One labelled text of each intent, and every other text without its label."""
    rows = labelled()
    return pa.concat_tables(
        [
            examples_from_labelled(rows[::12], "train", NOON),
            unlabelled_examples([row.text for row in rows[1::2]], "customer_service", NOON),
        ]
    )


def _taught(teacher: Path, layers: int | None = None) -> TokenizedDataset:
    examples = _few_and_many()
    return taught(prepare_dataset(examples, "unused", champion=teacher), teacher, layers, CPU)


def _probabilities(model: torch.nn.Module, teacher: Path) -> torch.Tensor:
    """Intents of the texts that neither a person nor the teacher labelled for the student."""
    rows = [row for place, row in enumerate(labelled()) if place % 2 == 0 and place % 12]
    table = pa.concat_tables([_few_and_many(), examples_from_labelled(rows, "test", NOON)])
    examples = ExampleArrays.of(prepare_dataset(table, "unused", champion=teacher).split("test"), 0)
    batch = make_batch(examples, range(len(examples)), CPU)
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(batch.ids, batch.mask).intents.softmax(1)
    return found


def test_the_teachers_answers_stand_beside_every_training_text_and_nowhere_else(teacher: Path) -> None:
    examples = tiny_examples()
    dataset = taught(prepare_dataset(examples, "unused", champion=teacher), teacher, None, CPU)
    assert dataset.info.layers == 1
    train = ExampleArrays.of(dataset.split("train"), 0)
    whole = replace(dataset, info=dataset.info.model_copy(update={"layers": None}))
    alone = assemble(whole, champion=teacher, dropout=0.0, seed=0).eval()
    for place in (0, len(train) - 1):
        batch = make_batch(train, [place], CPU)
        with torch.inference_mode():
            expected = alone(batch.ids, batch.mask)
        assert torch.allclose(batch.teacher_intents, expected.intents, atol=1e-4)
        assert torch.allclose(batch.teacher_pooled, expected.pooled, atol=1e-4)
    held = ExampleArrays.of(dataset.split("validation"), 0)
    assert np.isnan(held.teacher_intents).all()
    assert len(held) > 0


def test_a_taught_student_agrees_with_its_teacher_more_than_one_of_labels_alone(teacher: Path, tmp_path: Path) -> None:
    dataset = _taught(teacher)
    labels_alone = replace(dataset, table=dataset.table.drop_columns([TEACHER_POOLED, TEACHER_INTENTS]))
    whole = replace(dataset, info=dataset.info.model_copy(update={"layers": None}))
    wanted = _probabilities(assemble(whole, champion=teacher, dropout=0.0, seed=0), teacher)
    apart = {}
    for name, data in (("taught", dataset), ("alone", labels_alone)):
        done = fine_tune(data, work_dir=tmp_path / name, champion=teacher, recipe=RECIPE, device="cpu")
        assert len(done.model.encoder.encoder.layer) == 1
        apart[name] = float((_probabilities(done.model, teacher) - wanted).abs().sum(1).mean())
    assert apart["taught"] < 0.5 * apart["alone"]


def test_a_student_is_an_artifact_that_serves_and_names_its_teacher(teacher: Path, tmp_path: Path) -> None:
    train_artifact(
        _few_and_many(),
        tmp_path / "s1",
        version="s1",
        work_dir=tmp_path / "work",
        base_encoder="unused",
        champion=teacher,
        student=True,
        recipe=RECIPE,
        device="cpu",
    )
    assert verify(tmp_path / "s1").parent == "t1"
    assert load_config(tmp_path / "s1").encoder["num_hidden_layers"] == 1
    predictor = IntentPredictor.load(tmp_path / "s1", "cpu")
    assert predictor.replay_golden() == []
    [answer] = predictor.predict([render_utterance("cancel my red dress")])
    assert answer.intents[0].name == "cancel"


def test_the_layers_kept_are_evenly_spaced_and_end_with_the_last(teacher: Path) -> None:
    dataset = prepare_dataset(tiny_examples(), "unused", champion=teacher)
    whole = assemble(dataset, champion=teacher, dropout=0.0, seed=0).encoder
    small = assemble(
        replace(dataset, info=dataset.info.model_copy(update={"layers": 1})), champion=teacher, dropout=0.0, seed=0
    ).encoder
    [kept] = small.encoder.layer
    last = whole.encoder.layer[1]
    assert all(torch.equal(kept.state_dict()[name], value) for name, value in last.state_dict().items())


def test_what_cannot_be_taught_is_refused_with_the_remedy(teacher: Path) -> None:
    with pytest.raises(ValueError, match=r"a student of 2 layers: the teacher has 2; give 1 to 1"):
        _taught(teacher, 2)
    renamed = tiny_examples()
    place = renamed.column_names.index("intent")
    names = pc.replace_substring(renamed["intent"], pattern="cancel", replacement="gift_wrap")
    with pytest.raises(ValueError, match=r"does not know the intent 'gift_wrap' \(1 such\)"):
        taught(
            prepare_dataset(renamed.set_column(place, "intent", names), "unused", champion=teacher), teacher, None, CPU
        )
