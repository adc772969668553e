"""Consents and audience files forget who is erased, and nobody else."""

from __future__ import annotations

import csv
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tracking.erasure.marketing import erase_audience_files, erase_consents
from intent_tracking.erasure.proof import prove
from intent_tracking.erasure.stored import erase_stored
from intent_tracking.sessions.state import open_session_store
from intent_tracking.settings import Settings
from intent_tracking.tables import write_csv
from intent_tracking.tombstones import Erasures

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
HEADER = "shopper_id,channel,given_at,withdrawn_at"
ANN, BOB = "=u-1842", "u-18423"  # the one is a formula, and ends as the other begins


def marketing(home: Path) -> tuple[Path, Path, Path]:
    consents = home / "marketing" / "consents"
    consents.mkdir(parents=True)
    given = "2026-01-01T00:00:00+00:00"
    (consents / "a.csv").write_text(
        f'{HEADER}\n{ANN},email,{given},\n"{BOB}",email,{given},\n{ANN} ,sms,{given},{given}\n'
    )
    rows = [
        {"shopper_id": s, "channel": "push", "given_at": AT - timedelta(days=9), "withdrawn_at": AT}
        for s in (f" {ANN}", BOB)
    ]
    pq.write_table(pa.Table.from_pylist(rows), consents / "b.parquet")
    listed = home / "applications" / "audiences" / "2026-03-09" / "lapsing.csv"
    lines = [{"shopper_id": s, "message": 'said "hi",\nand left'} for s in (ANN, BOB)]
    write_csv(listed, ["shopper_id", "message"], lines, verbatim={"shopper_id"})
    return consents / "a.csv", consents / "b.parquet", listed


def test_a_person_goes_out_of_consents_and_files_and_the_search_finds_no_name(tmp_path: Path) -> None:
    text, parquet, listed = marketing(tmp_path)
    left = tmp_path / "applications" / "audiences" / ".2026-03-09.killed" / "lapsing.csv"
    left.parent.mkdir()
    left.write_bytes(listed.read_bytes())
    half = left.with_name(".ready_to_buy.csv.k1ll3d")
    half.write_bytes(listed.read_bytes())
    os.utime(half, (0, 0))
    settings = Settings(home=tmp_path)
    Erasures(tmp_path).request(ANN, AT)
    sessions = open_session_store(settings)
    try:
        removed = erase_stored(settings, sessions)
    finally:
        sessions.close()
    assert removed == {"marketing/consents": 3, "applications/audiences": 2}
    assert text.read_text() == f"{HEADER}\n{BOB},email,2026-01-01T00:00:00+00:00,\n"
    assert pq.read_table(parquet)["shopper_id"].to_pylist() == [BOB]
    with listed.open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"shopper_id": BOB, "message": 'said "hi",\nand left'}]
    (proved,) = prove(settings)
    assert proved.finished
    assert proved.proof.hits == 0


def test_after_the_erasure_what_is_landed_again_goes_and_a_new_consent_stays(tmp_path: Path) -> None:
    text, _, listed = marketing(tmp_path)
    erasures = Erasures(tmp_path)
    erasures.request(ANN, AT)
    settings = Settings(home=tmp_path)
    erase_consents(tmp_path, erasures.tombstones())
    erase_audience_files(tmp_path, erasures.tombstones())
    assert prove(settings)[0].finished
    text.write_text(f"{HEADER}\n{ANN},email,2026-01-01T00:00:00Z,\n{ANN},sms,2026-04-01T00:00:00Z,\n{ANN},push,,\n")
    later = tmp_path / "applications" / "audiences" / "2026-04-02" / "lapsing.csv"
    write_csv(later, ["shopper_id"], [{"shopper_id": ANN}], verbatim={"shopper_id"})
    assert sum(erase_consents(tmp_path, erasures.tombstones()).values()) == 2
    assert text.read_text() == f"{HEADER}\n{ANN},sms,2026-04-01T00:00:00Z,\n"
    assert not erase_audience_files(tmp_path, erasures.tombstones())
    assert ANN in later.read_text()
    assert date.fromisoformat(later.parent.name) > AT.date()
    before = listed.stat().st_mtime_ns
    assert not erase_audience_files(tmp_path, erasures.tombstones())
    assert listed.stat().st_mtime_ns == before


def test_a_withdrawal_after_a_finished_erasure_is_never_lost(tmp_path: Path) -> None:
    # Cause: a row that only withdraws has no `given_at`; it was taken for one of before the erasure and went, and the
    # consent that it withdraws stayed.
    consents = tmp_path / "marketing" / "consents"
    consents.mkdir(parents=True)
    erasures = Erasures(tmp_path)
    erasures.request(ANN, AT)
    assert prove(Settings(home=tmp_path))[0].finished
    rows = f"{ANN},sms,2026-04-01T00:00:00Z,\n{ANN},sms,,2026-04-02T00:00:00Z\n"
    # Local midnight of the eleventh is still the tenth in UTC, the day of the erasure.
    (consents / "a.csv").write_text(f"{HEADER}\n{rows}{ANN},sms,2026-03-11T00:30:00+08:00,\n")
    later = {"shopper_id": ANN, "channel": "push", "given_at": None, "withdrawn_at": AT + timedelta(days=9)}
    schema = pa.schema(
        [("shopper_id", pa.string()), ("channel", pa.string())]
        + [(name, pa.timestamp("us", tz="UTC")) for name in ("given_at", "withdrawn_at")]
    )
    pq.write_table(pa.Table.from_pylist([later, later | {"withdrawn_at": AT}], schema), consents / "b.parquet")
    assert sum(erase_consents(tmp_path, erasures.tombstones()).values()) == 2
    assert (consents / "a.csv").read_text() == f"{HEADER}\n{rows}"
    assert pq.read_table(consents / "b.parquet").num_rows == 1
