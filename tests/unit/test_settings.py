"""Settings come from the environment, in one place, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from intent_tracking.settings import PACKAGED_ENCODER, load_settings

pytestmark = pytest.mark.unit


def test_defaults_need_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INTENT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.home == tmp_path / ".intent"
    assert settings.base_encoder == PACKAGED_ENCODER


def test_paths_are_absolute_and_under_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTENT_HOME", "here")
    settings = load_settings()
    assert settings.home == tmp_path / "here"
    for path in (settings.landing, settings.event_log, settings.tables, settings.models, settings.release_file):
        assert path.parent == settings.home


def test_a_wrong_value_names_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_DEVICE", "abacus")
    with pytest.raises(ValidationError, match="device"):
        load_settings()


def test_keys_do_not_appear_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_API_KEYS", "track:s3cret")
    assert "s3cret" not in repr(load_settings())


@pytest.mark.parametrize(
    ("listed", "keys"), [("", ()), (" , ", ()), ("one", ("one",)), (", one ,two,", ("one", "two"))]
)
def test_keys_are_listed_without_empty_ones(
    monkeypatch: pytest.MonkeyPatch, listed: str, keys: tuple[str, ...]
) -> None:
    monkeypatch.setenv("INTENT_API_KEYS", listed)
    assert load_settings().keys == keys
