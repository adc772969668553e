from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.dataset import fingerprint, prepare_dataset
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.export import choose_golden
from intent_tracking.modeling.intent_head import IntentHead, prototypes_of
from intent_tracking.modeling.label_names import FEW_TEXTS, name_examples, words_of
from tests.fakes.tiny_encoder import NOON, tiny_encoder, tiny_examples

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_arrival", "card arrival"),
        ("orderStatus", "order Status"),
        ("Refund_not_showing_up", "Refund not showing up"),
        ("退货", "退货"),
        ("c17", None),
        ("a_b", None),
    ],
)
def test_a_name_is_a_text_unless_it_is_a_code(name: str, words: str | None) -> None:
    assert words_of(name) == words


def _rows(*intents: str, times: int = 1) -> pa.Table:
    rows = [LabelledText(text=f"text {place}", intent=intent) for intent in intents for place in range(times)]
    return examples_from_labelled(rows, "train", NOON)


def test_only_where_texts_are_few_and_names_tell_labels_apart() -> None:
    few = _rows("card_arrival", "label_1", "label_2", "c17", "top_up")
    intents = ("c17", "card_arrival", "label_1", "label_2", "top_up")
    assert name_examples(few, intents)["intent"].to_pylist() == ["card_arrival", "top_up"]
    many = _rows("card_arrival", "top_up", times=FEW_TEXTS)
    assert len(name_examples(many, ("card_arrival", "top_up"))) == 0
    assert len(name_examples(many.slice(1), ("card_arrival", "top_up"))) == 2
    assert name_examples(few, ()).schema == few.schema


def test_much_that_is_none_of_the_intents_does_not_make_them_frequent() -> None:
    few = pa.concat_tables([_rows("card_arrival", "top_up", times=5), _rows("oos", times=2 * FEW_TEXTS)])
    intents = ("card_arrival", "top_up")
    assert name_examples(few, intents)["intent"].to_pylist() == [*intents]


def test_names_are_trained_on_and_change_nothing_else(tmp_path: Path) -> None:
    examples = tiny_examples()
    dataset = prepare_dataset(examples, str(tiny_encoder(tmp_path)))
    assert dataset.info.fingerprint == fingerprint(examples)
    added = [name for name in dataset.table["example_id"].to_pylist() if name.startswith("label-name-")]
    assert added == ["label-name-cancel", "label-name-return", "label-name-track"]
    held_out = examples.filter(pc.equal(examples["split"], "validation"))
    assert dataset.split("validation")["example_id"].equals(held_out["example_id"])
    named = dataset.table.slice(len(examples))
    assert set(named["split"].to_pylist()) == {"train"}
    # Nobody marked slots or saw an outcome there.
    assert named["outcome"].null_count == len(named)
    assert {tag for tags in named["tags"].to_pylist() for tag in tags} == {-100}
    assert {entry.text for entry in choose_golden(examples)} <= set(examples["text"].to_pylist())


def test_a_prototype_is_the_mean_direction_of_its_texts_and_a_label_without_one_stays() -> None:
    pooled = torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 0.0]])
    prototypes = prototypes_of(pooled, torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0]]).bool())
    torch.testing.assert_close(prototypes, torch.tensor([[0.5**0.5, 0.5**0.5], [1.0, 0.0], [0.0, 0.0]]))
    head = IntentHead(2, 3)
    before = head.weight.detach().clone()
    head.start_from(prototypes, [1, 2])
    assert torch.equal(head.weight[1], prototypes[1])
    assert torch.equal(head.weight[[0, 2]], before[[0, 2]])
