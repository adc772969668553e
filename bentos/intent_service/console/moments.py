"""What the console shows of one answer to `/v1/track`, and the thread that puts it on the feed."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from bentos.intent_service.actions import ACTION_PROBABILITY
from bentos.intent_service.schemas import Intent, KeyInformation, SessionAnswer
from bentos.intent_service.tracking import Touched
from intent_tracking.events.contract import EventName, Scene
from intent_tracking.inference import ModelInput
from intent_tracking.sessions.feed import Moment, SessionFeed
from intent_tracking.sessions.vocabulary import AGAIN_TOKEN, EVENT_TOKENS, GAP_TOKENS, PRICE_TOKENS
from intent_tracking.tombstones import Tombstones

logger = logging.getLogger(__name__)

# More in one flush than a person can follow is counted and not shown, so that load pays next to nothing for the page.
MAX_WAITING: Final = 100
FLUSH_SECONDS: Final = 0.25
FORGET_SECONDS: Final = 5.0
MAX_STEPS: Final = 12
MAX_STEP_CHARACTERS: Final = 80

_EVENT_OF_TOKEN = {token: name for name, token in EVENT_TOKENS.items()}
_EVENT = re.compile("(" + "|".join(map(re.escape, EVENT_TOKENS.values())) + ")")
_UNSAID = re.compile("|".join(map(re.escape, (*GAP_TOKENS, *PRICE_TOKENS, AGAIN_TOKEN))))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Record):
    """One event of a session, with its words as the model read them."""

    event: EventName
    words: str


class SessionMoment(_Record):
    """A session at the moment of one answer; offsets of `key_information` count in `utterance`.

    `clear`: the first of `intents` is probable enough to be acted on.
    """

    at: AwareDatetime
    session_id: str
    scene: Scene
    language: str
    utterance: str
    steps: list[Step]
    event_count: int
    intents: list[Intent]
    out_of_scope: bool
    clear: bool
    key_information: list[KeyInformation]
    purchase_probability: float | None
    actions: list[str]
    model_version: str


@dataclass(frozen=True)
class Answer:
    """What was answered about one session, before it is put into words for the page."""

    at: datetime
    session: Touched
    answer: SessionAnswer
    model_version: str

    def moment(self) -> Moment:
        """As it goes onto the feed."""
        entry, answer = self.session.entry, self.answer
        shown = SessionMoment(
            at=self.at,
            session_id=answer.session_id,
            scene=answer.scene,
            language=entry.language,
            utterance=entry.text[entry.utterance_start : entry.utterance_end],
            steps=steps_of(entry),
            event_count=self.session.event_count,
            intents=answer.intents,
            out_of_scope=answer.out_of_scope,
            clear=bool(answer.intents) and answer.intents[0].probability >= ACTION_PROBABILITY,
            key_information=answer.key_information,
            purchase_probability=answer.purchase_probability,
            actions=answer.actions,
            model_version=self.model_version,
        )
        return Moment(self.at, self.session.shopper_id, shown.model_dump_json().encode())


def steps_of(entry: ModelInput) -> list[Step]:
    """The newest events that `entry` tells of, oldest first. No free text can pass for one: rendering disarms it."""
    pieces = _EVENT.split(entry.text)
    steps = []
    for token, rest in list(zip(pieces[1::2], pieces[2::2], strict=True))[-MAX_STEPS:]:
        words = " ".join(_UNSAID.sub(" ", rest).split())
        if len(words) > MAX_STEP_CHARACTERS:
            words = words[: MAX_STEP_CHARACTERS - 1].rstrip() + "…"
        steps.append(Step(event=_EVENT_OF_TOKEN[token], words=words))
    return steps


class FeedWriter:
    """Takes answers without waiting and appends them to the feed from a thread of its own.

    Between two flushes it holds at most MAX_WAITING; how many come beyond them `on_skip` is told, like what the disk
    refuses: the page is a view, and no answer may wait for it.

    Where `erased` says who is, their moments leave the feed every `forget_seconds`: of several replicas, each with a
    feed of its own, an erasure reaches one.
    """

    def __init__(
        self,
        feed: SessionFeed,
        on_skip: Callable[[int], None],
        flush_seconds: float = FLUSH_SECONDS,
        *,
        erased: Callable[[], Tombstones] | None = None,
        forget_seconds: float = FORGET_SECONDS,
    ) -> None:
        self._feed = feed
        self._on_skip = on_skip
        self._flush_seconds = flush_seconds
        self._erased = erased
        self._forget_seconds = forget_seconds
        self._trouble: str | None = None
        self._waiting: deque[Answer] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console-feed", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, sessions: Sequence[Touched], answers: Sequence[SessionAnswer], model_version: str) -> None:
        """Take what was answered; for one thread."""
        now = datetime.now(UTC)
        room = max(0, MAX_WAITING - len(self._waiting))
        if len(answers) > room:
            self._on_skip(len(answers) - room)
        for session, answer in list(zip(sessions, answers, strict=True))[:room]:
            self._waiting.append(Answer(now, session, answer, model_version))

    def close(self) -> None:
        """Write the rest and end the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._flush()

    def _run(self) -> None:
        forget_at = time.monotonic()
        while not self._stop.wait(self._flush_seconds):
            self._flush()
            if time.monotonic() >= forget_at:
                self._forget()
                forget_at = time.monotonic() + self._forget_seconds

    def _forget(self) -> None:
        if self._erased is None:
            return
        try:
            tombstones = self._erased()
            if tombstones:
                self._feed.forget(lambda shopper, at: tombstones.event(shopper, at, None) is not None)
        except (OSError, sqlite3.Error) as error:
            logger.error("the console may still show who was erased, trying again: %s", error)

    def _flush(self) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not taken:
            return
        try:
            self._feed.append([answer.moment() for answer in taken])
        except sqlite3.Error as error:
            self._on_skip(len(taken))
            # Once, and not four times a second for as long as the disk refuses.
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.error("the console misses %d answers, and more until this ends: %s", len(taken), error)
            return
        if self._trouble is not None:
            self._trouble = None
            logger.info("the console's feed is written again")
