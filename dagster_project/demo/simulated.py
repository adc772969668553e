"""The story of the demo: 30 days of logs, a model, a service, drift, one retraining, a refusal and a rollback."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import orjson

from dagster_project.demo.display import Display
from dagster_project.demo.platform import DemoError, Platform, failures, metadata_of
from dagster_project.demo.service import Callers, Service, running_service
from dagster_project.partitions import range_tags
from dagster_project.resources.tables import Tables
from intent_tracking.applications.marketing.audiences import TREATED
from intent_tracking.applications.marketing.consent import CONSENT_COLUMNS, CONSENT_FOLDER
from intent_tracking.events.simulator import AnnotationRates, SimulationConfig, simulate
from intent_tracking.settings import Settings
from intent_tracking.tables import atomic_write_text

LOG_DAYS = 30
SESSIONS_A_DAY = 250
LABELLED_MESSAGES = 0.6
CALM_DAYS = 3
DRIFT_DAYS = 9
TEXTS = [
    "Hello, where is my order SO004799759? It should be here by now.",
    "这双鞋有42码的吗，想买两双",
    "which of the two jackets is warmer?",
    "退货怎么弄，衣服太小了",
]
# What a shop would write for its customers, and what they ask.
FAQ = """# Gift cards

## How long is a gift card valid?

A gift card can be used for three years from the day it was bought, in any number of orders.

## Do you wrap presents?

