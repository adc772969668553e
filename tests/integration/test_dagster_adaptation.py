"""The encoder that reads unlabelled texts: made by its own job, used where the settings ask for it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.resources.tables import Tables
from intent_tracking.modeling.adaptation import Adaptation
from intent_tracking.modeling.encoder import ADAPTATION_FILE, EncoderError, configured_encoder, find_encoder
from intent_tracking.sessions.texts import SESSION_TEXT_SCHEMA
from intent_tracking.settings import Settings
from tests.fakes.tiny_encoder import tiny_encoder, tiny_examples

pytestmark = pytest.mark.integration

FIRST = date(2026, 1, 1)


def _texts(day: date, texts: list[str]) -> pa.Table:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    columns = {name: [None] * len(texts) for name in SESSION_TEXT_SCHEMA.names}
    columns |= {
        "text": [f"{text} {day.day}" for text in texts],
        "cutoff_time": [noon] * len(texts),
        "kind": ["session"] * len(texts),
    }
    return pa.table(columns, schema=SESSION_TEXT_SCHEMA)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    table = Tables(Settings(home=home).tables).session_texts
    for place in range(10):
        day = FIRST + timedelta(days=place)
        table.write(day, _texts(day, tiny_examples()["text"].to_pylist()))
    return Settings(home=home, device="cpu", base_encoder="domain_adapted", first_day=FIRST)


def test_the_job_makes_the_encoder_that_the_settings_ask_for(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="run adaptation_job first"):
        configured_encoder(settings)
    base = str(tiny_encoder(tmp_path / "encoder"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_definitions(settings)
            .resolve_job_def("adaptation_job")
            .execute_in_process(
                instance=instance,
                run_config={
                    "ops": {
                        "domain_adapted_encoder": {
                            "config": {"base_encoder": base, "max_seconds": 10.0, "held_out_days": 4, "most_texts": 100}
                        }
                    }
                },
            )
        )
        [made] = result.asset_materializations_for_node("domain_adapted_encoder")
    found = find_encoder(configured_encoder(settings))
    adaptation = Adaptation.model_validate_json((found.folder / ADAPTATION_FILE).read_text(encoding="utf-8"))
    assert adaptation.base_encoder == base
    # Ten days on disk, three of them not settled, four held out: three are read.
    assert made.metadata["last_day"].value == "2026-01-03"
    assert adaptation.texts == made.metadata["texts"].value == 100
    assert made.metadata["texts_left_out"].value == 3 * len(tiny_examples()) - 100
    assert made.metadata["chosen_by_settings"].value is True
    assert Settings(home=settings.home, base_encoder=base).base_encoder == configured_encoder(
        Settings(home=settings.home, base_encoder=base)
    )
