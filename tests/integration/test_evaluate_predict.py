"""The commands, and the artifact between them, on a tiny encoder: files in, report, artifact and predictions out."""

from __future__ import annotations

import csv
import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from intent_tracking.artifact import ArtifactError, verify, write_manifest
from intent_tracking.cli import app
from intent_tracking.evaluation.evaluate import evaluate_command
from intent_tracking.evaluation.labelled_files import LabelledFiles, read_texts, remarks, unknown_labels
from intent_tracking.evaluation.predict import predict_command
from intent_tracking.evaluation.training_time import cut_short
from intent_tracking.inference import IntentPredictor
from intent_tracking.modeling.annotations import AnnotationError, LabelledText
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.encoder import EncoderError
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.loading import load_config, load_model
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training_result import TrainingDivergedError
from intent_tracking.sessions.render import render_utterance
from tests.fakes.tiny_encoder import labelled, tiny_encoder, tiny_examples

pytestmark = pytest.mark.integration

RECIPE = Recipe(epochs=30, batch_size=8, learning_rate=1e-3, patience=30)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    examples = tiny_examples(("track", "return"))
    train_artifact(
        examples, folder / "v1", version="v1", work_dir=folder / "work", base_encoder=str(encoder), recipe=RECIPE
    )
    return folder / "v1"


def _csv(path: Path, rows: list[LabelledText]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "intent", "slots"])
        for row in rows:
            writer.writerow([row.text, row.intent, json.dumps([slot.model_dump() for slot in row.slots or ()])])
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("evaluate")
    foreign = [LabelledText(text=f"what is {word}", intent="oos") for word in ("love", "time", "life", "rain", "noise")]
    rows = labelled()
    train = _csv(folder / "train.csv", [*rows[1::2], *foreign[:3]])
    test = _csv(folder / "test.csv", [*rows[::2], *foreign[3:]])
    target = folder / "report.json"
    evaluate_command(train, test, None, target, base_encoder=str(encoder), device="cpu", recipe=RECIPE)
    return json.loads(target.read_text())


ROWS = labelled()
FOREIGN = [LabelledText(text=f"{word} 77 {word}", intent="oos") for word in ("zebra", "quark", "jazz", "fjord")]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    """A folder with a report, and the model whose threshold 204 validation texts have chosen; `oos` is not learned."""
    folder = tmp_path_factory.mktemp("calibrated")
    evaluate_command(
        _csv(folder / "train.csv", ROWS[1::2]),
        _csv(folder / "test.csv", [*ROWS[::2], *FOREIGN]),
        _csv(folder / "dev.csv", 17 * ROWS[::3]),
        folder / "report.json",
        base_encoder=str(encoder),
        device="cpu",
        recipe=RECIPE.model_copy(update={"epochs": 10}),
        model_dir=folder / "model",
    )
    return folder


def test_report_has_the_figures_of_the_contract(report: dict[str, Any]) -> None:
    assert set(report["per_class"]) == {"track", "return", "cancel", "oos"}
    assert {"precision", "recall", "f1", "support"} == set(report["per_class"]["track"])
    assert report["out_of_scope_recall"] == report["per_class"]["oos"]["recall"]
    assert 0 < report["in_scope_accuracy"] <= 1
    assert report["accuracy"] > 0.6
    assert 0 < report["macro_f1"] <= 1
    assert report["rejection"]["counted"] is True
    assert report["rejection"]["accuracy"] == report["accuracy"]
    assert report["seconds"] > 0
    assert report["tokens_per_second"] > 0
    assert report["recipe"]["epochs"] > 1
    assert report["seen_in_train"] == 0
    assert report["augmentation"] is None


