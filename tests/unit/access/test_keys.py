"""Keys: what the file holds of them, who may read it, and how a service follows it."""

from __future__ import annotations

import json
import logging
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intent_tracking.access.keys import KeyFileError, Scope, create_key, read_keys, revoke_key
from intent_tracking.access.ring import KeyRing
from intent_tracking.cli import app

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def test_the_file_holds_a_hash_in_place_of_the_key_and_is_its_owners_alone(file: Path) -> None:
    plain, key = create_key(file, [Scope.READ, Scope.TRACK], "shop backend", now=NOW)
    text = file.read_text()
    assert plain not in text
    assert plain.split("_", 2)[2] not in text  # the secret itself may hold an underscore
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys(file) == (key,)
    assert (key.scopes, key.label, key.created_at, key.expires_at) == (
        (Scope.TRACK, Scope.READ),
        "shop backend",
        NOW,
        None,
    )
    assert key.id in plain


def test_a_key_is_found_by_what_was_shown_and_by_nothing_else(file: Path) -> None:
    plain, key = create_key(file, [Scope.TRACK], "pages", now=NOW)
    ring = KeyRing(file)
    assert ring.find(plain) == key
    for other in ("", key.id, key.sha256, plain[:-1], plain + "a", plain.upper(), "\udcff"):
        assert ring.find(other) is None


def test_keys_of_the_settings_allow_everything(file: Path) -> None:
    ring = KeyRing(file, ("first", "second"))
    found = ring.find("second")
    assert found is not None
    assert set(found.scopes) == set(Scope)
    assert not found.expired(datetime.now(UTC) + timedelta(days=10_000))


def test_a_key_expires_at_its_time(file: Path) -> None:
    _, key = create_key(file, [Scope.READ], "visitor", now=NOW, expires_at=NOW + timedelta(days=1))
    assert not key.expired(NOW + timedelta(hours=23))
    assert key.expired(NOW + timedelta(days=1))
    with pytest.raises(KeyFileError, match="give a later time"):
        create_key(file, [Scope.READ], "visitor", now=NOW, expires_at=NOW)


def test_a_public_key_may_only_track(file: Path) -> None:
    assert create_key(file, [Scope.TRACK], "pages", now=NOW, public=True)[1].public
    with pytest.raises(KeyFileError, match="scope track alone"):
        create_key(file, [Scope.TRACK, Scope.READ], "pages", now=NOW, public=True)
    assert len(read_keys(file) or ()) == 1


def test_new_and_revoked_keys_are_noticed_by_all_that_follow_the_file(file: Path) -> None:
    rings = [KeyRing(file, refresh_seconds=0) for _ in range(2)]
    assert not any(ring.configured for ring in rings)
    first, key = create_key(file, [Scope.READ], "first", now=NOW)
    second, _ = create_key(file, [Scope.READ], "second", now=NOW)
    assert all(ring.configured and ring.find(first) and ring.find(second) for ring in rings)
    assert revoke_key(file, key.id) == key
    assert all(ring.find(first) is None and ring.find(second) for ring in rings)
    revoke_key(file, second)
    # No key is left, which is not the same as a service without keys.
    assert all(ring.configured and ring.find(second) is None for ring in rings)


def test_a_lost_file_opens_nothing(file: Path) -> None:
    plain, _ = create_key(file, [Scope.READ], "first", now=NOW)
    ring = KeyRing(file, refresh_seconds=0)
    file.unlink()
    assert ring.find(plain) is None
    assert ring.configured


def test_a_damaged_file_leaves_the_keys_as_they_were_and_stops_a_start(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain, _ = create_key(file, [Scope.READ], "first", now=NOW)
    ring = KeyRing(file, refresh_seconds=0)
    file.write_text('{"keys": [{"id": "x", "scopes": ["everything"]}]}')
    with caplog.at_level(logging.ERROR):
        assert ring.find(plain) is not None
    assert "ALERT" in caplog.text
    assert str(file) in caplog.text
    with pytest.raises(KeyFileError, match=r"keys\.json: keys\.0\."):
        KeyRing(file)


def test_writers_at_once_lose_no_key(file: Path) -> None:
    made: list[str] = []

    def make(number: int) -> None:
        made.append(create_key(file, [Scope.TRACK], f"key {number}", now=NOW)[1].id)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.id for key in read_keys(file) or ()} == set(made)
    assert len(made) == 8


def test_the_commands_make_list_and_revoke(file: Path) -> None:
    run = CliRunner()
    made = run.invoke(app, ["keys", "create", "pages of the shop", "--scope", "track", "--public", "--file", str(file)])
    assert made.exit_code == 0, made.output
    plain = made.stdout.strip()
    ring = KeyRing(file)
    key = ring.find(plain)
    assert key is not None
    listed = run.invoke(app, ["keys", "list", "--file", str(file)])
    assert key.id in listed.stdout
    assert "track public" in listed.stdout
    assert "pages of the shop" in listed.stdout
    assert plain not in listed.output
    revoked = run.invoke(app, ["keys", "revoke", plain, "--file", str(file)])
    assert revoked.exit_code == 0, revoked.output
    assert plain not in revoked.output
    assert json.loads(file.read_text()) == {"keys": []}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["revoke", "ffffffff"], "keys list"),
        (["create", "pages", "--scope", "read", "--public"], "track alone"),
        (["create", "", "--scope", "read"], "label"),
    ],
)
def test_a_mistake_ends_a_command_in_words(file: Path, arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, ["keys", *arguments, "--file", str(file)])
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output
