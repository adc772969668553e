"""The starts of an English encoder that learns Chinese are those that the benchmark names."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from benchmarks.bench_chinese import as_it_is, tokenized, without_glosses
from intent_tracking.datasets.rows import Utterance
from intent_tracking.modeling.encoder import find_encoder
from intent_tracking.modeling.tokenization import added_rows
from intent_tracking.settings import PACKAGED_ENCODER

pytestmark = pytest.mark.unit


def test_each_start_reads_what_it_says() -> None:
    base = Tokenizer.from_file(str(find_encoder(PACKAGED_ENCODER).tokenizer_file))
    unknown, known = base.token_to_id("[UNK]"), base.token_to_id("人")
    rows = [Utterance("红色人", "colour"), Utterance("退货", "return")]
    dataset = tokenized(rows, rows, PACKAGED_ENCODER)
    ids = [row for row in dataset.table["input_ids"].to_pylist() if row]
    assert not any({unknown, known} & set(row) for row in ids)
    plain = [set(row) for row in as_it_is(dataset, rows, rows).table["input_ids"].to_pylist()]
    assert len(plain) == len(ids)
    assert {unknown, known} <= plain[0]
    assert unknown in plain[1]

    def of_red() -> tuple[int, ...]:
        added = added_rows(base, dataset.tokenizer.vocabulary)
        return added.sources[added.tokens.index("红")]

    assert of_red() == (base.token_to_id("red"),)
    with without_glosses():
        assert of_red() == ()
    assert of_red()
