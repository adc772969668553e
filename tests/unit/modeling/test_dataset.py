"""A data set is tokenized a block at a time, and reads as if it were one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pyarrow as pa
import pytest

from intent_tracking.modeling.dataset import TOKENIZED_SCHEMA, tokenize_examples
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.tokenization import BLOCK, SessionTokenizer, extend_vocabulary
from tests.fakes.tiny_encoder import tiny_examples, tiny_tokenizer

pytestmark = pytest.mark.unit

LABELS = LabelSet.of(["track", "return", "cancel"], ["colour"])


@pytest.fixture(scope="module")
def tokenizer() -> SessionTokenizer:
    return SessionTokenizer(extend_vocabulary(tiny_tokenizer(), tiny_examples()["text"].to_pylist()), 32)


def _repeated(rows: int) -> pa.Table:
    few = tiny_examples()
    return pa.concat_tables([few] * -(-rows // len(few))).slice(0, rows)


def test_blocks_come_out_as_one_table_in_order(tokenizer: SessionTokenizer) -> None:
    few = tiny_examples()
    whole = tokenize_examples(_repeated(BLOCK + len(few)), tokenizer, LABELS)
    assert whole.schema == TOKENIZED_SCHEMA
    alone = tokenize_examples(few, tokenizer, LABELS).to_pylist()
    assert whole.to_pylist() == [alone[place % len(few)] for place in range(BLOCK + len(few))]
    assert tokenize_examples(few.slice(0, 0), tokenizer, LABELS).num_rows == 0


def test_memory_does_not_grow_with_the_encodings_of_all_texts(tokenizer: SessionTokenizer) -> None:
    def peak(rows: int) -> int:
        examples = _repeated(rows)
        tracemalloc.start()
        tokenize_examples(examples, tokenizer, LABELS)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(3 * BLOCK) < 1.5 * peak(BLOCK)


def test_texts_are_taken_as_they_are_encoded(tokenizer: SessionTokenizer) -> None:
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for _ in range(10 * BLOCK):
            taken += 1
            yield "where is my order"

    assert next(tokenizer.encode_each(texts())).ids == tokenizer.encode(["where is my order"])[0].ids
    assert taken <= BLOCK
