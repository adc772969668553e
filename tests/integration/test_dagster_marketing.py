"""Marketing through the real graph: audiences by the day, their files and contacts, and what they changed."""

import csv
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import orjson
import pyarrow as pa
import pytest
import yaml

from dagster_project.definitions import build_definitions
from dagster_project.defs.applications.marketing import audiences
from dagster_project.defs.applications.marketing_runs import draw_day
from dagster_project.partitions import range_tags
from dagster_project.resources.tables import Tables
from intent_tracking.applications.marketing.audiences import KEY_FILE
from intent_tracking.applications.marketing.rules import read_rules
from intent_tracking.events.contract import Item
from intent_tracking.settings import Settings
from tests.fakes.shop_events import event_row, table

pytestmark = [
    pytest.mark.integration,
    # great_expectations 1.24 imports sre_constants, which Python 3.11 deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(20)]
WRITTEN = DAYS[:3]
SHOPPERS = [f"u{n}" for n in range(60)]
MUG = Item(item_id="mug", item_name="Red Mug", price=9.0)


def run(
    settings: Settings, instance: dg.DagsterInstance, selection: str, days: list[date]
) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings)
    job = dg.define_asset_job("asked", selection=dg.AssetSelection.assets(*selection.split()))
    merged = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    return merged.resolve_job_def("asked").execute_in_process(
        instance=instance, tags=range_tags(days[0], days[-1]), raise_on_error=False
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[tuple[Settings, dg.DagsterInstance, Tables]]:
    """Sixty shoppers put a mug into the cart on each of three days; most consented; the treated buy it later."""
    settings = Settings(home=tmp_path_factory.mktemp("shop"), first_day=FIRST)
    tables = Tables(settings.tables)
    for number, day in enumerate(DAYS):
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        rows = [
            event_row("add_to_cart", at, shopper=shopper, number=number, items=[MUG.model_dump(exclude_none=True)])
            for shopper in (SHOPPERS if day in WRITTEN else [])
        ]
        tables.validated_events.write(day, table(rows))
    for day in WRITTEN:
        for made in (tables.sessions, tables.user_features):
            made.write(day, made.schema.empty_table())
    consents = settings.marketing / "consents"
    consents.mkdir(parents=True)
    lines = [f"{shopper},email,2026-01-01T00:00:00Z," for shopper in SHOPPERS[:50]]
    lines.append(f"{SHOPPERS[0]},email,,2026-02-01T00:00:00Z")
    (consents / "mail.csv").write_text("\n".join(["shopper_id,channel,given_at,withdrawn_at", *lines]) + "\n")
    # Of 49 shoppers a random key puts nobody into the control group once in 170 homes.
    settings.applications.mkdir(parents=True, exist_ok=True)
    (settings.applications / KEY_FILE).write_text("00" * 32, encoding="ascii")
    with dg.DagsterInstance.ephemeral() as instance:
        yield settings, instance, tables


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> str:
    return str([event.metadata for event in result.asset_materializations_for_node(asset)])


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def test_three_days_are_drawn_held_back_written_and_checked(shop) -> None:
    settings, instance, tables = shop
    # Cause: what was drawn and never published, as a check had failed, was everybody's first contact for ever.
    draw_day(settings, tables, read_rules(settings.marketing), WRITTEN[0])
    assert tables.audiences.days() == WRITTEN[:1]
    assert tables.audience_contacts.days() == []
    result = run(settings, instance, "propensity_model audiences audience_files", WRITTEN)
    assert result.success
    assert [tables.audience_contacts.row_count(day) for day in WRITTEN] == [49, 49, 0]
    assert checks_of(result) == dict.fromkeys(
        (
            *("propensity_model_better_than_chance", "audiences_consented", "audiences_under_caps", "audiences_whole"),
            *("audiences_channels_known", "audience_files_whole"),
        ),
        True,
    )
    held = [Counter(tables.audiences.read([day])["held_back"].to_pylist()) for day in WRITTEN]
    # Two mails in seven days; ten never consented and one withdrew.
    assert held == [{None: 49, "no_consent": 11}] * 2 + [{"frequency_cap": 49, "no_consent": 11}]
    groups = [
        dict(zip(rows["shopper_id"].to_pylist(), rows["group"].to_pylist(), strict=True))
        for rows in map(tables.audiences.read, ([day] for day in WRITTEN))
    ]
    assert groups[0] == groups[1] == groups[2]
    folder = settings.audience_files / WRITTEN[0].isoformat()
    with (folder / "looked_not_bought.csv").open(newline="") as file:
        listed = {row["shopper_id"] for row in csv.DictReader(file)}
    assert listed == {s for s in SHOPPERS[1:50] if groups[0][s] == "treated"}
    newest = settings.audience_files / WRITTEN[-1].isoformat()
    # Nobody was in the others: there is nothing to draw.
    assert [path.name for path in newest.glob("*.png")] == ["looked_not_bought.png"]
    told = metadata_of(result, "audiences")
    assert "held back: no consent" in told
    assert not any(f"{shopper} " in told or f'"{shopper}"' in told or f"'{shopper}'" in told for shopper in SHOPPERS)
    assert "150 days" in metadata_of(result, "propensity_model") or "are needed" in metadata_of(
        result, "propensity_model"
    )

    # A day that fails a check is not put where the mail tool looks.
    failing = read_rules(settings.marketing).model_dump(mode="json")
    failing["caps"]["email"] = {"contacts": 1, "days": 7}
    (settings.marketing / "audiences.yaml").write_text(yaml.safe_dump(failing))
    shutil.rmtree(newest)
    refused = run(settings, instance, "audiences audience_files", WRITTEN[-1:])
    (settings.marketing / "audiences.yaml").unlink()
    assert not refused.success
    assert not checks_of(refused)["audiences_under_caps"]
    assert tables.audiences.path(WRITTEN[-1]).is_file()
    assert not newest.exists()

    before = [path.read_bytes() for path in tables.audiences.paths(WRITTEN)]
    draw_day(settings, tables, read_rules(settings.marketing), WRITTEN[1])  # again, with a later day there already
    assert [path.read_bytes() for path in tables.audiences.paths(WRITTEN)] == before


@pytest.mark.parametrize("lacking", ["validated_events", "sessions", "user_features"])
def test_nobody_is_written_to_of_a_day_that_is_not_there(tmp_path, lacking) -> None:
    """Ingestion failed, and the day's audiences were those of the day before: who had bought since got the reminder."""
    settings, today = Settings(home=tmp_path, first_day=FIRST), DAYS[1]
    tables = Tables(settings.tables)
    for made in (tables.validated_events, tables.sessions, tables.user_features):
        for day in (FIRST, today):
            if (made.name, day) != (lacking, today):
                made.write(day, made.schema.empty_table())
    drawn = dg.materialize(
        [audiences],
        resources={"settings": settings, "tables": tables},
        tags=range_tags(FIRST, today),
        raise_on_error=False,
    )
    assert not drawn.success
    said = str(drawn.failure_data_for_node("audiences"))
    assert f"{lacking} is not written for {today}, " in said
    assert f"run {'features_job' if lacking == 'user_features' else 'ingest_job'} for these days" in said
    assert tables.audiences.days() == tables.audience_contacts.days() == []


def test_the_effect_is_reported_when_outcomes_are_complete(shop) -> None:
    settings, instance, tables = shop
    groups = dict(
        zip(*(tables.audiences.read([FIRST])[name].to_pylist() for name in ("shopper_id", "group")), strict=True)
    )
    day = DAYS[5]
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    rows = [
        event_row("purchase", at, shopper=s, number=99, items=[MUG.model_dump(exclude_none=True)], value=9.0)
        for s in SHOPPERS[:50]
        if groups[s] == "treated"
    ]
    tables.validated_events.write(day, table(rows))
    result = run(settings, instance, "audience_effects", DAYS[-1:])
    assert result.success
    assert checks_of(result) == {"audience_effects_groups_as_declared": True}
    folder = settings.audience_effects / DAYS[-1].isoformat()
    (effect,) = orjson.loads((folder / "report.json").read_bytes())["effects"]
    treated = sum(groups[s] == "treated" for s in SHOPPERS[1:50])
    assert (effect["treated"], effect["treated_buyers"]) == (treated, treated)
    assert (effect["control"], effect["control_buyers"]) == (49 - treated, 0)
    assert effect["conversion"]["value"] == 1
    assert (folder / "effects.png").stat().st_size > 5000
    assert not any(f'"{s}"' in (folder / "report.json").read_text() for s in SHOPPERS)


def test_what_the_checks_are_for_they_find(shop) -> None:
    settings, instance, tables = shop
    extra = {"shopper_id": "u55", "channel": "email", "campaign": "x", "audience": "x", "group": "treated"}
    for day in WRITTEN:
        tables.audiences.write(day, pa.Table.from_pylist([extra] * 2, schema=tables.audiences.schema))
    (settings.marketing / "consents" / "typo.csv").write_text(
        "shopper_id,channel,given_at,withdrawn_at\nu1,emial,2026-01-01T00:00:00Z,\n"
    )
    job = dg.define_asset_job("checks", selection=dg.AssetSelection.checks_for_assets("audiences"))
    merged = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    result = merged.resolve_job_def("checks").execute_in_process(instance=instance, raise_on_error=False)
    # Without a partition the newest day is looked at.
    assert checks_of(result) == {
        "audiences_consented": False, "audiences_under_caps": False, "audiences_whole": False,
        "audiences_channels_known": False,
    }  # fmt: skip
    job = dg.define_asset_job("checks", selection=dg.AssetSelection.checks_for_assets("audience_files"))
    (settings.audience_files / DAYS[2].isoformat()).mkdir(exist_ok=True)
    (settings.audience_files / DAYS[2].isoformat() / "lapsing.csv").write_text("shopper_id\nu1\n")
    merged = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    result = merged.resolve_job_def("checks").execute_in_process(instance=instance, raise_on_error=False)
    assert checks_of(result) == {"audience_files_whole": False}
