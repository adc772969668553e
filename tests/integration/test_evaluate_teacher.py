"""`evaluate --teacher`: an artifact is distilled into a smaller one, on labelled and unlabelled texts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intent_tracking.artifact import read_manifest
from intent_tracking.cli import app
from intent_tracking.evaluation.evaluate import evaluate_command
from intent_tracking.modeling.recipe import Recipe
from tests.fakes.tiny_encoder import labelled, tiny_encoder

pytestmark = pytest.mark.integration


def test_a_smaller_model_comes_out_and_names_its_teacher(tmp_path: Path) -> None:
    rows = labelled()
    for name, part in (("train", rows[1::2]), ("few", rows[::12]), ("test", rows[::2])):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "intent"), *((row.text, row.intent) for row in part)])
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(row.text for row in rows[1::2]), encoding="utf-8")
    base = str(tiny_encoder(tmp_path / "encoder"))
    files = (tmp_path / "test.csv", None, tmp_path / "report.json")
    recipe = Recipe(epochs=30, batch_size=8, learning_rate=1e-3)
    evaluate_command(
        tmp_path / "train.csv", *files, base_encoder=base, device="cpu", recipe=recipe, model_dir=tmp_path / "teacher"
    )
    found = evaluate_command(
        tmp_path / "few.csv",
        *files,
        device="cpu",
        recipe=recipe,
        model_dir=tmp_path / "student",
        unlabelled=texts,
        teacher=tmp_path / "teacher",
    )
    assert read_manifest(tmp_path / "student").parent == found["teacher"] == "teacher"
    assert found["base_encoder"] == base
    assert found["adaptation"] is None
    # Three labelled texts alone do not tell the patterns apart that the teacher knows.
    assert found["accuracy"] > 0.8
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("student", "teacher")]
    assert sizes[0] < sizes[1]


def test_layers_without_a_teacher_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,intent\nhello,a\n", encoding="utf-8")
    options = ["--train", str(file), "--test", str(file), "--report", str(tmp_path / "r.json"), "--layers", "2"]
    result = CliRunner().invoke(app, ["evaluate", *options, "--quiet"])
    assert result.exit_code == 2
    assert "give its teacher too" in result.output


def test_an_unknown_edit_is_refused_with_the_names_of_all(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,intent\nhello,a\n", encoding="utf-8")
    options = ["--train", str(file), "--test", str(file), "--report", str(tmp_path / "r.json"), "--augment", "1"]
    result = CliRunner().invoke(app, ["evaluate", *options, "--edits", "frame, drop", "--quiet"])
    assert result.exit_code == 2
    assert "no edit is called 'drop'; there are character_noise, word_drop" in " ".join(result.output.split())
