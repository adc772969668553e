"""One run of marketing over the tables of a home: what the assets call."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from dagster_project.resources.tables import Tables
from intent_tracking.applications.marketing.audiences import (
    CONTACT_COLUMNS,
    HELD_BACK,
    TREATED,
    AudienceSize,
    contacts_of,
    control_key,
    draw,
    sizes,
    write_files,
)
from intent_tracking.applications.marketing.consent import (
    CONSENT_FOLDER,
    Consents,
    Contacts,
    days_under_caps,
    read_consents,
)
from intent_tracking.applications.marketing.effects import Effect, contact_days, effects
from intent_tracking.applications.marketing.history import days_up_to, end_of, history
from intent_tracking.applications.marketing.membership import gather
from intent_tracking.applications.marketing.pictures import audience_picture, effects_picture
from intent_tracking.applications.marketing.propensity import PropensityModel
from intent_tracking.applications.marketing.propensity_training import (
    LOOKED_BACK,
    MOST_SHOPPERS,
    PropensityError,
    Trained,
    train_propensity,
)
from intent_tracking.applications.marketing.rules import MarketingRules, read_rules
from intent_tracking.applications.marketing.words import read_words
from intent_tracking.settings import Settings
from intent_tracking.tables import atomic_directory, atomic_write_text

REPORT_FILE = "report.json"
# The price that a shopper looks at, of the snapshot.
PRICE_FEATURE = "user_mean_price_viewed_30d"


def train(settings: Settings, tables: Tables, until: date | None) -> Trained:
    """Train the propensity model on what its cut-offs look at up to `until`, by default the newest day.

    Raises:
        PropensityError: see `train_propensity`.
    """
    written = tables.validated_events.days()
    days = [day for day in written if until is None or day <= until]
    if not days:
        raise PropensityError("no validated_events are written: materialize them first")
    looked_at = [day for day in days if (days[-1] - day).days < LOOKED_BACK]
    with history(tables.validated_events.paths(looked_at), most_shoppers=MOST_SHOPPERS) as database:
        return train_propensity(database, looked_at[0], days[-1], settings.applications)


@dataclass(frozen=True)
class DrawnDay:
    """What a day gave: sizes of audiences, the model asked, and the consents that were read."""

    sizes: list[AudienceSize]
    model: str | None
    consents: Consents


def draw_day(settings: Settings, tables: Tables, rules: MarketingRules, day: date) -> DrawnDay:
    """Write `audiences` of one day."""
    # Not one of later days: a day that is drawn again must not write to others, nor know what came after it.
    model = PropensityModel.newest(settings.applications, day)
    consents = read_consents(settings.marketing / CONSENT_FOLDER, rules)
    looked_back = days_up_to(day, rules.history_days)
    around = [(each, _counted(tables, each)) for each in days_under_caps(rules.caps, day)]
    with history(tables.validated_events.paths(looked_back), end_of(day), lines=True) as database:
        evidence = gather(
            database,
            day,
            sessions=tables.sessions.paths(looked_back),
            predictions=tables.served_predictions.paths(looked_back),
            prices=_prices(tables, day),
            model=model,
        )
        members = draw(
            evidence, rules, read_words(settings.marketing), consents, Contacts(around),
            control_key(settings.applications),
        )  # fmt: skip
    tables.audiences.write(day, members)
    return DrawnDay(sizes(members, rules), model.version if model else None, consents)


def drawn_contacts(tables: Tables, day: date) -> pa.Table:
    """Whom the stored audiences of a day let be written to."""
    return contacts_of(tables.audiences.read([day], columns=list(CONTACT_COLUMNS)))


def _counted(tables: Tables, day: date) -> pa.Table:
    """What counts under the caps of other days: what was published, and what is drawn, which may yet be."""
    return pa.concat_tables([tables.audience_contacts.read([day]), drawn_contacts(tables, day)])


def over_caps(tables: Tables, rules: MarketingRules, day: date) -> Counter[str]:
    """By channel how many have more contacts in the days up to `day` than its cap allows."""
    over: Counter[str] = Counter()
    for channel, cap in rules.caps.items():
        counts: Counter[str] = Counter()
        for each in days_up_to(day, cap.days):
            rows = _counted(tables, each).select(["shopper_id", "channel"]).to_pylist()
            counts.update({row["shopper_id"] for row in rows if row["channel"] == channel})
        over[channel] += sum(count > cap.contacts for count in counts.values())
    return over


def _prices(tables: Tables, day: date) -> pa.Table:
    taken = tables.user_features.read([day], columns=["shopper_id", PRICE_FEATURE])
    return taken.rename_columns(["shopper_id", "price"])


def publish_day(settings: Settings, tables: Tables, rules: MarketingRules, day: date) -> Path:
    """Put the files of one day where the mail tool looks for them, from `audiences`; their folder.

    `audience_contacts` of the day are theirs, and are written first, so that no file is there that does not count.
    """
    folder = settings.audience_files / day.isoformat()
    members = tables.audiences.read([day])
    tables.audience_contacts.write(day, contacts_of(members))
    write_files(folder, members, rules)
    return folder


def draw_pictures(settings: Settings, tables: Tables, rules: MarketingRules, day: date, days: int) -> list[Path]:
    """A picture of each audience over the `days` days up to `day`, beside the files of the day.

    An audience that nobody was in has none.
    """
    written = set(tables.audiences.days())
    over_time = [
        (each, {size.audience: size for size in sizes(tables.audiences.read([each]), rules)})
        for each in days_up_to(day, days)
        if each in written
    ]
    members = tables.audiences.read([day])
    folder = settings.audience_files / day.isoformat()
    return [
        folder / audience_picture(folder, name, [(each, found[name]) for each, found in over_time], members)
        for name in rules.audiences
        if any(found[name].members for _, found in over_time)
    ]


def day_problems(tables: Tables, day: date) -> list[str]:
    """What is wrong with the stored audiences of a day; nobody is named."""
    rows = tables.audiences.read([day], columns=["shopper_id", "held_back", "channel"]).to_pylist()
    problems = []
    twice = sum(count > 1 for count in Counter(row["shopper_id"] for row in rows).values())
    if twice:
        problems.append(f"{day}: {twice} shoppers are in more than one row")
    odd = sum((row["channel"] is None) != (row["held_back"] in HELD_BACK) for row in rows)
    if odd:
        problems.append(f"{day}: {odd} rows are neither held back nor have a channel, or both")
    return problems


def file_problems(settings: Settings, tables: Tables, day: date) -> list[str]:
    """Where the files and contacts of a day and its stored audiences are not of one mind; nobody is named."""
    problems = []
    drawn, stored = drawn_contacts(tables, day).num_rows, tables.audience_contacts.row_count(day)
    if drawn != stored:
        problems.append(f"{day}: {drawn} members may be written to, {stored} contacts are stored")
    rows = tables.audiences.read([day], columns=["group", "held_back", "audience"]).to_pylist()
    treated = Counter(row["audience"] for row in rows if row["held_back"] is None and row["group"] == TREATED)
    for name in read_rules(settings.marketing).audiences:
        path = settings.audience_files / day.isoformat() / f"{name}.csv"
        listed = _rows_of(path)
        if listed != treated[name]:
            problems.append(f"{day}: {path.name} lists {listed} shoppers, {treated[name]} are written to")
    return problems


def _rows_of(path: Path) -> int:
    import csv

    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


@dataclass(frozen=True)
class EffectsReport:
    """The effect of each campaign, and the folder that holds it as JSON and as a picture."""

    folder: Path
    effects: list[Effect]


def report_effects(settings: Settings, tables: Tables, until: date | None) -> EffectsReport | None:
    """Write the report of outcomes up to `until`, by default the newest day; None while no outcome is complete."""
    rules = read_rules(settings.marketing)
    written = tables.validated_events.days()
    until = until or (written[-1] if written else None)
    if until is None:
        return None
    reported = contact_days(until, rules.effect)
    contacted = tables.audience_contacts.paths([day for day in tables.audience_contacts.days() if day <= reported[-1]])
    needed = tables.validated_events.paths([day for day in written if reported[0] <= day <= until])
    found = effects(contacted, needed, until, rules.effect, rules.control_share)
    if not found:
        return None
    folder = settings.audience_effects / until.isoformat()
    with atomic_directory(folder) as building:
        document: dict[str, Any] = {
            "until": until,
            "first_contacts_from": reported[0],
            "first_contacts_to": reported[-1],
            "plan": rules.effect.model_dump(),
            "control_share": rules.control_share,
            "effects": [effect.as_document() for effect in found],
        }
        atomic_write_text(building / REPORT_FILE, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
        effects_picture(building, found, rules.effect.outcome_days)
    return EffectsReport(folder, found)


def newest_report(settings: Settings) -> dict[str, bool]:
    """By campaign of the newest report whether its groups have the sizes of the declared draw; empty without one."""
    reports = sorted(settings.audience_effects.glob(f"[!.]*/{REPORT_FILE}"))
    if not reports:
        return {}
    return {each["campaign"]: bool(each["as_declared"]) for each in orjson.loads(reports[-1].read_bytes())["effects"]}
