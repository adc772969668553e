"""Rows out of Parquet files; examples and the tokens that were made of them go in step."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from intent_tracking.erasure.rows import erase_examples
from intent_tracking.modeling.dataset import TokenizedDataset, fingerprint, prepare_dataset
from intent_tracking.tombstones import Erasures
from tests.fakes.tiny_encoder import tiny_encoder, tiny_examples

pytestmark = pytest.mark.unit


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """Training examples and their tokens, each text also written anew once."""
    examples = tiny_examples()
    table = examples.set_column(
        examples.schema.get_field_index("shopper_id"),
        "shopper_id",
        [[f"u-{number % 3}" for number in range(len(examples))]],
    ).replace_schema_metadata({"trained_until": "x"})
    path, tokens = tmp_path / "examples.parquet", tmp_path / "tokens"
    pq.write_table(table, path)
    prepare_dataset(pq.ParquetFile(path).read(), str(tiny_encoder(tmp_path / "encoder")), augment=1).save(tokens)
    return path, tokens


def erase(folder: Path, path: Path, tokens: Path) -> Counter[str]:
    erasures = Erasures(folder)
    erasures.request("u-1", datetime.now(UTC))
    return erase_examples(path, tokens, erasures.tombstones())


def test_examples_and_tokens_of_a_person_go_and_still_fit_each_other(made: tuple[Path, Path], tmp_path: Path) -> None:
    path, tokens = made
    before = pq.read_table(path)
    rows = before.to_pylist()
    gone = {row["example_id"] for row in rows if row["shopper_id"] == "u-1"}
    augmented = len(TokenizedDataset.load(tokens).table)
    assert erase(tmp_path, path, tokens).total() == len(gone) > 0
    after = pq.read_table(path)
    assert after.to_pylist() == [row for row in rows if row["example_id"] not in gone]
    assert after.schema.metadata[b"trained_until"] == b"x"
    dataset = TokenizedDataset.load(tokens)
    assert dataset.info.fingerprint == fingerprint(after)
    left = {name.split("~")[0] for name in dataset.table["example_id"].to_pylist()}
    assert left.isdisjoint(gone)
    assert {row["example_id"] for row in after.to_pylist()} <= left
    assert len(dataset.table) < augmented
    assert not erase(tmp_path, path, tokens)


def test_a_kill_between_tokens_and_examples_is_ended_by_the_next_run(made: tuple[Path, Path], tmp_path: Path) -> None:
    path, tokens = made
    before = path.read_bytes()
    erase(tmp_path, path, tokens)
    expected = path.read_bytes()
    path.write_bytes(before)  # the tokens were replaced, the examples were not yet
    assert erase(tmp_path, path, tokens).total() > 0
    assert path.read_bytes() == expected
    assert TokenizedDataset.load(tokens).info.fingerprint == fingerprint(pq.read_table(path))


def test_tokens_of_older_examples_are_removed_whole(made: tuple[Path, Path], tmp_path: Path) -> None:
    path, tokens = made
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    erase(tmp_path, path, tokens)
    assert not tokens.exists()
