from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from intent_tracking.client import operations
from intent_tracking.client.errors import ServiceError

pytestmark = pytest.mark.unit


def failure(status: int, content: bytes = b"", **headers: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        operations.read_answer(operations.release(), status, headers, content)
    return caught.value


def test_the_one_error_shape_is_read() -> None:
    error = failure(422, b'{"error": {"code": "invalid_request", "message": "empty", "field": "texts"}}')
    assert (error.status, error.code, error.message, error.field) == (422, "invalid_request", "empty", "texts")
    assert str(error) == "422 invalid_request: empty (field texts)"


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"error": "text"}', b'{"detail": []}'])
def test_an_error_of_a_proxy_has_a_code_too(content: bytes) -> None:
    error = failure(502, content)
    assert (error.code, error.message) == ("http_502", "Bad Gateway, in no form of the service")
    assert failure(599, content).code == "http_599"


def test_retry_after_is_read_in_both_forms() -> None:
    assert failure(503, **{"retry-after": "7"}).retry_after == 7
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < (failure(503, **{"retry-after": later}).retry_after or 0) <= 60
    assert failure(503, **{"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}).retry_after == 0
    assert failure(503, **{"retry-after": "soon"}).retry_after is None
    # More than a thread can wait for, which ended the one that asked.
    for beyond in ("9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert failure(503, **{"retry-after": beyond}).retry_after == operations.MOST_SECONDS
    assert failure(503).retry_after is None
