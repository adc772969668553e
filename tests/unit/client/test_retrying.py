import pytest

from intent_tracking.client.errors import IntentClientError, NoAnswerError, ServiceError, UnexpectedAnswerError
from intent_tracking.client.retrying import Retry, Tries

pytestmark = pytest.mark.unit

AWAY = NoAnswerError("away")


def refusal(status: int, retry_after: float | None = None) -> ServiceError:
    return ServiceError(status, "code", "message", None, retry_after)


def test_pauses_double_up_to_a_limit() -> None:
    retry = Retry(first_seconds=1, most_seconds=5)
    assert [retry.pause(failures, AWAY, lambda: 1.0) for failures in (1, 2, 3, 4, 10_000)] == [1, 2, 4, 5, 5]


def test_pauses_are_drawn_between_nothing_and_their_length() -> None:
    retry = Retry(first_seconds=4)
    pauses = [retry.pause(1, AWAY) for _ in range(200)]
    assert min(pauses) < 1 < 3 < max(pauses) <= 4


def test_the_service_is_not_asked_before_the_time_it_names() -> None:
    assert Retry().pause(1, refusal(503, 7), lambda: 0.5) == 7
    assert Retry(first_seconds=10, most_seconds=10).pause(1, refusal(429, 2), lambda: 0.5) == 5


@pytest.mark.parametrize("error", [AWAY, *map(refusal, (429, 502, 503, 504))])
def test_what_passes_is_tried_as_often_as_allowed(error: IntentClientError) -> None:
    tries = Tries(Retry(attempts=3))
    assert tries.pause_after(error) >= 0
    assert tries.pause_after(error) >= 0
    with pytest.raises(type(error)):
        tries.pause_after(error)


@pytest.mark.parametrize("error", [UnexpectedAnswerError("html"), *map(refusal, (400, 401, 404, 413, 422, 500))])
def test_what_does_not_pass_is_raised_at_once(error: IntentClientError) -> None:
    with pytest.raises(type(error)):
        Tries(Retry()).pause_after(error)


def test_no_try_begins_after_the_time_is_over() -> None:
    now = 100.0
    tries = Tries(Retry(attempts=99, total_seconds=10), clock=lambda: now)
    assert tries.pause_after(refusal(503, 6)) == 6
    now = 106.0
    with pytest.raises(ServiceError):
        tries.pause_after(refusal(503, 6))


def test_times_and_counts_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        Retry(attempts=0)
