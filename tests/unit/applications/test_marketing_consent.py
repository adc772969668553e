"""Consents and withdrawals, as the files of the shop write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.marketing.consent import Consents, read_consents
from intent_tracking.applications.marketing.history import end_of
from intent_tracking.applications.marketing.rules import MarketingError, shipped_rules

pytestmark = pytest.mark.unit

DAY = date(2026, 3, 31)
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
moments = st.integers(-3, 3).map(lambda days: end_of(DAY) + timedelta(days=days))


@given(st.lists(st.tuples(st.booleans(), moments), max_size=6))
def test_a_withdrawal_wins_over_every_consent_that_is_not_newer(words: list[tuple[bool, datetime]]) -> None:
    given_at = tuple(at for gives, at in words if gives)
    withdrawn_at = tuple(at for gives, at in words if not gives)
    key = ("ann", "email")
    holds = Consents({key: given_at}, {key: withdrawn_at}).holds("ann", "email", end_of(DAY))
    assert holds == any(at <= end_of(DAY) and all(withdrawn < at for withdrawn in withdrawn_at) for at in given_at)
    assert not Consents({key: given_at}, {}).holds("ann", "sms", end_of(DAY))


def test_consents_are_read_from_csv_and_parquet_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    assert len(read_consents(tmp_path / "none", shipped_rules())) == 0
    (tmp_path / "a.csv").write_text(
        "shopper_id,channel,given_at,withdrawn_at\nann,email,2026-01-01T00:00:00+00:00,\n"
        "bob,email,2026-01-01T00:00:00Z,2026-02-01T00:00:00+08:00\n"
    )
    rows = [{"shopper_id": "cat", "channel": "sms", "given_at": NOON - timedelta(days=9), "withdrawn_at": None}]
    schema = pa.schema([("shopper_id", pa.string()), ("channel", pa.string())])
    for name in ("given_at", "withdrawn_at"):
        schema = schema.append(pa.field(name, pa.timestamp("us", tz="UTC")))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "b.parquet")
    consents = read_consents(tmp_path, shipped_rules())
    said = [
        consents.holds(*key, NOON) for key in (("ann", "email"), ("bob", "email"), ("cat", "sms"), ("cat", "email"))
    ]
    assert said == [True, False, True, False]
    assert consents.unknown_channels(shipped_rules()) == []
    odd = tmp_path / "c.csv"
    head = "shopper_id,channel,given_at,withdrawn_at\n"
    odd.write_text(f"{head}ann,email,,\nbob,emial,2026-01-01T00:00:00Z,\ncat,emial,,\ndan,pigeon,,\n")
    emial, pigeon = read_consents(tmp_path, shipped_rules()).unknown_channels(shipped_rules())
    assert emial == f"{odd}:3: the channel 'emial' has no cap (2 rows); those that have one: email, push, sms"
    assert f"{odd}:5" in pigeon
    # Cause: ids in the column of channels would be named.
    odd.write_text(head + "".join(f"email,shopper-{n},,\n" for n in range(9)))
    (swapped,) = read_consents(tmp_path, shipped_rules()).unknown_channels(shipped_rules())
    assert f"{odd}:2: 9 different channels" in swapped
    assert "shopper-" not in swapped
    odd.unlink()
    for text, problem in (
        ("shopper_id,channel,given_at\nann,email,2026-01-01T00:00:00Z\n", "withdrawn_at is missing"),
        ("shopper_id,channel,given_at,withdrawn_at\nann,email,2026-01-01T00:00:00,\n", r"a.csv:2, given_at.*no offset"),
        ("shopper_id,channel,given_at,withdrawn_at\nann,email,yes,\n", "is no time"),
        ("shopper_id,channel,given_at,withdrawn_at\nann\n", "fewer cells"),
        ("shopper_id,channel,given_at,withdrawn_at\n,email,,\n", "must both be there"),
        ("shopper_id,channel,given_at,withdrawn_at\nJosé,email,,\n", "a.csv: line 2 is not UTF-8; save"),
        (f"shopper_id,channel,given_at,withdrawn_at\n{'a' * 200_000},email,,\n", "a.csv:2: is no CSV: field larger"),
    ):
        (tmp_path / "a.csv").write_text(text, encoding="latin-1")
        with pytest.raises(MarketingError, match=problem):
            read_consents(tmp_path, shipped_rules())


def consents_in(folder: Path, *lines: str) -> Consents:
    (folder / "a.csv").write_text("\n".join(["shopper_id,channel,given_at,withdrawn_at", *lines]) + "\n")
    return read_consents(folder, shipped_rules())


@pytest.mark.parametrize("withdrawal", ["ann,Email", "ann ,email", " ann, EMAIL ", "ann,emial", "ann,ｅmail", "ann,*"])
def test_a_withdrawal_that_is_written_in_another_way_withdraws(tmp_path: Path, withdrawal: str) -> None:
    # Cause: consents and withdrawals met by their exact letters, so a typing error in a withdrawal went on sending.
    others = ("bob,email,2026-01-01T00:00:00Z,", "ann,sms,2026-01-01T00:00:00Z,")
    consents = consents_in(tmp_path, "ann,email,2026-01-01T00:00:00Z,", *others, f"{withdrawal},,2026-02-01T00:00:00Z")
    assert not consents.holds("ann", "email", NOON)
    assert consents.holds("bob", "email", NOON)
    # What nobody can tell stops every channel, and is named.
    unknown = consents.unknown_channels(shipped_rules())
    assert consents.holds("ann", "sms", NOON) == (not unknown)
    assert all("a.csv:5" in each and "1 withdrawals, each of every channel" in each for each in unknown)
    again = consents_in(tmp_path, f"{withdrawal},,2026-02-01T00:00:00Z", "ann,email,2026-03-01T00:00:00Z,")
    assert again.holds("ann", "email", NOON)


def test_a_grant_may_be_written_in_another_way_and_on_an_unknown_channel_it_gives_nothing(tmp_path: Path) -> None:
    consents = consents_in(tmp_path, " ann,Email ,2026-01-01T00:00:00Z,", "bob,emial,2026-01-01T00:00:00Z,")
    assert consents.holds("ann", "email", NOON)
    assert not any(consents.holds("bob", channel, NOON) for channel in shipped_rules().caps)


def test_withdrawals_of_who_never_consented_are_counted(tmp_path: Path) -> None:
    consents = consents_in(
        tmp_path,
        "ann,email,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z",
        *(f"{shopper},{channel},,2026-02-01T00:00:00Z" for shopper in ("A-nn", "bob") for channel in ("sms", "smss")),
    )
    assert consents.withdrawn_without_consent == 2
