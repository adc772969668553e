"""A comparison is fair or it is refused: what is held out was learned from by neither model."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from dagster_project.defs.evaluation.comparison import StaleExamplesError, compare
from dagster_project.defs.training.examples import TrainingWindow, read_examples, write_examples
from intent_tracking.artifact import write_manifest
from intent_tracking.evaluation.gate import GatePolicy
from intent_tracking.modeling.dataset import fingerprint
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings
from tests.artifacts import INTENTS, TEXTS, tiny_artifact

pytestmark = pytest.mark.integration

FIRST_TESTED = datetime(2026, 3, 9, tzinfo=UTC)
POLICY = GatePolicy(min_examples=1, draws=20)


def write_set(settings: Settings, first_text: str = TEXTS[0], guessed: int = 0) -> str:
    """Ten examples, five of them held out, `guessed` of those by behaviour alone; returns their fingerprint."""
    rows = []
    for number in range(10):
        text = first_text if number == 0 else TEXTS[number % len(TEXTS)]
        held_out = number >= 5
        rows.append(
            {
                "example_id": f"e{number}",
                "text": text,
                "scene": "search",
                "language": "zh" if number % 5 > 2 else "en",
                "intent": INTENTS[number % 3],
                "weight": 1.0,
                "kind": "behaviour" if number >= 10 - guessed else "annotated",
                "split": "test" if held_out else "train",
                "shopper_id": f"u{number}",
                "time": FIRST_TESTED + timedelta(hours=number) - timedelta(days=0 if held_out else 5),
                "utterance_start": 0,
                "utterance_end": len(text),
            }
        )
    # What belongs to no shopper is held out by its words: in every run, whenever it was labelled.
    rows[5] |= {"kind": "utterance", "shopper_id": None, "time": FIRST_TESTED - timedelta(days=5)}
    window = TrainingWindow(date(2026, 3, 1), date(2026, 3, 10))
    write_examples(settings, pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA), window)
    return fingerprint(read_examples(settings))


def model(folder: Path, *, trained_on: str, until: datetime | None = None, parent: str | None = None) -> None:
    """An artifact that says what it was trained on."""
    made = tiny_artifact(folder, folder.name)
    write_manifest(
        folder,
        kind=made.kind,
        version=made.version,
        code_version=made.code_version,
        dataset_fingerprint=trained_on,
        trained_until=until.isoformat() if until else None,
        parent=parent,
        labels=made.labels,
        key_information=made.key_information,
    )


def card_of(settings: Settings, version: str) -> str:
    return (settings.evaluations / version / "model_card.md").read_text(encoding="utf-8")


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path, device="cpu")


def test_a_version_is_not_judged_by_examples_that_it_was_not_trained_beside(settings):
    model(settings.models / "v2", trained_on=write_set(settings))
    write_set(settings, first_text="made again since")
    with pytest.raises(StaleExamplesError, match="run retrain_job"):
        compare(settings, "v2", POLICY)
    assert not settings.evaluations.exists()


@pytest.mark.parametrize(
    ("champion_until", "same_examples", "fair"),
    [
        (FIRST_TESTED, False, True),
        (FIRST_TESTED + timedelta(days=1), False, False),
        (FIRST_TESTED + timedelta(days=1), True, True),
    ],
)
def test_a_champion_that_may_have_learned_the_held_out_days_is_no_measure(
    settings, champion_until, same_examples, fair
):
    on_disk = write_set(settings)
    model(settings.models / "v1", trained_on=on_disk if same_examples else "others", until=champion_until)
    model(settings.models / "v2", trained_on=on_disk)
    publish(settings.release_file, {"intent_model": Component.of(settings.models / "v1")}, "first")

    decision = compare(settings, "v2", POLICY).decision

    said = any("champion v1 was trained on what happened until" in reason for reason in decision.reasons)
    assert said is not fair
    assert fair or not decision.promote
    assert "may have learned from earlier sessions" not in card_of(settings, "v2")


def test_people_judge_alone_where_they_labelled_as_many_as_the_gate_asks_and_the_card_says_who_is_tested(settings):
    model(settings.models / "v1", trained_on=write_set(settings, guessed=2), parent="v0")
    decision = compare(settings, "v1", GatePolicy(min_examples=3, draws=20)).decision
    assert decision.figures["examples"] == 3
    tested = (
        "of shoppers that its training split does not hold; v0, which it starts from, may have learned from earlier"
    )
    assert tested in card_of(settings, "v1")
