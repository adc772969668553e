"""The GPU benchmark runs through on a CPU in a small size, and what it counts is what is multiplied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench_training_gpu import BASE, Shape, compare, make_examples
from benchmarks.utilisation import datasheet_peak, product_parameters, training_flops
from intent_tracking.modeling.encoder import build_encoder

pytestmark = pytest.mark.unit

TINY: Shape = {
    **BASE,
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def test_operations_are_those_of_the_products() -> None:
    encoder = build_encoder(TINY)
    # Fused attention on a CPU is not counted by torch.
    encoder.config._attn_implementation = "eager"  # type: ignore[union-attr]
    lengths = (12, 30)
    with FlopCounterMode(display=False) as counter:
        for length in lengths:
            ids = torch.randint(5, 200, (1, length))
            encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.sum().backward()
    assert training_flops(encoder, lengths) == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_a_base_sized_bert_has_85_million_parameters_in_products() -> None:
    with torch.device("meta"):
        assert product_parameters(build_encoder(BASE)) == 12 * (4 * 768**2 + 2 * 768 * 3072)


def test_data_sheets_are_found_by_the_name_that_torch_gives() -> None:
    assert datasheet_peak("NVIDIA H100 PCIe") == 756e12
    assert datasheet_peak("NVIDIA H100 80GB HBM3") == 989e12
    assert datasheet_peak("NVIDIA A100-SXM4-80GB") == 312e12
    assert datasheet_peak("Tesla T4") is None


def test_texts_are_as_long_as_those_of_banking77() -> None:
    lengths = make_examples(4000, 200).lengths
    assert np.mean(lengths) == pytest.approx(16.2, abs=1.0)
    assert max(lengths) <= 98


def test_it_runs_through() -> None:
    lines = compare(TINY, torch.device("cpu"), steps=2, rounds=1, large=[48], product=64)
    assert [line.split(" | ")[0] for line in lines[3:]] == [
        "| usual, batches of 32",
        "| ours, batches of 32",
        "| ours, batches of 48",
    ]
    for line in lines[3:]:
        assert float(line.split(" | ")[1]) > 0
        # One decimal: of two steps that a busy machine held up, it may be nought.
        assert float(line.split(" | ")[3].removesuffix("%")) >= 0
