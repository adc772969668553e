"""`evaluate --unlabelled`: the encoder reads texts without labels before it is fine-tuned."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from intent_tracking.artifact import read_manifest
from intent_tracking.evaluation.evaluate import evaluate_command
from intent_tracking.modeling import adaptation
from intent_tracking.modeling.recipe import Recipe
from tests.fakes.tiny_encoder import labelled, tiny_encoder

pytestmark = pytest.mark.integration


def test_the_encoder_reads_the_unlabelled_texts_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = labelled()
    for name, part in (("train", rows[1::2]), ("test", rows[::2])):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([("text", "intent"), *((row.text, row.intent) for row in part)])
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"where is order {place}" for place in range(30)) + "\n\n", encoding="utf-8")
    base = str(tiny_encoder(tmp_path / "encoder"))
    monkeypatch.setattr(adaptation, "MOST_TEXTS", 20)
    found = evaluate_command(
        tmp_path / "train.csv",
        tmp_path / "test.csv",
        None,
        tmp_path / "report.json",
        base_encoder=base,
        device="cpu",
        recipe=Recipe(epochs=2, batch_size=8, learning_rate=1e-3),
        unlabelled=texts,
        model_dir=tmp_path / "model",
    )
    # The adapted encoder is gone by then: the manifest named its folder below /tmp.
    manifest = read_manifest(tmp_path / "model")
    assert manifest.base_encoder == base
    assert manifest.metrics["adaptation_texts"] == found["adaptation"]["texts"]
    assert found["adaptation"]["texts"] == 20 + len(rows[1::2])
    assert found["adaptation"]["texts_left_out"] == 10
    assert found["base_encoder"] == base
    assert json.loads((tmp_path / "report.json").read_text())["adaptation"] == found["adaptation"]
    texts.write_bytes(b"where is my parcel\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"texts\.txt line 2 is not UTF-8"):
        evaluate_command(tmp_path / "train.csv", tmp_path / "test.csv", None, tmp_path / "r.json", unlabelled=texts)
