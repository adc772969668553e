"""Settings come from the environment, in one place, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from intent_tracking.settings import PACKAGED_ENCODER, SettingsError, load_settings

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


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("INTENT_DEVICE", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("INTENT_FIRST_DAY", "01.02.2026", "a date like 2026-01-31"),
        ("INTENT_TRUST_RECEIVED_TIME", "perhaps", "true or false"),
    ],
)
def test_a_wrong_value_names_its_variable_and_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, takes: str
) -> None:
    # Cause: the raw text of the checking library, four lines that name the field and not the variable.
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert str(wrong.value) == f"{name} is {value!r}, but takes {takes}"


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Cause: INTENT_HOME= made the working directory the home, and everything was written into it.
    monkeypatch.chdir(tmp_path)
    for name in ("INTENT_HOME", "INTENT_DATA_DIR", "INTENT_DEVICE", "INTENT_BASE_ENCODER", "INTENT_FIRST_DAY"):
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert settings.home == tmp_path / ".intent"
    assert settings.data_dir is None
    assert (settings.device, settings.base_encoder) == ("auto", PACKAGED_ENCODER)


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


@pytest.mark.parametrize(("name", "value"), [("ANSWER_MODEL_SECONDS", "20"), ("REQUEST_SECONDS", "8")])
def test_a_wait_for_the_endpoint_that_outlasts_the_request_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    # Cause: the request ended with 504 before the passage could answer in place of a slow endpoint.
    monkeypatch.setenv(f"INTENT_{name}", value)
    load_settings()  # without an endpoint nobody waits
    monkeypatch.setenv("INTENT_ANSWER_MODEL_URL", "http://127.0.0.1:8000/v1")
    with pytest.raises(SettingsError, match=r"INTENT_ANSWER_MODEL_SECONDS is .*fewer seconds than request_seconds"):
        load_settings()


@pytest.mark.parametrize("value", ["my-store", "postgres://user:s3cret@host", "kafka://host/topic"])
def test_a_wrong_store_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("INTENT_SESSION_STORE", value)
    with pytest.raises(SettingsError, match=r"INTENT_SESSION_STORE is wrong.*redis://host:6379/0") as wrong:
        load_settings()
    assert value not in str(wrong.value)


@pytest.mark.parametrize("value", ["kafka://host:9092", "host:9092/topic", "kafka://host/a topic"])
def test_a_wrong_event_log_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("INTENT_EVENT_LOG_KAFKA", value)
    with pytest.raises(SettingsError, match=r"INTENT_EVENT_LOG_KAFKA is wrong.*kafka://host:9092,host:9092/topic"):
        load_settings()


@pytest.mark.parametrize("value", ["ftp://host/v1", "host:8000", "http://user:s3cret@host/v1"])
def test_a_wrong_endpoint_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("INTENT_ANSWER_MODEL_URL", value)
    with pytest.raises(SettingsError, match=r"INTENT_ANSWER_MODEL_URL is wrong.*http://h:8000/v1") as wrong:
        load_settings()
    assert value not in str(wrong.value)
