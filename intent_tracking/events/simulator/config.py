"""What a simulation is asked for: its days, its size, its rates. All of it is written beside the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, timedelta
from typing import Any, Final, Literal

Period = Literal["early", "later", "drift"]

LANGUAGES: Final = ("en", "zh")
LATER_SHARE: Final = 0.7
MAX_SESSIONS_PER_DAY: Final = 400_000  # order numbers have six digits a day, two for each session


@dataclass(frozen=True)
class FaultRates:
    """Faults put into the log on purpose. Each is a probability, of an event unless it says session."""

    duplicate: float = 0.01
    malformed: float = 0.004
    late_session: float = 0.03  # the tail of the session arrives up to three days later, in one batch
    too_late_session: float = 0.004  # ... four to six days later: after the lookback
    skewed_session: float = 0.03  # a device clock that is off by up to 90 seconds
    clock_ahead: float = 0.001  # an event 1 to 30 days in the future
    clock_behind: float = 0.0005  # an event 5 to 400 days in the past
    no_session_id: float = 0.15  # sessions whose source gives no session id


@dataclass(frozen=True)
class LanguageRates:
    """How shoppers write: probabilities of a message unless it says shopper."""

    typo: float = 0.12
    ambiguous: float = 0.05
    out_of_scope: float = 0.09
    personal_data: float = 0.08
    code_switching_shopper: float = 0.12


@dataclass(frozen=True)
class AnnotationRates:
    """The share that a support desk labels, and how often it errs."""

    sessions: float = 0.15
    messages: float = 0.30
    wrong: float = 0.03
    next_day: float = 0.5


@dataclass(frozen=True)
class SimulationConfig:
    """One simulated stretch of days of one shop.

    `first_day` counts from the opening of the shop on `start`, so a later stretch with the same seed continues the same
    shop: what arrives on a day depends on the seed and that day, not on the stretch it was generated in.

    Attributes:
        drift_from: day (index or date) from which products, wording, mix and one new intent change; None: never.
        later_from: day from which shoppers use the later wording; None: after 70% of
            the days, for the first stretch only.

    Raises:
        ValueError: a count, rate or language that cannot be.
    """

    days: int = 30
    first_day: int = 0
    start: date = date(2026, 1, 5)
    shoppers: int = 1_500
    sessions_per_day: int = 150
    seed: int = 7
    drift_from: int | date | None = None
    later_from: int | None = None
    languages: tuple[str, ...] = LANGUAGES
    bot_sessions: float = 0.015
    fraud_sessions: float = 0.008
    faults: FaultRates = field(default_factory=FaultRates)
    wording: LanguageRates = field(default_factory=LanguageRates)
    annotation: AnnotationRates = field(default_factory=AnnotationRates)

    def __post_init__(self) -> None:
        if self.days < 1 or self.first_day < 0 or self.shoppers < 1:
            raise ValueError("days and shoppers must be at least 1, and first_day at least 0")
        if self.first_day and self.later_from is None:
            raise ValueError("a stretch after the first needs later_from, where the first one had it; see continued()")
        if not 1 <= self.sessions_per_day <= MAX_SESSIONS_PER_DAY:
            raise ValueError(f"sessions_per_day must be 1 to {MAX_SESSIONS_PER_DAY}, not {self.sessions_per_day}")
        if not self.languages or set(self.languages) - set(LANGUAGES):
            raise ValueError(f"languages must be some of {LANGUAGES}, not {self.languages}")
        for group in (self.faults, self.wording, self.annotation):
            for each in fields(group):
                _check_rate(f"{type(group).__name__}.{each.name}", getattr(group, each.name))
        _check_rate("bot_sessions", self.bot_sessions)
        _check_rate("fraud_sessions", self.fraud_sessions)
        if self.bot_sessions + self.fraud_sessions > 0.5:
            raise ValueError("bot_sessions and fraud_sessions together must stay within half of the sessions")

    @property
    def last_day(self) -> int:
        """Index of the last day, counted from the opening."""
        return self.first_day + self.days - 1

    @property
    def drift_day(self) -> int | None:
        """`drift_from` as an index from the opening."""
        return (self.drift_from - self.start).days if isinstance(self.drift_from, date) else self.drift_from

    @property
    def later_day(self) -> int:
        """First day of the later wording."""
        if self.later_from is not None:
            return self.later_from
        return round(self.days * LATER_SHARE)

    def date_of(self, day: int) -> date:
        """The UTC date of day `day` from the opening."""
        return self.start + timedelta(days=day)

    def period(self, day: int) -> Period:
        """Which wording, mix and range of products holds on `day`."""
        drift = self.drift_day
        if drift is not None and day >= drift:
            return "drift"
        return "later" if day >= self.later_day else "early"

    def continued(self, days: int, drift_from: int | date | None = None) -> SimulationConfig:
        """The next `days` of the same shop; the later wording stays where it began."""
        return replace(
            self,
            first_day=self.first_day + self.days,
            days=days,
            later_from=self.later_day,
            drift_from=self.drift_from if drift_from is None else drift_from,
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, dates as ISO text."""
        plain = asdict(self)
        for name in ("start", "drift_from"):
            if isinstance(plain[name], date):
                plain[name] = plain[name].isoformat()
        plain["languages"] = list(self.languages)
        plain["later_from"] = self.later_day
        return plain


def _check_rate(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1, not {value}")
