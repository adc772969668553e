"""The same graph on real input: the orders of a web shop, day by day, and the labelled utterances of a support desk."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, time
from pathlib import Path

import orjson
import pyarrow.compute as pc

from dagster_project.demo.display import Display
from dagster_project.demo.platform import DemoError, Platform, metadata_of
from dagster_project.demo.service import running_service
from dagster_project.partitions import range_tags
from dagster_project.resources.tables import Tables
from intent_tracking.events.landing import land
from intent_tracking.settings import Settings

ORDERS = Path("online_retail") / "by-day"
UTTERANCES = Path("bitext_intents")
TEXTS = [
    "I ordered twice by mistake, please cancel order 74551",
    "how long until the parcel gets to Leeds?",
    "i want to speak to a human",
    "can i pay with paypal",
]


def _utterances(folder: Path, day: date) -> Iterator[dict[str, object]]:
    """The labelled utterances as annotation records, given on `day`."""
    moment = datetime.combine(day, time(), tzinfo=UTC).isoformat()
    for name in ("train", "dev", "test"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                slots = (
                    [{"name": row["entity_type"], "start": int(row["start_offset"]), "end": int(row["end_offset"])}]
                    if row["entity_type"]
                    else []
                )
                yield {
                    "text": row["utterance"],
                    "intent": row["intent"],
                    "language": "en",
                    "scene": "customer_service",
                    "slots": slots,
                    "annotated_at": moment,
                }


def run_real(settings: Settings, display: Display, port: int, data: Path) -> None:
    """Raw daily files to a served model.

    Raises:
        DemoError: `data` does not hold the sets, or a step failed.
    """
    files = sorted((data / ORDERS).glob("*.csv"))
    if not files or not (data / UTTERANCES / "train.csv").is_file():
        raise DemoError(f"{data} holds no {ORDERS}/*.csv or no {UTTERANCES}/train.csv")
    first, last = date.fromisoformat(files[0].stem), date.fromisoformat(files[-1].stem)
    settings = settings.model_copy(update={"first_day": first})
    platform, span = Platform(settings), range_tags(first, last)

    with display.step(f"Land {len(files)} daily files of orders and the labelled utterances of a support desk"):
        land(files, "online_retail", "columns", home=settings.home, mapping="online_retail")
        settings.annotations.mkdir(parents=True)
        records = [orjson.dumps(record) for record in _utterances(data / UTTERANCES, first)]
        (settings.annotations / f"{first}.jsonl").write_bytes(b"\n".join(records) + b"\n")
        display.say(f"{len(records):,} utterances")
    with display.step("Order lines -> validated events -> sessions -> texts"):
        ingested = platform.run("ingest_job", tags=span)
        conserved = next(c for c in ingested.get_asset_check_evaluations() if c.check_name.endswith("_conserved"))
        counted = {name: value.value for name, value in conserved.metadata.items()}
    with display.step("User and item features, Feast online store, parity check"):
        platform.run("features_job", tags=span)
    with display.step("Training set, fine-tuning, evaluation, gate, Bento, release"):
        trained = platform.run(
            "retrain_job",
            ops={
                "training_examples": {"window_days": 30, "validation_days": 7, "test_days": 7},
                "intent_model": {"max_seconds": 240.0},
            },
        )
    version = platform.live_model
    with ExitStack() as running:
        with display.step("Start the service and ask it over HTTP"):
            log = settings.home / "logs" / "service.log"
            service = running.enter_context(running_service(settings.home, log, port))
            answer = service.call("/v1/intent", {"texts": TEXTS, "scene": "customer_service"})
        for text, prediction in zip(TEXTS, answer["predictions"], strict=True):
            best = prediction["intents"][0]
            found = ", ".join(f"{k['name']}={k['value']}" for k in prediction["key_information"])
            display.say(f"{text}  ->  [bold]{best['name']}[/] {best['probability']:.2f}  {found}")

    quarantined = Tables(settings.tables).quarantined_events
    reasons = pc.value_counts(quarantined.read(quarantined.days())["reason"]).to_pylist()
    display.table(
        "Order lines",
        ["", "count"],
        [[name, f"{counted[name]:,}"] for name in ("read", "accepted", "duplicate", "quarantined")]
        + [[f"refused: {row['values']}", f"{row['counts']:,}"] for row in sorted(reasons, key=lambda r: -r["counts"])],
    )
    report = platform.evaluation(version)
    display.table(
        f"Model {version} on {report['count']} held-out examples",
        ["figure", "value"],
        [
            ["accuracy", report["accuracy"]["value"]],
            ["macro-F1", report["macro_f1"]["value"]],
            ["examples trained on", str(metadata_of(trained, "training_examples").get("by_split", "-"))],
        ],
    )
    display.say(
        "Bitext's utterances are made from templates: this figure shows that the graph works, not how good it is"
    )
