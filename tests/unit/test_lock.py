"""What the lock installs is at least what the known security holes of each package ask for."""

from pathlib import Path

import pytest
from packaging.version import Version

pytestmark = pytest.mark.unit

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
FLOORS = {
    "bentoml": "1.4.39",
    "feast": "0.67.0",
    "evidently": "0.7.23",
    "dagster": "1.13.1",
    "transformers": "5.10",
    "torch": "2.10",
    "starlette": "1.3.1",
    "python-multipart": "0.0.27",
    "litestar": "2.22",
}


@pytest.fixture(scope="module")
def locked() -> dict[str, Version]:
    lines = [line.partition(";")[0].strip() for line in LOCK.read_text("utf-8").splitlines()]
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {name.lower(): Version(version) for name, _, version in pins}


@pytest.mark.parametrize("name", FLOORS)
def test_the_lock_holds_no_version_below_its_security_floor(locked, name):
    assert locked[name] >= Version(FLOORS[name])
