"""The commands `keys create | list | revoke`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from intent_tracking.access.keys import KeyFileError, Scope, create_key, read_keys, revoke_key
from intent_tracking.settings import SettingsError, load_settings

keys_app = typer.Typer(help="The keys of the service: make, list and revoke them.", no_args_is_help=True)

_File = Annotated[
    Path | None, typer.Option("--file", help="Key file (default: INTENT_KEYS_FILE, else keys.json of the home).")
]


@contextmanager
def _errors_in_words() -> Iterator[None]:
    try:
        yield
    except (KeyFileError, SettingsError, OSError) as error:
        typer.secho(f"keys: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


@keys_app.command("create")
def create(
    label: Annotated[str, typer.Argument(help="Whose key it is, for people: 'shop backend'.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; may be given several times.")],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires (default: never).")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="For web pages: it may only track, its callers are limited one by one.")
    ] = False,
    file: _File = None,
) -> None:
    """Make a key and show it, once: only its hash is kept. Running services take it within a second."""
    with _errors_in_words():
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = now + timedelta(days=days) if days else None
        path = _path(file)
        plain, key = create_key(path, scope, label, now=now, expires_at=expires_at, public=public)
        typer.echo(f"{key.id} is in {path}. The key, which is shown this once:", err=True)
        typer.echo(plain)


@keys_app.command("list")
def list_keys(file: _File = None) -> None:
    """Name each key: id, scopes, times and label."""
    with _errors_in_words():
        path = _path(file)
        keys = read_keys(path)
        if not keys:
            typer.echo(f"{path}: no keys", err=True)
            return
        now = datetime.now(UTC)
        for key in keys:
            ends = "never expires" if key.expires_at is None else f"expires {key.expires_at.isoformat()}"
            over = " (EXPIRED)" if key.expired(now) else ""
            scopes = ",".join(key.scopes) + (" public" if key.public else "")
            typer.echo(f"{key.id}  {scopes}  created {key.created_at.isoformat()}  {ends}{over}  {key.label}")


@keys_app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="Its id, or the key itself where it was found.")], file: _File = None
) -> None:
    """Take a key away. Running services refuse it within a second."""
    with _errors_in_words():
        revoked = revoke_key(_path(file), key)
        typer.echo(f"{revoked.id} ({revoked.label}) is revoked", err=True)


def _path(file: Path | None) -> Path:
    return file or load_settings().key_file