Yes: choose gift wrapping in the cart. It costs 3 dollars for each parcel, and a card with your words is included.
"""
QUESTIONS = ["Hello, where is my order SO004799759?", "How long is a gift card valid?"]
BULK_ORDER = {"value": 9_800.0, "currency": "USD", "items": [{"item_id": "P00001", "price": 490.0, "quantity": 20}]}
# What is trained in minutes on two cores; in production the defaults hold.
FIRST_TRAINING = {"max_seconds": 120.0}
RETRAINING = {"max_seconds": 100.0}
HELD_OUT = {"validation_days": 2, "test_days": 2}
RECENT = {"window_days": 14}


@dataclass
class Story:
    """Carries what the closing tables tell."""

    platform: Platform
    display: Display
    config: SimulationConfig
    arrivals: Path
    sent: dict[str, int] = field(default_factory=dict)
    ticks: list[tuple[date, str]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """Of the demo's home."""
        return self.platform.settings

    def day(self, number: int) -> date:
        """Date of a day counted from the opening of the shop."""
        return self.config.date_of(number)

    def logs_to_model(self) -> None:
        """Simulate the past, bring it in, train, gate, package, release."""
        with self.display.step(f"Simulate {LOG_DAYS} days of a bilingual shop"):
            report = simulate(self.config, self.settings.home)
            self.display.say(f"{report.lines:,} log lines, {report.annotations:,} labels by the support desk")
        span = range_tags(self.day(0), self.day(LOG_DAYS - 1))
        with self.display.step("Logs -> validated events -> sessions -> texts"):
            self.platform.run("ingest_job", tags=span)
        with self.display.step("User and item features, Feast online store, parity check"):
            self.platform.run("features_job", tags=span)
        with self.display.step("Training set, fine-tuning, evaluation, gate, Bento, release"):
            try:
                self.platform.run("retrain_job", ops={"training_examples": HELD_OUT, "intent_model": FIRST_TRAINING})
            except DemoError as error:
                raise DemoError(
                    f"{error}. The first training has {FIRST_TRAINING['max_seconds']:.0f} s of the clock: a machine "
                    "that does other work learns too little in them; run the demo again when it is idle"
                ) from error
            self._say_model(self.platform.live_model)

    def _say_model(self, version: str) -> None:
        report = self.platform.evaluation(version)
        self.display.say(
            f"model {version}: accuracy {report['accuracy']['value']:.3f}, macro-F1 {report['macro_f1']['value']:.3f} "
            f"on {report['count']} held-out examples"
        )

    def ask(self, service: Service) -> None:
        """Real HTTP calls in both languages."""
        answer = service.call("/v1/intent", {"texts": TEXTS, "scene": "customer_service"})
        for text, prediction in zip(TEXTS, answer["predictions"], strict=True):
            best = prediction["intents"][0]
            found = ", ".join(f"{k['name']}={k['value']}" for k in prediction["key_information"])
            self.display.say(f"{text}  ->  [bold]{best['name']}[/] {best['probability']:.2f}  {found}")

    def live_day(self, service: Service, number: int) -> dg.RunRequest | str:
        """One day of the platform: events by API, then the schedules, then the sensor, whose word is returned."""
        day = self.day(number)
        arrived = self.arrivals / "landing" / "simulator" / f"{day}.jsonl"
        events = [orjson.loads(line) for line in _json_lines(arrived)]
        for name, count in service.track(events).items():
            self.sent[name] = self.sent.get(name, 0) + count
        labels = self.arrivals / "annotations" / f"{day}.jsonl"
        labels.replace(self.settings.annotations / labels.name)
        self.platform.schedule("daily_ingestion", day)
        self.platform.schedule("daily_features", day)
        self.platform.schedule("daily_drift_check", day)
        said = self.platform.ask_drift_sensor()
        words = "asks for a retraining" if isinstance(said, dg.RunRequest) else in_short(said)
        self.ticks.append((day, words))
        self.display.say(f"{day}  sensor: {words}")
        return said

    def calm_then_drift(self, service: Service) -> dg.RunRequest:
        """Live days without drift, which must ask for nothing, then days with it, which must ask once.

        Raises:
            DemoError: a retraining was asked for without drift, or none with it.
        """
        total = CALM_DAYS + DRIFT_DAYS
        with self.display.step(f"Simulate {CALM_DAYS} calm days and {DRIFT_DAYS} that drift"):
            simulate(self.config.continued(total, drift_from=LOG_DAYS + CALM_DAYS), self.arrivals)
        with self.display.step(f"{CALM_DAYS} calm days by API; daily schedules and drift check"):
            for number in range(LOG_DAYS, LOG_DAYS + CALM_DAYS):
                if isinstance(self.live_day(service, number), dg.RunRequest):
                    raise DemoError("a retraining was asked for although nothing drifted")
        self.applications(service, LOG_DAYS + CALM_DAYS - 1)
        with self.display.step("Drifting days by API: new products, new words, a new intent"):
            for number in range(LOG_DAYS + CALM_DAYS, LOG_DAYS + total):
                asked = self.live_day(service, number)
                if isinstance(asked, dg.RunRequest):
                    return asked
        raise DemoError(f"{DRIFT_DAYS} drifting days passed and no retraining was asked for")

    def applications(self, service: Service, number: int) -> None:
        """What stands on the intents: learned on the morning after a day, then asked over HTTP about one shopper."""
        with self.display.step("Five applications: what to show, answer, offer, think of a shopper, look into"):
            atomic_write_text(self.settings.home / "answers" / "faq.md", FAQ)
            arrived = self.arrivals / "landing" / "simulator" / f"{self.day(number)}.jsonl"
            users = list(filter(None, (orjson.loads(line).get("user_id") for line in _json_lines(arrived))))
            self._consent(users[::2])
            self.platform.schedule("daily_applications", self.day(number))
            user = users[0]
            shown = service.call("/v1/recommend", {"user_id": user, "k": 3})
            for item in shown["items"]:
                self.display.say(f"recommend ({shown['strategy']})  {item['item_id']}: {item['reason']}")
            for question in QUESTIONS:
                answer = service.call("/v1/answer", {"question": question, "k": 1})
                self.display.say(f"{question}  ->  [bold]{answer['source']}[/] {answer['answer']}")
            profile = service.call("/v1/profile", {"user_id": user})
            self.display.say(f"profile  {profile['segment']}: {', '.join(profile['traits'])}")
            risk = service.call("/v1/risk", {"user_id": user, "transaction": BULK_ORDER})
            self.display.say(f"risk  {risk['decision']} {risk['score']:.2f}: {'; '.join(risk['reasons'])}")
            drawn = Tables(self.settings.tables).audiences.read([self.day(number)]).to_pylist()
            sizes = Counter(row["audience"] for row in drawn)
            written = sum(row["held_back"] is None and row["group"] == TREATED for row in drawn)
            named = ", ".join(f"{name} {size}" for name, size in sizes.most_common())
            self.display.say(f"audiences  {named}; {written} have consented and are written to")
            report = self.settings.applications / "insights" / self.day(number).isoformat() / "report.html"
            self.display.say(f"insights  {report}")

    def _consent(self, users: list[str]) -> None:
        """Land a consent to mail of each of `users`, as a shop does; nobody else is written to."""
        given = f"{self.day(0)}T00:00:00Z"
        lines = [",".join(CONSENT_COLUMNS), *(f"{user},email,{given}," for user in sorted(set(users)))]
        atomic_write_text(self.settings.marketing / CONSENT_FOLDER / "mail.csv", "\n".join(lines) + "\n")

    def retrain(self, service: Service, request: dg.RunRequest) -> tuple[str, str, Callers]:
        """The one retraining, with callers at the service all the while; versions before and after."""
        before = self.platform.live_model
        with (
            self.display.step("The retraining that the sensor asked for; the service keeps answering"),
            Callers(service, TEXTS) as callers,
        ):
            self.platform.run(
                "retrain_job",
                tags=request.tags,
                ops={"training_examples": {**HELD_OUT, **RECENT}, "intent_model": RETRAINING},
            )
            after = self.platform.live_model
            service.wait_for_model(after)
        if after == before:
            raise DemoError("the challenger was trained and did not go live")
        self._say_model(after)
        for reason in self.platform.evaluation(after)["decision"]["reasons"]:
            self.display.say(reason)
        self.display.say(f"{callers.answers.total()} requests during it, {len(callers.failures)} failed")
        if callers.failures:
            raise DemoError(f"requests were lost during the switch, the first: {callers.failures[0]}")
        said = self.platform.ask_drift_sensor()
        if isinstance(said, dg.RunRequest):
            raise DemoError("one episode of drift asked for two retrainings")
        self.display.say(f"sensor afterwards: {in_short(said)}")
        return before, after, callers

    def refuse_a_bad_challenger(self) -> list[str]:
        """A challenger from scratch with seconds of training; what the gate said."""
        live = self.platform.live_model
        with self.display.step("A bad challenger: trained from scratch for seconds"):
            result = self.platform.run(
                "retrain_job",
                ops={
                    "training_examples": {**HELD_OUT, **RECENT},
                    "tokenized_sessions": {"from_champion": False},
                    "intent_model": {"max_seconds": 3.0, "seed": 1},
                },
                may_fail=True,
            )
            said = failures(result)
            if result.success or self.platform.live_model != live:
                raise DemoError("a bad challenger went live")
            for line in said:
                self.display.say(line)
            version = metadata_of(result, "intent_model")["model_version"]
            for reason in self.platform.evaluation(version)["decision"]["reasons"]:
                self.display.say(reason)
        return said

    def roll_back_and_forth(self, service: Service) -> None:
        """The release before, live again; then the newer one again."""
        newer = self.platform.release()
        with self.display.step("Rollback, and back again"):
            self.platform.run("rollback_job", ops={"roll_back": {"reason": "the demo shows the way back"}})
            service.wait_for_model(self.platform.live_model)
            self.display.say(f"release {self.platform.release().number}: {self.platform.live_model} serves")
            self.platform.run("rollback_job", ops={"roll_back": {"reason": "the demo is over", "to": newer.number}})
            service.wait_for_model(self.platform.live_model)
            self.display.say(f"release {self.platform.release().number}: {self.platform.live_model} serves")

    def tell(self, before: str, after: str, callers: Callers) -> None:
        """The closing tables."""
        tables = Tables(self.settings.tables)
        days = tables.raw_events.days()
        read = _records(tables.raw_events.read(days, columns=["record_count"]))
        kept = _records(tables.validated_events.read(days, columns=["record_count"]))
        quarantined = _records(tables.quarantined_events.read(days, columns=["record_count"]))
        self.display.table(
            "Records",
            ["", "count"],
            [
                ["read", f"{read:,}"],
                ["accepted", f"{kept:,}"],
                ["duplicates", f"{read - kept - quarantined:,}"],
                ["quarantined, each with its reason", f"{quarantined:,}"],
                ["of these by API: accepted", f"{self.sent.get('accepted', 0):,}"],
                ["sent to the API and rejected with a reason", f"{self.sent.get('rejected', 0):,}"],
            ],
        )
        self.display.table("The sensor's mornings", ["day", "what it said"], [[f"{d}", said] for d, said in self.ticks])
        decision = self.platform.evaluation(after)["decision"]
        figures = decision["figures"]
        self.display.table(
            "On the newest held-out days, after the drift",
            ["figure", f"champion {before}", f"challenger {after}"],
            [
                ["macro-F1", figures["champion_macro_f1"], figures["challenger_macro_f1"]],
                ["expected calibration error", "", figures["ece"]],
                ["behavioural tests passed", "", figures["behaviour_pass_rate"]],
            ],
        )
        self.display.say(f"serving: {self.platform.live_model} (release {self.platform.release().number})")
        self.display.say(f"requests while it was switched: {callers.answers.total()}, lost: {len(callers.failures)}")


