"""`intent-tracking review list | decide`: the review queue at the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from intent_tracking.settings import Settings
    from intent_tracking.tables import DayTable

review_app = typer.Typer(help="What risk control asks people about.", no_args_is_help=True)

_HOME = typer.Option(help="Home directory (default: INTENT_HOME, else .intent).")


@contextmanager
def _errors_in_words(command: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"review {command}: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


def _opened(home: Path | None) -> tuple[Settings, DayTable]:
    from intent_tracking.applications.risk.review import RISK_SCORE_SCHEMA
    from intent_tracking.settings import load_settings
    from intent_tracking.tables import DayTable

    settings = load_settings()
    if home is not None:
        settings = settings.model_copy(update={"home": home.expanduser().resolve()})
    if not settings.home.is_dir():
        raise ValueError(f"there is no home {settings.home}: give another --home, or set INTENT_HOME")
    return settings, DayTable(settings.tables, "risk_scores", RISK_SCORE_SCHEMA)


@review_app.command("list")
def list_cases(
    state: Annotated[str, typer.Option(help="open, decided, expired, or all.")] = "open",
    language: Annotated[str, typer.Option(help="Language of the reasons: en, zh.")] = "en",
    limit: Annotated[int, typer.Option(min=1, help="Most cases to show.")] = 50,
    home: Annotated[Path | None, _HOME] = None,
) -> None:
    """Show the queue, one JSON object a line, the riskiest of the newest day first; the counts go to standard error."""
    import orjson

    from intent_tracking.applications.risk.policy import load_policy
    from intent_tracking.applications.risk.review import State, counted, queue, read_decisions, reasons_of
    from intent_tracking.applications.risk.wording import in_words, languages

    with _errors_in_words("list"):
        if state not in (*State, "all"):
            raise ValueError(f"--state {state!r} is not one of {', '.join(State)}, all")
        if language not in languages():
            raise ValueError(f"--language {language!r} is not one of {', '.join(languages())}")
        settings, scores = _opened(home)
        decisions = read_decisions(settings.annotations)
        policy = load_policy(settings.home)
        cases = queue(scores, scores.days(), decisions, policy.expire_days)
        shown = [case for case in cases if state in (case.state, "all")][:limit]
        for case in shown:
            words = in_words(reasons_of(case.row, policy), language)
            names = ("case_id", "kind", "session_id", "transaction_id", "score", "decision")
            fields = {name: case.row[name] for name in names} | {"day": case.day, "state": case.state, "reasons": words}
            typer.echo(orjson.dumps(fields | ({"outcome": case.outcome} if case.outcome else {})).decode())
        counts = counted(cases)
        said = ", ".join(f"{counts[each]} {each}" for each in State)
        typer.echo(f"{len(cases)} queued: {said}", err=True)
        if not scores.days():
            typer.echo(f"no day of {settings.home} is scored yet: materialize risk_scores", err=True)


@review_app.command("decide")
def decide_case(
    case: Annotated[str, typer.Argument(help="The case_id that `review list` shows.")],
    outcome: Annotated[str, typer.Argument(help="confirmed: it is what it looks like; dismissed: it is not.")],
    home: Annotated[Path | None, _HOME] = None,
) -> None:
    """Decide about one case. The decision is a label of the next `risk_model`; a later one counts instead."""
    from intent_tracking.applications.risk.policy import load_policy
    from intent_tracking.applications.risk.review import QUEUE_COLUMNS, Outcome, State, decide, queue, read_decisions

    with _errors_in_words("decide"):
        if outcome not in tuple(Outcome):
            raise ValueError(f"{outcome!r} is not one of {', '.join(Outcome)}")
        settings, scores = _opened(home)
        expire_days = load_policy(settings.home).expire_days
        cases = queue(scores, scores.days(), read_decisions(settings.annotations), expire_days, QUEUE_COLUMNS)
        was = next((each for each in cases if each.case_id == case), None)
        decision = decide(scores, settings.annotations, case, Outcome(outcome), datetime.now(UTC))
        typer.echo(f"{decision.case_id}: {decision.outcome}")
        if was is not None and was.state is State.EXPIRED:
            typer.echo(
                f"it is of {was.day} and had expired: {scores.days()[-1]}, the newest day that is scored, is more than "
                f"{expire_days} days later; the decision counts all the same",
                err=True,
            )
