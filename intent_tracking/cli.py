"""The command line: `intent-tracking simulate | ingest | copy-events | evaluate | predict | explain | <group> ...`.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
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
        from intent_tracking.evaluation.evaluate import evaluate_command
        from intent_tracking.evaluation.training_time import cut_short
        from intent_tracking.modeling.encoder import configured_encoder

        task = bar.add_task("reading", total=None)
        lines = not quiet and not bar.console.is_terminal
        begun = 0

        def trained(progress: TrainingProgress) -> None:
            nonlocal begun
            # The pass of the newest step: the next one may never begin.
            of = max(1, -(-progress.step * progress.epochs // progress.steps))
            words = f"pass {of}/{progress.epochs}  loss {progress.loss:.3f}"
            bar.update(task, total=progress.steps, completed=progress.step, description=words)
            if lines and of != begun:
                # In the log of a job a bar shows nothing before it ends.
                begun = of
                typer.echo(f"evaluate: {words}  step {progress.step}/{progress.steps}", err=True)

        def read(progress: AdaptationProgress) -> None:
            nonlocal begun
            words = f"reading unlabelled texts  loss {progress.masked_loss:.3f}"
            bar.update(task, total=progress.steps, completed=progress.step, description=words)
            tenth = 10 * progress.step // progress.steps
            if lines and tenth != begun:
                begun = tenth
                typer.echo(f"evaluate: {words}  step {progress.step}/{progress.steps}", err=True)

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
    training, planned = found["training"], found["recipe"]["epochs"]
    if (short := cut_short(training)) is not None:
        typer.secho(f"evaluate: {short}", err=True, fg="yellow")
    oos, rejection, spans = found.get("out_of_scope_recall"), found["rejection"], found["details"]["spans"]
    typer.echo(
        f"accuracy {found['accuracy']:.4f}  macro-F1 {found['macro_f1']:.4f}"
        + (f"  key information F1 {spans['f1']:.4f}" if spans is not None else "")
        + (f"  out-of-scope recall {oos:.4f}" if oos is not None else "")
        + ("" if found["examples"]["dev"] else "  (too few texts a label to hold any back: not calibrated)")
        + ("" if rejection["counted"] else f"  (served, it rejects {rejection['rejected']:.1%}:")
        + ("" if rejection["counted"] else f" accuracy {rejection['accuracy']:.4f})")
        + (
            f"  (the time was over after {training['passes']:.1f} of {planned} passes)"
            if training["stopped"] == "time"
            else ""
        )
        + (
            f"  (time for {training['runs']} of {found['recipe']['runs']} trainings)"
            if training["runs"] < found["recipe"]["runs"]
            else ""
        )
        + (
            "  (the time to read unlabelled texts was over before all were read)"
            if (found["adaptation"] or {}).get("stopped") == "time"
            else ""
        )
        + f"  {found['seconds']:.0f} s  {found['tokens_per_second']:.0f} tokens/s  -> {report}"
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _texts(lines: Iterable[bytes], numbers: deque[int], not_utf8: list[int]) -> Iterator[str]:
    """Each line that holds more than blanks, its number into `numbers`; of others than UTF-8 into `not_utf8` alone."""
    from intent_tracking.text.cleaning import clean

    blank = number = 0
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8").removeprefix("\ufeff").strip()
        except UnicodeDecodeError:
            typer.echo(f"predict: line {number} is not UTF-8 and has no answer", err=True)
            not_utf8.append(number)
            continue
        if clean(text):
            numbers.append(number)
            yield text
        else:
            blank += 1
    if not number:
        typer.echo("predict: there is no line to answer", err=True)
    if blank:
        typer.echo(f"predict: {_count(blank, 'blank line has', 'blank lines have')} no answer", err=True)


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
        from intent_tracking.evaluation.predict import predict_command

        device = load_settings().device
        numbers, not_utf8 = deque[int](), list[int]()
        texts = _texts(lines, numbers, not_utf8)
        remark = partial(typer.secho, err=True, fg="yellow")
        for answer in predict_command(model, texts, scene=scene, device=device, top_k=top_k, remark=remark):
            typer.echo(orjson.dumps({"line": numbers.popleft(), **answer}).decode())
        if not_utf8:
            raise ValueError(
                f"{_count(len(not_utf8), 'line is', 'lines are')} not UTF-8, line {not_utf8[0]} is the first: "
                "save them as UTF-8"
            )


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
