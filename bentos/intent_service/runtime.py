"""Everything that one process of the service holds, from start to shutdown."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bentos.intent_service.answers import explain_answer, served, session_answer, text_answer
from bentos.intent_service.applications.loaders import LOADERS
from bentos.intent_service.console.console import Console
from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.features import ShopperFeatures
from bentos.intent_service.forgetting import EXPIRE_SECONDS, Forgetting
from bentos.intent_service.inference import Answered, Inference
from bentos.intent_service.intake import Intake
from bentos.intent_service.metrics import Metrics
from bentos.intent_service.releases import Predictor, ReleaseWatcher, Serving
from bentos.intent_service.request_context import RequestExecutor
from bentos.intent_service.schemas import (
    EraseAnswer,
    ErasedPlace,
    ExplainAnswer,
    ExplainRequest,
    IntentRequest,
    Rejected,
    ReleaseAnswer,
    ReleasedComponent,
    SessionAnswer,
    TrackAnswer,
)
from bentos.intent_service.shopper import Shoppers
from bentos.intent_service.tracing import span
from bentos.intent_service.tracking import Call, Touched, Tracked, Tracker
from intent_tracking.erasure.live import LEFT_TO_JOB
from intent_tracking.events.contract import Scene
from intent_tracking.inference import Features, IntentPredictor, ModelInput, Prediction
from intent_tracking.modeling.explaining import UnknownIntentError
from intent_tracking.prediction_log import PredictionLog, ServedPrediction
from intent_tracking.sessions.render import render_utterance
from intent_tracking.settings import Settings

logger = logging.getLogger(__name__)

STORAGE_THREADS = 4
TEXT_THREADS = 2
# About a millisecond's cleaning of the worst text.
MOST_CHARACTERS_IN_PLACE = 4_000
# Tells the pipeline which release a service without a model has refused.
REFUSED_HEADER = "Intent-Refused-Release"
# Beside the packages in a Bento, and nowhere else: the model that the Bento was built for.
BUNDLED_RELEASE = Path(__file__).resolve().parents[2] / "bundled" / "release.json"


Loaded = TypeVar("Loaded")
Result = TypeVar("Result")
Part = TypeVar("Part")


class Runtime:
    """The live model, the tracker and the logs, behind one method for each route.

    Args:
        settings: where things lie.
        load: how a model is loaded from the folder of its artifact.
        expire_seconds: how often sessions without activity for SESSIONS_KEPT are forgotten.
        worker: number of this process among the workers of the service, for its figures.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[Path], Predictor] | None = None,
        *,
        expire_seconds: float = EXPIRE_SECONDS,
        worker: int = 1,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(worker)
        self._parts: dict[Callable[[Settings], Any], Any] = {}
        self._making_parts = threading.Lock()
        self._tracker = Tracker(settings, self.metrics)
        self._features = ShopperFeatures(settings.feast / "online.db", self.metrics)
        self._predictions = PredictionLog(settings.prediction_log, on_drop=self.metrics.prediction_log_dropped.inc)
        self._watcher = ReleaseWatcher(
            settings.release_file,
            load or (lambda path: IntentPredictor.load(path, settings.device)),
            self.metrics,
            bundled=BUNDLED_RELEASE,
            applications=LOADERS,
        )
        self._inference = Inference(
            self._watcher, self.metrics, workers=settings.workers, cached=settings.cached_predictions
        )
        self.console = Console(settings, self.release, self.metrics.console_skipped.inc)
        self._intake = Intake(self._take_in)
        # What waits for the session state or the disk.
        self._storage = RequestExecutor(max_workers=STORAGE_THREADS, thread_name_prefix="storage")
        self.shoppers = Shoppers(settings, self._tracker, self._features, self._inference, self._storage)
        # What must go on while those wait for storage that hangs has threads of its own.
        self._texts = RequestExecutor(max_workers=TEXT_THREADS, thread_name_prefix="texts")
        self._figures = RequestExecutor(max_workers=1, thread_name_prefix="figures")
        # One at a time: each searches every segment of the log.
        self._erasing = RequestExecutor(max_workers=1, thread_name_prefix="erasing")
        # Archived traffic has a clock of its own, by which none of its sessions is old: there the store's limit on
        # the number of sessions holds alone.
        self._forgetting = None if settings.trust_received_time else Forgetting(self._expire, expire_seconds)

    def start(self) -> None:
        """Load the released model, if there is one, and begin to follow the release file and to forget old sessions."""
        self._watcher.start()
        self.console.start()
        if self._forgetting is not None:
            self._forgetting.start()

    def close(self) -> None:
        """Finish what is under way, write the rest of the logs and close the files."""
        if self._forgetting is not None:
            self._forgetting.close()
        self._watcher.stop()
        self._intake.close()
        self._inference.close()
        for threads in (self._storage, self._texts, self._figures, self._erasing):
            threads.shutdown(wait=True)
        self._tracker.close()
        self._features.close()
        self.shoppers.close()
        self.console.close()
        try:
            self._predictions.close()
        except OSError as error:
            logger.error("the last predictions are not logged: %s", error)

    async def track(self, documents: Sequence[Any]) -> TrackAnswer:
        """Record the events and predict the sessions that they belong to.

        Raises:
            OSError: the storage refuses; nothing is accepted.
        """
        tracked, features = await asyncio.wrap_future(self._intake.submit(Call(documents, datetime.now(UTC))))
        self.metrics.events.labels("accepted").inc(tracked.accepted)
        self.metrics.events.labels("duplicate").inc(tracked.duplicates)
        self.metrics.count_rejected(refused.reason for refused in tracked.rejected)
        answered = None
        if tracked.touched:
            with span("inference", inputs=len(tracked.touched)):
                answered = await self._inference.predict([session.entry for session in tracked.touched], features)
        sessions: list[SessionAnswer] = []
        if answered is not None:
            sessions = [
                session_answer(session, prediction)
                for session, prediction in zip(tracked.touched, answered.predictions, strict=True)
            ]
            self._log_sessions(tracked.touched, answered)
            self.console.show(tracked.touched, sessions, answered.serving.predictor.version)
        return TrackAnswer(
            accepted=tracked.accepted,
            duplicates=tracked.duplicates,
            rejected=[Rejected(index=refused.index, reason=refused.explanation) for refused in tracked.rejected],
            sessions=sessions,
            model_version=self._version_of(answered),
        )

    def _take_in(self, calls: Sequence[Call]) -> list[tuple[Tracked, list[Features | None]]]:
        """What became of the events of each call, and the features of the shoppers whose sessions they touched."""
        tracked = self._tracker.track_all(calls)
        # The clock of the events: it is now for live traffic, and then for a replay of archived traffic.
        asked = [(session.shopper_id, session.event_time) for each in tracked for session in each.touched]
        features = iter(self._features.of(asked) if asked else ())
        return [(each, [next(features) for _ in each.touched]) for each in tracked]

    async def intent(self, request: IntentRequest) -> dict[str, Any]:
        """Predict texts in their order; the answer is an `IntentAnswer` as plain values.

        Raises:
            RequestError: no model is released yet.
        """
        self.require_model()
        # Cleaning many long texts takes seconds, in which the event loop must go on with other requests; cleaning a
        # few short ones takes less time than handing them to another thread.
        in_place = sum(map(len, request.texts)) <= MOST_CHARACTERS_IN_PLACE
        loop = asyncio.get_running_loop()
        entries = _rendered(request) if in_place else await loop.run_in_executor(self._texts, _rendered, request)
        with span("inference", inputs=len(entries)):
            answered = await self._inference.predict(entries)
        if answered is None:
            raise self._no_model()
        version = answered.serving.predictor.version
        now = datetime.now(UTC)
        self._record(
            [
                served("intent", entry, prediction, event_time=now, model_version=version, event_count=1)
                for entry, prediction in zip(entries, answered.predictions, strict=True)
            ]
        )
        parts = (request.texts, entries, answered.predictions)
        return {
            "predictions": (
                _text_answers(*parts) if in_place else await loop.run_in_executor(self._texts, _text_answers, *parts)
            ),
            "model_version": version,
        }

    async def explain(self, request: ExplainRequest) -> ExplainAnswer:
        """What each word of a text counts for its most probable intent, or for the one named.

        Raises:
            RequestError: no model is released yet, or it does not know the intent.
        """
        self.require_model()
        loop = asyncio.get_running_loop()
        entry = await loop.run_in_executor(self._texts, render_utterance, request.text, request.scene)
        try:
            with span("inference", inputs=1):
                explained = await self._inference.explain(entry, request.intent)
        except UnknownIntentError as error:
            raise RequestError(422, ErrorCode.INVALID_REQUEST, str(error), "intent") from error
        if explained is None:
            raise self._no_model()
        parts = (explained.explanation, explained.serving.predictor.version)
        return await loop.run_in_executor(self._texts, explain_answer, request.text, *parts)

    def application(self, kind: str, loaded: type[Loaded]) -> Loaded:
        """What the live release names as `kind`; read it once, and answer the whole request from it.

        Raises:
            RequestError: nothing is released yet, or no `kind` is, or none that can be served.
        """
        serving = self.require_model()
        found = serving.applications.get(kind)
        if not isinstance(found, loaded):
            why = serving.lacking.get(kind)
            raise RequestError(
                503,
                ErrorCode.NOT_RELEASED,
                f"no {kind} is released yet: materialize {kind}" if why is None else f"no {kind} is served: {why}",
                headers={"Retry-After": "5"},
            )
        return found

    async def understand(self, text: str) -> tuple[ModelInput, Prediction]:
        """A lone message to the desk as the live model reads it, and what it says of it; logged like `/v1/intent`.

        Raises:
            RequestError: nothing is released yet.
        """
        self.require_model()
        entry = await self.in_thread(render_utterance, text, Scene.CUSTOMER_SERVICE)
        answered = await self._inference.predict([entry])
        if answered is None:
            raise self._no_model()
        version = answered.serving.predictor.version
        (prediction,) = answered.predictions
        now = datetime.now(UTC)
        self._record([served("intent", entry, prediction, event_time=now, model_version=version, event_count=1)])
        return entry, prediction

    def part(self, kind: Callable[[Settings], Part]) -> Part:
        """What `kind` makes of the settings, once in this process: what an application holds beside its artifact."""
        with self._making_parts:
            if kind not in self._parts:
                self._parts[kind] = kind(self.settings)
            made: Part = self._parts[kind]
        return made

    async def in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run `work` where it holds up no other request; an application computes its answer so."""
        return await asyncio.get_running_loop().run_in_executor(self._texts, work, *arguments)

    async def in_storage(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run `work` that waits for a disk, which may hang, where it holds up nobody who does not."""
        return await asyncio.get_running_loop().run_in_executor(self._storage, work, *arguments)

    async def erase(self, user_id: str) -> EraseAnswer:
        """Remove one person from what the service holds, and leave the rest to the erasure job.

        Raises:
            OSError, sqlite3.Error: a store refuses; the request may be sent again.
        """

        def remove() -> EraseAnswer:
            self._predictions.flush()
            erasure, removed = self._tracker.erase(user_id, datetime.now(UTC))
            return EraseAnswer(
                request=erasure.request,
                until=erasure.requested_at,
                removed=[
                    ErasedPlace(place=each.place, records=each.records, complete=each.complete) for each in removed
                ],
                left_to_job=[*LEFT_TO_JOB, *(each.place for each in removed if not each.complete)],
            )

        return await asyncio.get_running_loop().run_in_executor(self._erasing, remove)

    def release(self) -> ReleaseAnswer:
        """What is served.

        Raises:
            RequestError: no model is released yet.
        """
        serving = self.require_model()
        refusal = self._watcher.refusal
        return ReleaseAnswer(
            number=serving.release.number,
            model_version=serving.predictor.version,
            created_at=serving.release.created_at,
            loaded_at=serving.loaded_at,
            reason=serving.release.reason,
            components={
                name: ReleasedComponent(version=component.version, manifest_sha256=component.manifest_sha256)
                for name, component in serving.release.components.items()
            },
            refused=f"release {refusal.number}: {refusal.reason}" if refusal else None,
        )

    def require_model(self) -> Serving:
        """The live release.

        Raises:
            RequestError: there is none yet.
        """
        if self._watcher.serving is None:
            raise self._no_model()
        return self._watcher.serving

    def require_alive(self) -> None:
        """Check that the threads of the process live.

        Raises:
            RequestError: releases are no longer noticed, the model no longer run, or sessions no longer forgotten.
        """
        threads = {"release": self._watcher, "inference": self._inference, "session expiry": self._forgetting}
        for name, thread in threads.items():
            if thread is not None and not thread.is_alive():
                raise RequestError(503, ErrorCode.INTERNAL, f"the {name} thread ended; restart the service")

    async def render_metrics(self) -> bytes:
        """The figures of all workers in the Prometheus text format."""
        return await asyncio.get_running_loop().run_in_executor(self._figures, self._render_metrics)

    def _render_metrics(self) -> bytes:
        try:
            self.metrics.sessions.set(self._tracker.session_count())
        except OSError as error:
            # The other figures are wanted now more than ever.
            logger.error("the session state cannot be read: %s", error)
        return self.metrics.render()

    def _expire(self, before: datetime) -> Iterator[int]:
        yield from self._tracker.expire(before)
        self.console.expire(before)

    def _no_model(self) -> RequestError:
        refusal = self._watcher.refusal
        why = f"; release {refusal.number} was refused: {refusal.reason}" if refusal else ""
        return RequestError(
            503,
            ErrorCode.NO_MODEL,
            f"no model is released yet: materialize deployed_intent_service{why}",
            headers={"Retry-After": "5"}
            | ({REFUSED_HEADER: str(refusal.number)} if refusal and refusal.number else {}),
        )

    def _version_of(self, answered: Answered | None) -> str | None:
        serving = answered.serving if answered else self._watcher.serving
        return serving.predictor.version if serving else None

    def _log_sessions(self, touched: Sequence[Touched], answered: Answered) -> None:
        self._record(
            [
                served(
                    "track",
                    session.entry,
                    prediction,
                    event_time=session.event_time,
                    model_version=answered.serving.predictor.version,
                    event_count=session.event_count,
                    session_id=session.session_id,
                    shopper_id=session.shopper_id,
                )
                for session, prediction in zip(touched, answered.predictions, strict=True)
            ]
        )

    def _record(self, predictions: list[ServedPrediction]) -> None:
        self.metrics.count_predictions(predictions)
        self._predictions.append(predictions)


def _rendered(request: IntentRequest) -> list[ModelInput]:
    return [render_utterance(text, request.scene) for text in request.texts]


def _text_answers(
    texts: Sequence[str], entries: Sequence[ModelInput], predictions: Sequence[Prediction]
) -> list[dict[str, Any]]:
    return [text_answer(*parts) for parts in zip(texts, entries, predictions, strict=True)]