def test_a_model_that_has_not_seen_all_of_its_texts_is_told_of(encoder: Path, tmp_path: Path) -> None:
    """It was kept after a part of its first pass, and only `stopped` of the report said that anything was amiss."""
    file, size = _csv(tmp_path / "rows.csv", ROWS[1::2]), len(ROWS[1::2])
    found = evaluate_command(
        file, file, file, tmp_path / "report.json", base_encoder=str(encoder), device="cpu", augment=3, max_seconds=1e-3
    )
    assert (found["training"]["stopped"], found["training"]["steps"]) == ("time", 1)
    assert found["augmentation"]["times"] == 3
    assert found["augmentation"]["word_drop"] > 0
    # The file is its own test.
    assert found["seen_in_train"] == size
    # One step of as many as the texts and their copies take.
    assert found["training"]["passes"] == pytest.approx(1 / math.ceil(4 * size / found["recipe"]["batch_size"]))
    assert "--max-seconds" in str(cut_short(found["training"]))


def test_a_learned_out_of_scope_class_is_answered_without_validation(report: dict[str, Any]) -> None:
    """With too few texts to hold any back no answer was ever `oos`: its recall was 0, whatever was labelled so."""
    assert report["examples"]["dev"] == 0
    assert report["out_of_scope_recall"] > 0
    assert report["calibration"]["familiarity"] == {"by": "out_of_scope_class"}
    assert "oos is the most probable" in report["rejection"]["rejects"]


def test_lines_in_another_encoding_are_named_and_all_others_answered(artifact: Path) -> None:
    texts = b"track my parcel\n" + "où est-il\n".encode("latin-1") + b"\n" + "退货".encode("gbk") + b"\nreturn it\n"
    done = CliRunner().invoke(app, ["predict", "--model", str(artifact)], input=texts)
    assert done.exit_code == 2
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["line"], answer["text"]) for answer in answers] == [(1, "track my parcel"), (5, "return it")]
    assert "line 2 is not UTF-8 and has no answer" in done.stderr
    assert "2 lines are not UTF-8, line 2 is the first" in done.stderr


def test_the_labels_of_the_test_decide_nothing(calibrated: Path) -> None:
    """One test text labelled `oos` made every rejection count, and none of them hid what the artifact rejects."""
    found = json.loads((calibrated / "report.json").read_text())
    texts = [row.text for row in (*ROWS[::2], *FOREIGN)]
    answers = list(predict_command(calibrated / "model", texts, device="cpu"))
    said = [answer["intent"] for answer in answers]
    assert "oos" in said
    best = [answer["intents"][0]["name"] for answer in answers]
    assert found["accuracy"] == sum(map(eq, best, [row.intent for row in (*ROWS[::2], *FOREIGN)])) / len(best)
    # Both sides of the rejection are of what the artifact answers, whether or not that counts.
    inside = [label == row.intent for label, row in zip(said, ROWS[::2], strict=False)]
    assert found["in_scope_accuracy"] == found["rejection"]["in_scope_accuracy"] == sum(inside) / len(inside)
    assert found["per_class"]["oos"]["recall"] == 0.0
    rejection = found["rejection"]
    assert found["out_of_scope_recall"] == rejection["out_of_scope_recall"]
    assert found["unknown_labels"] == {}
    assert rejection["counted"] is False
    assert rejection["rejected"] == said.count("oos") / len(said)
    assert rejection["out_of_scope_recall"] == said[-len(FOREIGN) :].count("oos") / len(FOREIGN)
    kept = [label == row.intent for label, row in zip(said, (*ROWS[::2], *FOREIGN), strict=True)]
    assert rejection["accuracy"] == sum(kept) / len(kept)
    # The figures that the pictures show, and those beside the words that say what is rejected.
    assert found["details"]["abstention"]["answered"] == pytest.approx(1 - rejection["rejected"])
    assert found["details"]["out_of_scope"]["recall"] == rejection["out_of_scope_recall"]
    assert found["details"]["in_scope_accuracy"] == rejection["in_scope_accuracy"]


