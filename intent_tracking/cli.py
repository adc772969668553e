"""The command line: `intent-tracking simulate | ingest | copy-events | evaluate | predict | explain | <group> ...`.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from intent_tracking.access.commands import keys_app
from intent_tracking.applications.risk.commands import review_app
from intent_tracking.datasets.commands import datasets_app
from intent_tracking.events.simulator.commands import simulate_command

if TYPE_CHECKING:
    from intent_tracking.modeling.adaptation import AdaptationProgress
    from intent_tracking.modeling.training_result import Progress as TrainingProgress

app = typer.Typer(
    name="intent-tracking",
    help="Know what each shopper wants while the shopper is still there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command("simulate")(simulate_command)
app.add_typer(datasets_app, name="datasets")
app.add_typer(keys_app, name="keys")
app.add_typer(review_app, name="review")


def _print_version(asked: bool) -> None:
    if asked:
        from intent_tracking import __version__

        typer.echo(f"intent-tracking {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Know what each shopper wants while the shopper is still there."""


@contextmanager
def _errors_in_words(command: str) -> Iterator[None]:
    """Mistakes of the caller end the command with their message and status 2, without a traceback."""
    from intent_tracking.artifact import ArtifactError
    from intent_tracking.modeling.encoder import EncoderError
    from intent_tracking.modeling.processes import WorkerFinished

    try:
        yield
    except WorkerFinished as finished:
        raise typer.Exit(0) from finished
    except (ValueError, ArtifactError, EncoderError, OSError) as error:
        typer.secho(f"{command}: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


@app.command("ingest")
def ingest(
    files: Annotated[list[Path], typer.Argument(help="Log files: JSON lines, CSV or Parquet.", exists=True)],
    source: Annotated[str, typer.Option(help="Name of the log source: its folder under landing/.")],
    adapter: Annotated[
        Literal["native", "segment", "ga4", "snowplow", "columns"], typer.Option(help="Format of the files.")
    ] = "native",
    mapping: Annotated[
        str | None, typer.Option(help="With `columns`: a mapping YAML, or the name of a shipped one.")
    ] = None,
    received: Annotated[
        Literal["file_date", "event_time", "field"],
        typer.Option(help="When records arrived: the date in the file name, their event time (archives), their field."),
    ] = "file_date",
    home: Annotated[Path | None, typer.Option(help="Home directory (default: INTENT_HOME, else .intent).")] = None,
) -> None:
    """Land log files and write `raw_events` of the days that they touch."""
    from intent_tracking.events.commands import ingest_command
    from intent_tracking.settings import load_settings

    with _errors_in_words("ingest"):
        if mapping is None and adapter == "columns":
            raise ValueError("--adapter columns needs --mapping: a mapping YAML, or the name of a shipped one")
        if mapping is not None and adapter != "columns":
            raise ValueError(f"--mapping goes with --adapter columns; --adapter {adapter} knows its format")
        settings = load_settings()
        ingest_command(
            files,
            home=(home or settings.home).resolve(),
            first_day=settings.first_day,
            source=source,
            adapter=adapter,
            mapping=mapping,
            received=received,
        )


@app.command("copy-events")
def copy_events(
    home: Annotated[Path | None, typer.Option(help="Home directory (default: INTENT_HOME, else .intent).")] = None,
) -> None:
    """Copy the event log's Kafka topic into segments, from where the last copy ended. `raw_events` does it, too."""
    from intent_tracking.settings import load_settings

    with _errors_in_words("copy-events"):
        settings = load_settings()
        if settings.event_log_kafka is None:
            raise ValueError("INTENT_EVENT_LOG_KAFKA is not set: the event log is files already")
        from intent_tracking.events.kafka_log import copy_topic
        from intent_tracking.tombstones import Erasures

        folder = (home or settings.home).resolve()
        root = folder / "event_log"
        copied = copy_topic(settings.event_log_kafka.get_secret_value(), root, Erasures(folder))
        typer.echo(
            f"{copied.messages:,} messages copied into {len(copied.segments)} segments of {root}, "
            f"{copied.erased:,} left out as erased"
        )


@app.command("evaluate")
def evaluate(
    train: Annotated[Path, typer.Option(help="CSV with the columns text,intent; optional scene,language,slots.")],
    test: Annotated[Path, typer.Option(help="CSV of the same form, to score on.")],
    report: Annotated[Path, typer.Option(help="JSON file to write; pictures go into a folder beside it.")],
    dev: Annotated[Path | None, typer.Option(help="CSV of the same form, to choose and calibrate on.")] = None,
    base_encoder: Annotated[
        str | None, typer.Option(help="Hub id or local path (default: INTENT_BASE_ENCODER, else the packaged MiniLM).")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder to keep the trained model in: new, or of a model.")] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            help="Texts, one a line, that the encoder reads first, unlabelled: 20,000 at most, drawn by hash.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Artifact to distil into a smaller model; it labels all of --unlabelled.", exists=True),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="With --teacher: layers of the smaller model (default: half).")
    ] = None,
    augment: Annotated[
        int, typer.Option(min=0, help="How often each training text is written anew, to be learned beside it.")
    ] = 0,
    edits: Annotated[
        str | None,
        typer.Option(
            help="With --augment: by which edits, such as word_drop,code_switch,character_noise (see docs/model.md)."
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Training time to stay within; start, export and report come on top (default on a CPU: 8 minutes, "
            "more for over 10,000 texts or long ones, and as much again for --unlabelled).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Fine-tune on labelled text, score on other labelled text, write figures and pictures."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from intent_tracking.modeling.processes import speaks
    from intent_tracking.settings import load_settings

    with _errors_in_words("evaluate"):
        settings = load_settings()
    quiet = quiet or not speaks()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with (
        _errors_in_words("evaluate"),
        Progress(*columns, console=Console(stderr=True), disable=quiet) as bar,
    ):
        from intent_tracking.evaluation.evaluate import evaluate_command, summary
        from intent_tracking.evaluation.training_time import cut_short
        from intent_tracking.modeling.encoder import configured_encoder

        task = bar.add_task("reading", total=None)
        lines = not quiet and not bar.console.is_terminal
        begun = ""

        def show(part: str, loss: float, step: int, steps: int) -> None:
            nonlocal begun
            words = f"{part}  loss {loss:.3f}"
            bar.update(task, total=steps, completed=step, description=words)
            if lines and part != begun:
                # In the log of a job a bar shows nothing before it ends.
                begun = part
                typer.echo(f"evaluate: {words}  step {step}/{steps}", err=True)

        def trained(progress: TrainingProgress) -> None:
            # The pass of the newest step: the next one may never begin.
            of = max(1, -(-progress.step * progress.epochs // progress.steps))
            show(f"pass {of}/{progress.epochs}", progress.loss, progress.step, progress.steps)

        def read(progress: AdaptationProgress) -> None:
            tenths = 10 * progress.step // progress.steps
            show(f"reading unlabelled texts, {tenths}/10", progress.masked_loss, progress.step, progress.steps)

        def remark(words: str) -> None:
            bar.console.print(words, style="yellow", markup=False, highlight=False, soft_wrap=True)

        if teacher is not None and base_encoder is not None:
            raise ValueError("--base-encoder: a student stands on its teacher's encoder; leave one of the two out")
        found = evaluate_command(
            train,
            test,
            dev,
            report,
            base_encoder=base_encoder or configured_encoder(settings),
            seed=seed,
            device=settings.device,
            max_seconds=max_seconds,
            model_dir=model,
            unlabelled=unlabelled,
            augment=augment,
            edits=() if edits is None else [name.strip() for name in edits.split(",")],
            teacher=teacher,
            layers=layers,
            progress=trained,
            reading=read,
            remark=remark,
        )
    if (short := cut_short(found["training"])) is not None:
        typer.secho(f"evaluate: {short}", err=True, fg="yellow")
    typer.echo(f"{summary(found)}  -> {report}")


@app.command("predict")
def predict(
    model: Annotated[Path, typer.Option(help="Folder of a model artifact.", exists=True, file_okay=False)],
    file: Annotated[
        Path | None, typer.Option(help="Texts, one a line (default: standard input).", exists=True, dir_okay=False)
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option(
            help="search, browse, cart ... or a scene that the model learned (default: customer_service, or the one "
            "scene that it learned)."
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Intents to list for each text.")] = 5,
) -> None:
    """Read texts, one a line, and write one JSON object a line, with the `line` that it answers.

    A blank line has no answer. A line that is not UTF-8 is named, and the status is then 2; all others are answered.
    """
    import orjson

    from intent_tracking.settings import load_settings

    with _errors_in_words("predict"), file.open("rb") if file else sys.stdin.buffer as lines:
        from intent_tracking.evaluation.predict import predict_lines

        def remark(words: str) -> None:
            typer.secho(f"predict: {words}", err=True, fg="yellow")

        device = load_settings().device
        for answer in predict_lines(model, lines, scene=scene, device=device, top_k=top_k, remark=remark):
            typer.echo(orjson.dumps(answer).decode())


@app.command("explain")
def explain(
    model: Annotated[Path, typer.Option(help="Folder of a model artifact.", exists=True, file_okay=False)],
    text: Annotated[str, typer.Option(help="What the shopper wrote.")],
    scene: Annotated[
        str | None,
        typer.Option(
            help="search, browse, cart ... or a scene that the model learned (default: customer_service, or the one "
            "scene that it learned)."
        ),
    ] = None,
    intent: Annotated[
        str | None, typer.Option(help="The intent to explain, one of a set (default: the most probable).")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the marked text to this HTML file.", dir_okay=False)] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write the marked text to this PNG file.", dir_okay=False)
    ] = None,
) -> None:
    """Say which words of a text speak for its intent, and which against it, as one JSON object."""
    import orjson

    from intent_tracking.settings import load_settings
    from intent_tracking.text.cleaning import clean

    with _errors_in_words("explain"):
        if not clean(text):
            raise ValueError("--text is empty: give what the shopper wrote")
        from intent_tracking.evaluation.explanations import explain_command

        answer = explain_command(
            model, text, scene=scene, intent=intent, html=html, picture=picture, device=load_settings().device
        )
        typer.echo(orjson.dumps(answer).decode())


@app.command("answer")
def answer(
    question: Annotated[str, typer.Argument(help="What the shopper asks.")],
    k: Annotated[int, typer.Option(min=1, max=20, help="How many passages to show.")] = 3,
) -> None:
    """Say what the desk answers by the live release, as one JSON object; nothing is handed over."""
    import orjson

    from intent_tracking.settings import load_settings

    with _errors_in_words("answer"):
        from intent_tracking.applications.customer_service.commands import answer_command

        typer.echo(orjson.dumps(answer_command(question, k, load_settings())).decode())


@app.command("handovers")
def handovers() -> None:
    """List the conversations that a person has to take over, one JSON object a line."""
    import orjson

    from intent_tracking.settings import load_settings

    with _errors_in_words("handovers"):
        from intent_tracking.applications.customer_service.commands import handovers_command

        for handover in handovers_command(load_settings()):
            typer.echo(orjson.dumps(handover).decode())


def main() -> None:
    """Entry point of the console script."""
    # Threads that spin while they wait make training several times slower when anything else runs; torch reads this
    # when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app()


if __name__ == "__main__":
    main()
