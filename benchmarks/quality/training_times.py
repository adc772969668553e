"""Which results come from a training that had another time than `intent-tracking evaluate` gives itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from intent_tracking.evaluation.training_time import default_seconds

Result = Mapping[str, Any]

NOT_RECORDED = "not recorded"


def default_of(result: Result) -> float:
    """Seconds that `evaluate` gives itself on a CPU for the training texts of `result`."""
    return default_seconds(result["details"]["examples"]["train"])


def is_recorded(result: Result) -> bool:
    """Whether `result` says what it was given."""
    return "max_seconds" in result["details"]


def had_other_time(result: Result) -> bool:
    """Whether the training of `result` was given a time; one that does not say so tells by taking more than its own."""
    if is_recorded(result):
        return result["details"]["max_seconds"] is not None
    return bool(result["figures"]["training_seconds"] > default_of(result))


def other_times(results: Iterable[Result]) -> tuple[list[tuple[str, str, str, str]], int]:
    """What each set and variant was given, took and would have had, in seconds, where that was not its own time.

    Returns:
        Those rows, and how many trainings took no more than their own time and do not say what they were given.
    """
    trained = [result for result in results if "training_seconds" in result["figures"]]
    groups: dict[str, list[Result]] = {}
    for result in filter(had_other_time, trained):
        groups.setdefault(f"{result['set']}.{result['variant']}", []).append(result)
    rows = [
        (
            name,
            ", ".join(dict.fromkeys(_given(result) for result in group)),
            _span([result["figures"]["training_seconds"] for result in group]),
            _span([default_of(result) for result in group]),
        )
        for name, group in sorted(groups.items())
    ]
    return rows, sum(not is_recorded(result) and not had_other_time(result) for result in trained)


def _given(result: Result) -> str:
    return f"{result['details']['max_seconds']:,.0f}" if is_recorded(result) else NOT_RECORDED


def _span(seconds: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{value:,.0f}" for value in (min(seconds), max(seconds))))