def in_short(said: str) -> str:
    """What a person must know of a SkipReason; the whole of it stands in the tick."""
    parts = [part.strip() for part in said.split(";")]
    waits = [part for part in parts if part.startswith("the retraining waits")]
    return "; ".join([parts[0], *waits])


def _json_lines(path: Path) -> list[bytes]:
    """Lines that a shop's tracker could have sent: the malformed ones of the log stay behind."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            value: Any = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(line)
    return found


def _records(table: Any) -> int:
    return int(sum(table["record_count"].to_pylist()))


def run_simulated(settings: Settings, display: Display, port: int) -> None:
    """The whole story on a simulated shop, in the empty home of `settings`."""
    config = SimulationConfig(
        days=LOG_DAYS, sessions_per_day=SESSIONS_A_DAY, annotation=AnnotationRates(messages=LABELLED_MESSAGES)
    )
    story = Story(Platform(settings), display, config, settings.home / "arrivals")
    story.logs_to_model()
    with ExitStack() as running:
        with display.step("Start the service"):
            log = settings.home / "logs" / "service.log"
            service = running.enter_context(running_service(settings.home, log, port))
        with display.step("Ask it over HTTP"):
            story.ask(service)
        request = story.calm_then_drift(service)
        before, after, callers = story.retrain(service, request)
        with display.step("Ask it again"):
            story.ask(service)
        story.refuse_a_bad_challenger()
        story.roll_back_and_forth(service)
    story.tell(before, after, callers)
