"""The orchestration believes a deployment when the service reports it, and not before."""

import itertools

import pytest

from dagster_project.resources.service import IntentService, ReleaseRefusedError, ServiceError
from tests.fakes.release_server import release_server

pytestmark = pytest.mark.unit


def release(number, refused=None):
    return 200, {"number": number, "model_version": f"v{number}", "refused": refused}


def test_where_nothing_listens_there_is_nothing_to_wait_for():
    assert IntentService("http://127.0.0.1:9").wait_for(1, timeout_seconds=0.1) is None


def test_it_waits_until_the_service_has_switched():
    answers = itertools.chain([release(1), release(1)], itertools.repeat(release(2)))
    with release_server(lambda: next(answers)) as address:
        served = IntentService(address).wait_for(2, timeout_seconds=60)
    assert (served.number, served.model_version) == (2, "v2")


def test_a_service_without_a_model_is_waited_for():
    answers = itertools.chain([(503, {"error": {}})], itertools.repeat(release(1)))
    with release_server(lambda: next(answers)) as address:
        assert IntentService(address).wait_for(1, timeout_seconds=60).number == 1


def test_a_service_that_does_not_switch_in_time_fails_with_the_way_back():
    with (
        release_server(lambda: release(1)) as address,
        pytest.raises(ServiceError, match=r"serves release 1 \(v1\).*not release 2.*rollback_job"),
    ):
        IntentService(address).wait_for(2, timeout_seconds=0.1)


def test_a_refused_release_is_told_at_once():
    refused = release(1, refused="release 2: golden request 3 is answered otherwise")
    with (
        release_server(lambda: refused) as address,
        pytest.raises(ReleaseRefusedError, match="golden request 3"),
    ):
        IntentService(address).wait_for(2, timeout_seconds=60)


def test_an_older_refusal_is_not_taken_for_this_release():
    answers = itertools.chain([release(1, refused="release 2: damaged")], itertools.repeat(release(3)))
    with release_server(lambda: next(answers)) as address:
        assert IntentService(address).wait_for(3, timeout_seconds=60).number == 3


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {"hello": 1}), (404, {}), (401, {})])
def test_another_server_at_the_address_is_named_with_the_setting_to_mend(answer):
    with release_server(lambda: answer) as address, pytest.raises(ServiceError, match="INTENT_SERVICE_URL"):
        IntentService(address).served_release()


def test_an_address_that_is_no_http_address_is_refused():
    with pytest.raises(ServiceError, match="INTENT_SERVICE_URL"):
        IntentService("file:///etc/passwd").served_release()