def test_labels_that_training_does_not_know_are_counted() -> None:
    """A wrong spelling, or files that were swapped, looked like a model that learned nothing."""
    truth = ["track", "oos", "trakc", "return|trakc", "return"]
    assert unknown_labels(truth, ["track", "return"], multi_label=True) == {"trakc": 2}
    # Both names are known, and the text that has both was wrong without a word.
    assert unknown_labels([*truth, "return|track"], ["track", "return"]) == {
        "return|track": 1,
        "return|trakc": 1,
        "trakc": 1,
    }


def test_a_report_of_sets_says_one_thing(encoder: Path, tmp_path: Path) -> None:
    """Where training had no `oos`, a text with nothing over its threshold got its best label here and none there."""
    sets = [LabelledText(text=f"where is my {thing} return this", intent="return|track") for thing in ("coat", "hat")]
    found = evaluate_command(
        _csv(tmp_path / "train.csv", [*ROWS[1::2], *sets]),
        _csv(tmp_path / "test.csv", [*ROWS[::2], *FOREIGN]),
        None,
        tmp_path / "report.json",
        base_encoder=str(encoder),
        device="cpu",
        recipe=RECIPE.model_copy(update={"epochs": 6}),
    )
    assert found["rejection"]["rejected"] > 0
    assert found["rejection"]["counted"] is True
    for name in ("accuracy", "macro_f1"):
        assert found[name] == found["label_sets"][name]
    assert found["label_sets"]["micro_f1"] == found["details"]["micro_f1"]
    assert found["rejection"]["accuracy"] == found["accuracy"]


def test_pictures_are_where_the_report_says(report: dict[str, Any]) -> None:
    assert {"confusion_matrix", "roc"} <= set(report["pictures"])
    for path in report["pictures"].values():
        assert Path(path).read_bytes().startswith(b"\x89PNG")


def test_an_input_is_out_of_scope_exactly_below_the_threshold_of_familiarity(calibrated: Path) -> None:
    predictor = IntentPredictor.load(calibrated / "model", "cpu")
    assert predictor.calibration.familiarity is not None
    texts = ("where is my parcel", "return this dress", "zzz qqq", "1234 ????", "what is love")
    answers = predictor.predict([render_utterance(text) for text in texts])
    assert len({answer.familiarity for answer in answers}) > 1
    for answer in answers:
        assert answer.out_of_scope == (answer.familiarity < predictor.out_of_scope_threshold)


def test_a_bad_file_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("text,label\na,b\n")
    with pytest.raises(AnnotationError, match=r"bad\.csv line 1: column 'intent' is missing"):
        evaluate_command(bad, bad, None, tmp_path / "report.json")


def test_a_folder_that_holds_anything_but_a_model_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """After minutes of training `--model ~/models` was exchanged for the new model, and all that it held was gone."""
    (tmp_path / "models" / "v1").mkdir(parents=True)
    kept = tmp_path / "models" / "v1" / "model.safetensors"
    kept.write_text("weights")
    absent = tmp_path / "absent.csv"
    with pytest.raises(FileExistsError, match=r"models: holds v1/model\.safetensors"):
        evaluate_command(absent, absent, None, tmp_path / "report.json", model_dir=tmp_path / "models")
    work = tmp_path / "work"
    with pytest.raises(FileExistsError, match=r"models: holds v1/model\.safetensors"):
        train_artifact(tiny_examples(), tmp_path / "models", version="v2", work_dir=work, base_encoder="absent")
    assert kept.read_text() == "weights"
    assert not work.exists()


@pytest.mark.parametrize("place", ["report", "model"])
def test_a_place_where_nothing_can_be_written_is_refused_before_anything_is_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    targets = {"report": tmp_path / "report.json", "model": tmp_path / "model"} | {place: tmp_path / "file" / "below"}
    nothing = tmp_path / "missing.csv"
    with pytest.raises(OSError, match=r"file/below: no file can be written there; name a file in a folder"):
        evaluate_command(nothing, nothing, None, targets["report"], model_dir=targets["model"])


