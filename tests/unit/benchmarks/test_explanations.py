"""The gradients that explanations are compared with must see the whole of what they explain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.bench_explanations import Gradients
from intent_tracking.inference import IntentPredictor
from intent_tracking.sessions.render import render_utterance
from tests.artifacts import tiny_artifact

pytestmark = pytest.mark.unit


def test_a_model_whose_lexical_head_no_gradient_sees_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    tiny_artifact(directory, "v1")
    predictor, entry = IntentPredictor.load(directory, "cpu", runtime="torch"), render_utterance("where is my parcel")
    words = Gradients(directory).times_input(predictor, entry).words
    assert [word.text for word in words] == ["where", "is", "my", "parcel"]
    assert all(word.weight for word in words)
    config = directory / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "lexical": True}))
    with pytest.raises(ValueError, match="has a lexical head, whose share no gradient sees"):
        Gradients(directory)
