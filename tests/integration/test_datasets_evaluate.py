"""What `datasets export` writes, `evaluate` reads: small pieces of each task, a tiny encoder, figures of its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.quality.texts import evaluate_rows
from benchmarks.quality.unit import Workplace
from intent_tracking.cli import app
from intent_tracking.datasets.catalogue import DatasetError, dataset
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.datasets.rows import OUT_OF_SCOPE, SPLITS, Utterance, UtteranceSet
from intent_tracking.datasets.tasks import TASKS, export
from intent_tracking.evaluation.evaluate import evaluate_command
from intent_tracking.modeling.annotations import read_labelled_csv
from intent_tracking.modeling.recipe import Recipe
from tests.fakes.tiny_encoder import tiny_encoder

pytestmark = pytest.mark.integration

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=1e-3)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def piece(rows: UtteranceSet) -> UtteranceSet:
    """Every 40th row of the labels that most rows have, and some out of scope where there are."""
    names = sorted({row.intent for row in rows.train}, key=lambda name: -sum(r.intent == name for r in rows.train))[:4]
    if any(row.intent == OUT_OF_SCOPE for row in rows.train):
        names.append(OUT_OF_SCOPE)
    parts = {split: [row for row in rows.split(split) if row.intent in names] for split in SPLITS}
    return replace(rows, **{split: tuple(part[:: max(1, len(part) // 60)]) for split, part in parts.items()})


@pytest.mark.parametrize(
    "name", ["banking77", "clinc150", "bitext_intents", "crosswoz", "multidogo-airline", "multidogo"]
)
def test_evaluate_reads_the_export_of_each_task(name: str, data_dir: Path, encoder: Path, tmp_path: Path) -> None:
    task = TASKS[name]
    if not (data_dir / task.dataset).is_dir():
        pytest.skip(f"{data_dir / task.dataset} is missing")
    rows = piece(task.read(data_dir / task.dataset))
    written = export(rows, tmp_path)
    dev = tmp_path / "dev.csv"
    assert (dev in written) is bool(rows.dev)
    report = evaluate_command(
        tmp_path / "train.csv",
        tmp_path / "test.csv",
        dev if rows.dev else None,
        tmp_path / "report.json",
        base_encoder=str(encoder),
        device="cpu",
        recipe=RECIPE,
    )
    assert set(report["per_class"]) == {row.intent for row in (*rows.train, *rows.dev, *rows.test)}
    assert ("out_of_scope_recall" in report) is (name == "clinc150")
    assert (report["details"]["spans"] is not None) is (rows.train[0].spans is not None)
    languages = {entry["value"] for entry in report["details"]["slices"] if entry["column"] == "language"}
    assert languages == {"zh" if name == "crosswoz" else "en"}
    # A file with scenes of its own was written here and refused there.
    scenes = {entry["value"] for entry in report["details"]["slices"] if entry["column"] == "scene"}
    assert scenes == ({row.scene for row in rows.test} if name == "multidogo" else {"customer_service"})


def test_a_split_of_other_data_is_not_left_beside_an_export(tmp_path: Path) -> None:
    """Another set's `dev.csv` stayed beside an export without one, and would have judged its training."""
    (tmp_path / "dev.csv").write_text("text,intent\na,b\n")
    row = Utterance(text="hello", intent="greet", language="en")
    with pytest.raises(DatasetError, match=r"dev\.csv: is a file; name a folder"):
        export(UtteranceSet(train=(row,), dev=(), test=(row,)), tmp_path / "dev.csv")
    with pytest.raises(DatasetError, match=r"dev\.csv: is of other data"):
        export(UtteranceSet(train=(row,), dev=(), test=(row,)), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["dev.csv"]


def test_the_command_exports_what_the_reader_gives(data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / "crosswoz").is_dir():
        pytest.skip(f"{data_dir / 'crosswoz'} is missing")
    environment = {"INTENT_DATA_DIR": str(data_dir), "INTENT_HOME": str(tmp_path / "home")}
    done = CliRunner().invoke(app, ["datasets", "export", "crosswoz", "--to", str(tmp_path)], env=environment)
    assert done.exit_code == 0, done.output
    assert "6,808 rows" in done.output
    assert "left out: train: turn without an act: 33" in done.output
    rows = TASKS["crosswoz"].read(data_dir / "crosswoz").test
    read = read_labelled_csv(tmp_path / "test.csv")
    assert [(row.text, row.intent) for row in read] == [(row.text, row.intent) for row in rows]
    assert [[(s.name, s.start, s.end) for s in row.slots] for row in read] == [
        [(s.name, s.start, s.end) for s in row.spans or ()] for row in rows
    ]


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    environment = {"INTENT_DATA_DIR": str(tmp_path), "INTENT_HOME": str(tmp_path / "home")}
    runner = CliRunner()
    unknown = runner.invoke(app, ["datasets", "export", "nix", "--to", str(tmp_path)], env=environment)
    assert (unknown.exit_code, "no intent task is called 'nix'" in unknown.output) == (2, True)
    missing = runner.invoke(app, ["datasets", "export", "banking77", "--to", str(tmp_path)], env=environment)
    assert (missing.exit_code, "run `intent-tracking datasets fetch banking77`" in missing.output) == (2, True)
    listed = runner.invoke(app, ["datasets", "list"], env=environment)
    assert listed.exit_code == 0
    assert "export: multidogo, multidogo-airline" in listed.output
    assert "not here" in listed.output
    wrong = runner.invoke(app, ["datasets", "list"], env={**environment, "INTENT_DEVICE": "gpu"})
    assert (wrong.exit_code, "INTENT_DEVICE is 'gpu'" in wrong.output) == (2, True)


def test_a_changed_file_of_one_set_hides_no_other(tmp_path: Path) -> None:
    for file in dataset("banking77").files:
        (tmp_path / "banking77" / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "banking77" / file.path).write_text("text,category\n", encoding="utf-8")
    environment = {"INTENT_DATA_DIR": str(tmp_path), "INTENT_HOME": str(tmp_path / "home")}
    listed = CliRunner().invoke(app, ["datasets", "list"], env=environment)
    assert listed.exit_code == 0, listed.output
    assert "is not the file of the catalogue" in listed.output
    assert "crosswoz:" in listed.output


def test_a_unit_of_the_benchmark_gives_every_figure_of_its_set(tmp_path: Path, encoder: Path) -> None:
    """On rows as CLINC150 has them: out-of-scope queries, a test text that stands in train."""
    things = ("red dress", "blue shoes", "green coat", "red coat", "blue dress", "green shoes")
    train = [Utterance(f"where is my {thing}", "track") for thing in things]
    train += [Utterance(f"cancel my {thing}", "cancel") for thing in things]
    train += [Utterance(f"what is {word}", OUT_OF_SCOPE) for word in ("love", "life", "time")]
    test = (Utterance("Where is my red dress", "track"), Utterance("please cancel the coat", "cancel"))
    test += (Utterance("what is rain", OUT_OF_SCOPE),)
    rows = UtteranceSet(tuple(train), test, test)
    place = Workplace(DataFolders(None, tmp_path), tmp_path, "cpu", str(encoder), lambda words: None)
    read = ["two\nlines of one text", *(f"i want a {thing} of size {size}" for thing in things for size in range(6))]
    measured = evaluate_rows(place, 0, rows, keep=tmp_path / "kept", unlabelled=read)
    assert {"in_scope_accuracy", "in_scope_accuracy_plain", "oos_recall", "in_scope_accuracy_unseen"} <= set(
        measured.figures
    )
    assert {"ece_before", "ece_after", "risk_coverage_area", "answered"} <= set(measured.figures)
    assert measured.figures["seconds"] >= measured.figures["training_seconds"]
    assert measured.details["adaptation"]["texts"] == len(read) + len(train)
    assert measured.figures["in_scope_accuracy"] <= measured.figures["in_scope_accuracy_plain"]
    assert measured.details["examples"] == {"train": 15, "dev": 3, "test": 3}
    assert (tmp_path / "kept" / "manifest.json").is_file()
