"""The two samples: one row a session, without favour, of one model, with every column accounted for."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from intent_tracking.evaluation import drift_sample
from intent_tracking.evaluation.drift_sample import DriftError, DriftPolicy
from tests.fakes.prediction_tables import OnDisk, served

pytestmark = pytest.mark.unit
POLICY = DriftPolicy(sample_size=200, min_samples=100)


def test_a_session_gives_one_row_and_an_answer_without_a_session_counts_for_itself() -> None:
    table = served(50, seed=1)
    alone = table.set_column(
        table.schema.get_field_index("session_id"), "session_id", pa.nulls(table.num_rows, pa.string())
    )
    assert len(drift_sample.sessions_of(table, 0)) == 50
    assert len(drift_sample.sessions_of(alone, 0)) == table.num_rows
    assert len(set(table.take(drift_sample.sessions_of(table, 0)).column("session_id").to_pylist())) == 50


def test_the_draw_depends_on_rows_and_seed_not_on_their_order() -> None:
    table = served(50, seed=1)
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    rows = [t.take(drift_sample.sessions_of(t, 4)).column("prediction_id").to_pylist() for t in (table, mixed)]
    assert rows[0] == rows[1]
    assert rows[0] != table.take(drift_sample.sessions_of(table, 5)).column("prediction_id").to_pylist()


def test_a_cut_to_the_sample_size_does_not_favour_talkative_sessions() -> None:
    # Regression: sessions came in the order in which any of their rows was drawn, so those with many rows came first,
    # and a large reference cut to 500 sessions looked unlike a small window of the same traffic.
    table = served(2000, seed=3)
    turns: dict[str, int] = {}
    for session in table.column("session_id").to_pylist():
        turns[session] = turns.get(session, 0) + 1
    order = table.take(drift_sample.sessions_of(table, 0)).column("session_id").to_pylist()
    early, late = (np.mean([turns[s] for s in part]) for part in (order[:500], order[-500:]))
    assert abs(early - late) < 0.25


def test_too_few_sessions_give_no_sample() -> None:
    assert drift_sample.draw(served(300, seed=1), served(99, seed=2), POLICY) is None
    assert drift_sample.draw(served(99, seed=1), served(300, seed=2), POLICY) is None


def test_both_sides_are_drawn_down_to_the_same_size() -> None:
    sample = drift_sample.draw(served(900, seed=1), served(300, seed=2), POLICY)
    assert sample is not None
    assert sample.reference_size == sample.current_size == 200
    assert all(len(c.reference) == len(c.current) == 200 for c in sample.columns)
    assert {c.kind for c in sample.columns} == set(drift_sample.ColumnKind)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_draw_needs_no_more_of_a_window_than_its_ids(version: str) -> None:
    """Windows of a million answers were held in memory with their embeddings, to draw some hundred rows of them."""
    reference, current = served(4000, seed=1), served(3000, seed=2, version=version)
    stored = OnDisk(reference, current)
    narrow = [table.select(drift_sample.DRAWN_FROM) for table in (reference, current)]

    sample = drift_sample.draw(*narrow, POLICY, stored)

    whole = drift_sample.draw(reference, current, POLICY)
    assert sample is not None
    assert whole is not None
    assert [column.name for column in sample.columns] == [column.name for column in whole.columns]
    for found, expected in zip(sample.columns, whole.columns, strict=True):
        assert np.array_equal(found.reference, expected.reference)
        assert np.array_equal(found.current, expected.current)
    assert stored.asked <= 2 * POLICY.sample_size + drift_sample.MAX_FIT_ROWS


def test_answers_of_two_models_are_not_compared() -> None:
    sample = drift_sample.draw(served(300, seed=1, version="v1"), served(300, seed=2, version="v2"), POLICY)
    assert sample is not None
    assert sample.model_version == "v2"
    names = {c.name for c in sample.columns}
    assert names == {"scene", "language", "kind", "event_count", "text_length", "word_count", "non_letter_share"}
    assert set(sample.left_out) == {"unknown_share", "confidence", "purchase_probability", "intent", "embedding_*"}


def test_after_a_switch_in_the_middle_of_the_day_only_the_live_model_counts() -> None:
    current = pa.concat_tables([served(400, seed=2, version="v2"), served(150, seed=3, version="v1")])
    sample = drift_sample.draw(served(300, seed=1, version="v2"), current, POLICY)
    assert sample is not None
    assert sample.model_version == "v2"
    assert not sample.left_out


def test_nulls_are_a_category_and_leave_a_numeric_column_out_when_too_many() -> None:
    table = served(300, seed=2)
    table = table.set_column(table.schema.get_field_index("scene"), "scene", pa.nulls(table.num_rows, pa.string()))
    buys = table.schema.get_field_index("purchase_probability")
    table = table.set_column(buys, "purchase_probability", pa.nulls(table.num_rows, pa.float64()))
    sample = drift_sample.draw(served(300, seed=1), table, POLICY)
    assert sample is not None
    scene = next(c for c in sample.columns if c.name == "scene")
    assert set(scene.current.tolist()) == {drift_sample.MISSING}
    assert "fewer than 100" in sample.left_out["purchase_probability"]


def test_answers_without_embeddings_are_compared_on_the_rest() -> None:
    table = served(300, seed=2)
    place = table.schema.get_field_index("embedding")
    table = table.set_column(place, "embedding", pa.nulls(table.num_rows, pa.list_(pa.float32())))
    sample = drift_sample.draw(served(300, seed=1), table, POLICY)
    assert sample is not None
    assert "embedding_*" in sample.left_out
    assert "intent" in {c.name for c in sample.columns}


def test_out_of_scope_is_an_answer_of_the_prediction_mix() -> None:
    table = served(300, seed=2)
    place = table.schema.get_field_index("out_of_scope")
    table = table.set_column(place, "out_of_scope", pc.is_valid(table.column("session_id")))
    sample = drift_sample.draw(served(300, seed=1), table, POLICY)
    assert sample is not None
    mix = next(c for c in sample.columns if c.name == "intent")
    assert set(mix.current.tolist()) == {"oos"}


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DriftError, match=r"current table lacks the columns \['confidence'\]"):
        drift_sample.draw(served(10, seed=1), served(10, seed=1).drop_columns(["confidence"]), POLICY)
