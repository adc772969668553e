"""Rules for every test: exactly one kind, and the public data only where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

KINDS = ("unit", "contract", "integration", "e2e", "model")
ROOT = Path(__file__).resolve().parent.parent

# How long an example takes is a matter of what else the machine does.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples in every run: what fails once fails again.
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True)
settings.load_profile("suite")


def pytest_sessionstart() -> None:
    if settings.get_current_profile_name() == "suite":
        # Hypothesis 6 also draws constants of our modules that are loaded, and which are depends on the tests before.
        providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wrong = [
        f"{item.nodeid}: has {sorted(found) or 'none'}"
        for item in items
        if len(found := {mark.name for mark in item.iter_markers()} & set(KINDS)) != 1
    ]
    if wrong:
        raise pytest.UsageError(f"each test takes exactly one marker of {KINDS}:\n" + "\n".join(wrong))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public data sets (`INTENT_DATA_DIR`, else `../shared/data`); skips where it is missing."""
    folder = Path(os.environ.get("INTENT_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"public data sets are not at {folder}; set INTENT_DATA_DIR")
    return folder