def test_a_file_in_the_place_of_the_pictures_is_named_before_anything_is_read(tmp_path: Path) -> None:
    """It ended the command after the training, whose model was lost."""
    (tmp_path / "report_pictures").touch()
    nothing = tmp_path / "missing.csv"
    with pytest.raises(OSError, match=r"report_pictures: is a file where the folder of the pictures should be"):
        evaluate_command(nothing, nothing, None, tmp_path / "report.json")


def test_a_model_is_kept_in_the_folder_that_one_stands_in(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--model .` had no name for the version, and could not be written after the training."""
    (tmp_path / "mine").mkdir()
    train = _csv(tmp_path / "train.csv", ROWS[1::2])
    monkeypatch.chdir(tmp_path / "mine")
    recipe = RECIPE.model_copy(update={"epochs": 1})
    evaluate_command(
        train, train, None, tmp_path / "r.json",
        base_encoder=str(encoder), device="cpu", recipe=recipe, model_dir=Path(),
    )  # fmt: skip
    assert verify(tmp_path / "mine").version == "mine"


def test_a_training_that_diverges_is_an_error(encoder: Path, tmp_path: Path) -> None:
    """Its weights were not numbers, its answers the first label, and it was kept as finished."""
    train = _csv(tmp_path / "train.csv", ROWS[1::2])
    recipe = RECIPE.model_copy(update={"learning_rate": 1e36})
    with pytest.raises(TrainingDivergedError, match=r"the loss of step .* is nan; take a learning rate below 1e\+36"):
        evaluate_command(
            train, train, None, tmp_path / "r.json",
            base_encoder=str(encoder), device="cpu", recipe=recipe, model_dir=tmp_path / "model",
        )  # fmt: skip
    assert not (tmp_path / "model").exists()


def test_a_validation_file_that_judges_nothing_is_refused_and_texts_that_stand_elsewhere_are_counted(
    encoder: Path, tmp_path: Path
) -> None:
    """Of labels that training lacks it chose nothing, and of the test what the test then was of, without a word."""
    train, test = _csv(tmp_path / "train.csv", ROWS[1::2]), _csv(tmp_path / "test.csv", ROWS[::2])
    other = _csv(tmp_path / "dev.csv", [LabelledText(text="where is it", intent="Track")])
    with pytest.raises(AnnotationError, match=r"dev\.csv, column intent: training knows none of its labels, 'Track'"):
        evaluate_command(train, test, other, tmp_path / "r.json", base_encoder="absent")
    # What the validation file alone knows is no label of the model.
    _csv(other, [*ROWS[1:4:2], LabelledText(text="where is it", intent="Track")])
    with pytest.raises(AnnotationError, match=r"test\.csv, column intent: training knows none"):
        evaluate_command(
            train, _csv(tmp_path / "test.csv", [LabelledText(text="is it", intent="Track")]), other, tmp_path / "r.json"
        )
    _csv(test, [*ROWS[::2], ROWS[1]])
    _csv(train, [*ROWS[1::2], LabelledText(text=ROWS[1].text.upper(), intent="cancel")])
    recipe = RECIPE.model_copy(update={"epochs": 1})
    (tmp_path / "r_pictures").mkdir()
    (tmp_path / "r_pictures" / "report.json").write_text('{"pictures": {"old": "old.png", "far": "../test.csv"}}')
    for name in ("old.png", "mine.png"):
        (tmp_path / "r_pictures" / name).touch()
    said: list[str] = []
    found = evaluate_command(
        train, test, other, tmp_path / "r.json",
        base_encoder=str(encoder), device="cpu", recipe=recipe, remark=said.append,
    )  # fmt: skip
    assert said == [
        f"{train}: 1 text has several labels, {ROWS[1].text!r} for one: cancel, track",
        f"{test}: 1 text stands in {train} word for word; the figures count them",
        f"{other}: training lacks labels, which judge nothing: 'Track' (1 text)",
        f"{other}: 2 texts stand in {train}: what was learned by heart judges itself",
        f"{other}: 1 text stands in {test}: what is chosen on them is tested on them",
    ]
    # Pictures of an earlier report are not left among the new ones, and nothing else is taken away.
    drawn = {path.name for path in (tmp_path / "r_pictures").iterdir()}
    assert "mine.png" in drawn
    assert "old.png" not in drawn
    assert test.exists()
    assert found["seen_in_train"] == 1
    assert found["conflicts"] == {"texts": 1, "some": {ROWS[1].text: ["cancel", "track"]}}
    assert found["dev"] == {"unknown_labels": {"Track": 1}, "seen_in_train": 2, "seen_in_test": 1}


def test_nothing_that_is_read_is_written_over(encoder: Path, artifact: Path, tmp_path: Path) -> None:
    """`--report train.csv` left a report where the labels had been."""
    train = _csv(tmp_path / "train.csv", ROWS[1::2])
    labels = train.read_bytes()
    files = {"base_encoder": str(encoder), "device": "cpu", "recipe": RECIPE}
    with pytest.raises(ValueError, match=r"train\.csv: is read, and the report would take its place"):
        evaluate_command(train, train, None, train, **files)
    assert train.read_bytes() == labels
    with pytest.raises(ValueError, match=r"the folder .* is for the model alone"):
        evaluate_command(train, train, None, tmp_path / "m" / "r.json", model_dir=tmp_path / "m", **files)
    with pytest.raises(ValueError, match=r"r_pictures: the folder .* is for the model alone"):
        evaluate_command(train, train, None, tmp_path / "r.json", model_dir=tmp_path / "r_pictures", **files)
    with pytest.raises(ValueError, match="is the teacher, and its student would take its place"):
        evaluate_command(train, train, None, tmp_path / "r.json", model_dir=artifact, teacher=artifact, **files)
    assert verify(artifact, kind="intent_model")


def test_what_teaches_nothing_is_refused_with_its_file(tmp_path: Path) -> None:
    alone = _csv(tmp_path / "one.csv", [LabelledText(text=f"buy {place}", intent="buy") for place in range(9)])
    with pytest.raises(AnnotationError, match=r"one\.csv, column intent: each row is 'buy'; give texts of two labels"):
        evaluate_command(alone, alone, None, tmp_path / "r.json")


def test_a_test_of_other_labels_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """After eight minutes it had an accuracy of 0."""
    train = _csv(tmp_path / "train.csv", ROWS[1::2])
    other = _csv(tmp_path / "test.csv", [LabelledText(text="where is it", intent="other")])
    with pytest.raises(AnnotationError, match=r"test\.csv, column intent: training knows none of its labels, 'other'"):
        evaluate_command(train, other, None, tmp_path / "r.json", base_encoder="absent")
    # `oos` is an answer of every model: only the encoder is missing here.
    foreign = _csv(tmp_path / "foreign.csv", FOREIGN)
    with pytest.raises(EncoderError):
        evaluate_command(train, foreign, None, tmp_path / "r.json", base_encoder="absent")


def test_texts_to_read_are_texts(tmp_path: Path) -> None:
    """An empty file took half of the training time."""
    train = _csv(tmp_path / "train.csv", ROWS[1::2])
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"empty\.txt: holds no text"):
        evaluate_command(train, train, None, tmp_path / "r.json", unlabelled=tmp_path / "empty.txt")
    (tmp_path / "lines.txt").write_text("one\u2028text\x0bin a line\r\n\nanother \n", encoding="utf-8")
    assert read_texts(tmp_path / "lines.txt") == ["one\u2028text\x0bin a line", "another "]


def test_a_student_takes_no_other_encoder(artifact: Path, tmp_path: Path) -> None:
    train, report = _csv(tmp_path / "train.csv", ROWS[1::2]), tmp_path / "r.json"
    files = [f"--train={train}", f"--test={train}", f"--report={report}"]
    done = CliRunner().invoke(app, ["evaluate", *files, f"--teacher={artifact}", "--base-encoder=absent", "--quiet"])
    assert done.exit_code == 2
    assert "a student stands on its teacher's encoder" in done.stderr
    assert not report.exists()


def test_scenes_of_the_test_that_training_lacks_are_counted(encoder: Path, tmp_path: Path) -> None:
    """A scene that was spelled wrong changed the figures without a word."""
    train = tmp_path / "train.csv"
    train.write_text(
        "text,intent,scene\n" + "".join(f"{row.text},{row.intent},salon\n" for row in ROWS[1::2]), encoding="utf-8"
    )
    test = tmp_path / "test.csv"
    test.write_text("text,intent,scene\ntrack it,track,salon\nreturn it,return,saloon\n", encoding="utf-8")
    recipe = RECIPE.model_copy(update={"epochs": 1})
    found = evaluate_command(
        train, test, None, tmp_path / "r.json", base_encoder=str(encoder), device="cpu", recipe=recipe
    )
    assert found["unknown_scenes"] == {"saloon": 1}


def test_artifact_is_whole_and_answers_its_golden_requests(artifact: Path) -> None:
    manifest = verify(artifact, kind="intent_model")
    assert manifest.labels == ("return", "track")
    assert manifest.key_information == ("colour",)
    assert manifest.metrics["validation_accuracy"] > 0.5
    predictor = IntentPredictor.load(artifact, "cpu")
    assert predictor.replay_golden() == []
    assert len((artifact / "golden.jsonl").read_text().splitlines()) > 1


def test_golden_replay_notices_another_models_weights(artifact: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(artifact, wrong)
    calibration = json.loads((wrong / "calibration.json").read_text())
    (wrong / "calibration.json").write_text(json.dumps({**calibration, "temperature": 20.0}))
    manifest = verify(artifact)
    write_manifest(wrong, kind="intent_model", version="v1", code_version="1", dataset_fingerprint=manifest.version)
    assert any("golden.jsonl line 1: intent" in line for line in IntentPredictor.load(wrong, "cpu").replay_golden())


def test_config_that_names_anything_else_is_refused(artifact: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(artifact, wrong)
    config = json.loads((wrong / "config.json").read_text())
    config["encoder"]["auto_map"] = "evil.Model"
    (wrong / "config.json").write_text(json.dumps(config))
    write_manifest(wrong, kind="intent_model", version="v1", code_version="1", dataset_fingerprint="f")
    with pytest.raises(ArtifactError, match=r"encoder\.auto_map is not allowed"):
        IntentPredictor.load(wrong, "cpu")


def test_answers_keep_the_order_and_do_not_depend_on_their_neighbours(artifact: Path) -> None:
    predictor = IntentPredictor.load(artifact, "cpu")
    inputs = [render_utterance(row.text) for row in labelled()]
    together = predictor.predict(inputs, batch_size=7)
    alone = [predictor.predict([entry])[0] for entry in inputs]
    assert [entry.label for entry in together] == [entry.label for entry in alone]
    for one, other in zip(together, alone, strict=True):
        assert np.allclose(one.embedding, other.embedding, atol=1e-4)
        assert one.key_information == other.key_information
    assert predictor.predict([]) == []


def test_predictions_are_well_formed(artifact: Path) -> None:
    predictor = IntentPredictor.load(artifact, "cpu")
    text = "where is my green coat"
    [answer] = predictor.predict([render_utterance(text)])
    probabilities = [score.probability for score in answer.intents]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert answer.intents[0].name == "track"
    assert all(text[span.start : span.end] == span.value for span in answer.key_information)
    assert np.isnan(answer.purchase_probability)
    assert len(predictor.predict([render_utterance(text)], top_k=1)[0].intents) == 1


def test_threads_share_one_predictor(artifact: Path) -> None:
    predictor = IntentPredictor.load(artifact, "cpu")
    inputs = [render_utterance(row.text) for row in labelled()]
    expected = [answer.label for answer in predictor.predict(inputs)]
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda _: predictor.predict(inputs), range(8)):
            assert [answer.label for answer in answers] == expected


def test_challenger_starts_from_the_champion_and_learns_a_new_label(
    artifact: Path, encoder: Path, tmp_path: Path
) -> None:
    challenger = train_artifact(
        tiny_examples(),
        tmp_path / "v2",
        version="v2",
        work_dir=tmp_path / "work",
        base_encoder=str(encoder),
        champion=artifact,
        recipe=RECIPE,
    )
    assert challenger.manifest.parent == "v1"
    assert challenger.manifest.labels == ("cancel", "return", "track")
    predictor = IntentPredictor.load(tmp_path / "v2", "cpu")
    assert predictor.predict([render_utterance("please cancel the red coat")])[0].intents[0].name == "cancel"


def test_what_the_champion_knows_of_a_label_is_kept(artifact: Path, encoder: Path) -> None:
    dataset = prepare_dataset(tiny_examples(), str(encoder), champion=artifact)
    grown = assemble(dataset, champion=artifact, dropout=0.1, seed=0)
    old = load_model(artifact, load_config(artifact))
    assert dataset.labels.intents == ("cancel", "return", "track")
    assert torch.equal(grown.intent.weight[1:], old.intent.weight)
    with pytest.raises(ArtifactError, match="tokenize it again"):
        assemble(dataset, champion=None, dropout=0.1, seed=0)


def test_what_the_model_never_learned_is_told(artifact: Path) -> None:
    ask = ["predict", "--model", str(artifact)]
    done = CliRunner().invoke(app, [*ask, "--scene", "search"], input="track it\n\u200b\n".encode())
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [1]
    assert "learned the scenes customer_service; texts of search are none of them" in done.stderr
    assert "1 blank line has no answer" in done.stderr
    assert CliRunner().invoke(app, ask, input=b"track it\n").stderr == ""
    assert "there is no line to answer" in CliRunner().invoke(app, ask, input=b"").stderr


def test_names_that_training_lacks_are_told_with_how_many_texts_have_them(tmp_path: Path) -> None:
    """A slot that the test spells otherwise could not be found, and its F1 of 0 was told of the model."""
    renamed = [
        row.model_copy(update={"slots": tuple(slot.model_copy(update={"name": "COLOUR"}) for slot in row.slots or ())})
        for row in ROWS[::2]
    ]
    many = [LabelledText(text=f"buy {n}", intent=f"label {n}") for n in range(7)]
    train, test = _csv(tmp_path / "train.csv", ROWS[1::2]), _csv(tmp_path / "test.csv", [*renamed, *many])
    files = LabelledFiles.read(train, test, None, seed=0)
    said = list(remarks(files, train, test, None, LabelSet.of(["track", "return", "cancel"], ()), ["search"]))
    assert said == [
        f"{test}: training lacks labels, which cannot be found: "
        + ", ".join(f"'label {n}' (1 text)" for n in range(5))
        + " and 2 others",
        f"{test}: training lacks names of slots, which cannot be found: 'COLOUR' ({len(renamed)} texts)",
        f"{test}: training lacks scenes, which it will not tell from others: "
        f"'customer_service' ({len(files.test)} texts)",
    ]


def test_predict_command_answers_in_the_words_that_were_given(artifact: Path) -> None:
    texts = ["where is my  red coat", "", "return this blue dress please"]
    answers = list(predict_command(artifact, texts, device="cpu"))
    assert [answer["text"] for answer in answers] == texts
    for answer in answers:
        for span in answer["key_information"]:
            assert answer["text"][span["start"] : span["end"]] == span["value"]
    assert answers[0]["model_version"] == "v1"
