"""When drift asks for a retraining: property tests over random histories, and each refusal by its words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.evaluation.drift import DriftSummary
from intent_tracking.evaluation.retraining import RetrainingPolicy, should_retrain

pytestmark = pytest.mark.unit
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetrainingPolicy(min_samples=200, windows_in_a_row=2, cooldown=timedelta(days=3))


def _window(day: int, drifted: bool, size: int = 500, enough: bool = True) -> DriftSummary:
    start = START + timedelta(days=day)
    return DriftSummary(
        start, start + timedelta(days=1), "v1", enough, drifted, "3 of 16 columns drifted", 0.2, 500, size, (), {}
    )


def _after(day: int) -> datetime:
    return START + timedelta(days=day + 1)


def _ask(history: list[DriftSummary], *, running: bool = False, last: datetime | None = None, day: int | None = None):
    now = max((w.window_end for w in history), default=START) if day is None else _after(day)
    return should_retrain(history, running=running, last_retraining=last, now=now, policy=POLICY)


def test_two_drifted_windows_in_a_row_ask() -> None:
    decision = _ask([_window(0, False), _window(1, True), _window(2, True)])
    assert decision.retrain
    assert decision.reason.startswith("2 windows in a row drifted")


@pytest.mark.parametrize(
    ("history", "running", "last", "words"),
    [
        ([], False, None, "no drift has been measured"),
        ([_window(0, True), _window(1, True)], True, None, "a retraining is running"),
        ([_window(0, True)], False, None, "1 drifted in a row, 2 needed"),
        ([_window(0, True), _window(1, False)], False, None, "no drift in the newest window"),
        ([_window(0, True), _window(1, False), _window(2, True)], False, None, "1 drifted in a row"),
        ([_window(0, True, size=50), _window(1, True, size=50)], False, None, "too few samples: 50 sessions"),
        ([_window(0, True, enough=False)], False, None, "too few samples"),
        ([_window(0, True), _window(1, True)], False, _after(1), "no window has begun since"),
        ([_window(2, True), _window(3, True)], False, _after(1), "cool-down after the last retraining lasts until"),
    ],
)
def test_each_no_says_why(history: list[DriftSummary], running: bool, last: datetime | None, words: str) -> None:
    decision = _ask(history, running=running, last=last)
    assert not decision.retrain
    assert words in decision.reason


def test_drift_that_goes_on_under_the_new_model_asks_again_after_the_cool_down() -> None:
    history = [_window(day, True) for day in range(6)]
    assert _ask(history, last=_after(1)).retrain


def test_a_window_with_too_few_samples_is_passed_over() -> None:
    assert _ask([_window(0, True), _window(1, False, enough=False), _window(2, True)]).retrain


def test_a_window_checked_again_counts_once_with_its_last_verdict() -> None:
    assert not _ask([_window(0, True), _window(0, True)]).retrain
    assert not _ask([_window(0, True), _window(1, True), _window(1, False)]).retrain


days = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=40)


@given(days, st.integers(1, 4), st.integers(0, 6))
def test_requests_are_never_closer_than_the_cool_down_and_each_has_its_own_windows(
    story: list[tuple[bool, bool, bool]], in_a_row: int, cooldown: int
) -> None:
    policy = RetrainingPolicy(200, in_a_row, timedelta(days=cooldown))
    history: list[DriftSummary] = []
    requests: list[datetime] = []
    for day, (drifted, enough, running) in enumerate(story):
        history.append(_window(day, drifted, enough=enough))
        last = requests[-1] if requests else None
        decision = should_retrain(history, running=running, last_retraining=last, now=_after(day), policy=policy)
        assert decision.reason
        if decision.retrain:
            assert not running
            since = [w for w in history if w.enough and (last is None or w.window_start >= last)]
            assert len(since) >= in_a_row
            assert all(w.drifted for w in since[-in_a_row:])
            assert last is None or _after(day) - last >= policy.cooldown
            requests.append(_after(day))


@given(st.integers(1, 4), st.integers(2, 12), st.integers(1, 20))
def test_one_episode_that_the_new_model_ends_asks_exactly_once(in_a_row: int, before: int, after: int) -> None:
    policy = RetrainingPolicy(200, in_a_row, timedelta(days=3))
    history = [_window(day, False) for day in range(before)]
    last: datetime | None = None
    asked = 0
    for day in range(before, before + in_a_row + after):
        history.append(_window(day, drifted=last is None))
        if should_retrain(history, running=False, last_retraining=last, now=_after(day), policy=policy).retrain:
            asked += 1
            last = _after(day)
    assert asked == 1


def test_a_policy_of_no_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="windows_in_a_row"):
        RetrainingPolicy(windows_in_a_row=0)
