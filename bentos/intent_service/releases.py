"""The live model: follows the release file, and switches from one model to the next without losing a request."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from bentos.intent_service.metrics import Metrics
from intent_tracking.artifact import INTENT_MODEL, ArtifactError
from intent_tracking.inference import Features, ModelInput, Prediction
from intent_tracking.release import Component, Release, ReleaseError, read_release, releases, verify_component

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# A refused release is tried again: its storage may have been away for a moment, or its files are repaired. Each try may
# load a model beside the live one, so they become rare.
RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 1800.0
# A load of minutes must not use up the time that a supervisor gives a process to write what it holds.
STOP_SECONDS = 5.0
# Allocations between two walks of the youngest objects, and how many of each kind of walk come before the next one.
_COLLECTOR_THRESHOLDS = (20_000, 20, 50)


class Predictor(Protocol):
    """What the service needs of a model; `IntentPredictor` is the product's own."""

    @property
    def version(self) -> str:
        """Version of the artifact."""
        ...

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Predictions in the order of `inputs`."""
        ...

    def replay_golden(self) -> list[str]:
        """What the artifact answers otherwise than when it was exported; empty when all is well."""
        ...


class Application(Protocol):
    """What the service needs of anything else that a release names: an index, the segments, the risk model."""

    @property
    def version(self) -> str:
        """Version of the artifact."""
        ...

    def replay_golden(self) -> list[str]:
        """What the artifact answers otherwise than when it was written; empty when all is well."""
        ...


Loaded = TypeVar("Loaded", Predictor, Application)


class _StoppingError(Exception):
    """The process ends: what is being prepared is given up."""


class GoldenReplayError(Exception):
    """A model does not give the answers that its artifact promises."""


@dataclass(frozen=True)
class Serving:
    """A release with its model in memory.

    Attributes:
        applications: what its applications learned, by kind.
        lacking: of those that it names and that cannot be served, why, by kind.
    """

    release: Release
    predictor: Predictor
    loaded_at: datetime
    applications: Mapping[str, Application] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Why a published release is not served."""

    number: int | None
    reason: str


class ReleaseWatcher:
    """Loads each new release beside the live one, replays its golden requests and only then takes its place.

    `serving` is replaced by one assignment: a request reads it once and finishes on what it read, whatever is published
    meanwhile. A release that cannot be read, loaded or replayed changes nothing but `refusal`, the log and the metric.
    Where nothing is served yet, the newest release of the history that can be served takes its place.

    A release is refused for what it changes. An application that cannot be served when the service starts, or could not
    be before, is left out: the model and the other applications go on without it.

    A refused release is tried again after RETRY_SECONDS, then after twice as long each time, and at once when the file
    changes. A model that was whole and failed its golden requests is not loaded again: it would only fail them again.
    """

    def __init__(
        self,
        release_file: Path,
        load: Callable[[Path], Predictor],
        metrics: Metrics,
        bundled: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        applications: Mapping[str, Callable[[Path], Application]] | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Follow `release_file`; while there is none, serve `bundled`, the release that a Bento carries.

        `applications` says how each kind of component beside the intent model is loaded; a release may name others too,
        which this service does not know.
        """
        self._clock = clock
        self._release_file = release_file
        self._bundled = bundled
        self._load = load
        self._load_application = dict(applications or {})
        self._metrics = metrics
        self._stop_seconds = stop_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="release-watcher", daemon=True)
        self._seen: tuple[Path, int, int, int] | None = None
        self._retry_at = 0.0
        self._retry_seconds = RETRY_SECONDS
        self._failed_golden: dict[Component, str] = {}
        self.serving: Serving | None = None
        self.refusal: Refusal | None = None

    def start(self) -> None:
        """Load what is released now, so that the first request finds a warm model; then watch from a thread."""
        self.check()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a load that it is in the middle of is given up, and waited for `stop_seconds` at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._stop_seconds)
            if self._thread.is_alive():
                logger.warning("the process ends in the middle of a load, whose model is given up")

    def is_alive(self) -> bool:
        """Whether new releases are still noticed."""
        return self._thread.is_alive()

    def check(self) -> None:
        """Look at the release file once and switch if it names something new."""
        source = self._source()
        seen = (source, *_stamp(source)) if source else None
        retry = self.refusal is not None and self._clock() >= self._retry_at
        if source is None or (seen == self._seen and not retry):
            return
        self._retry_seconds = min(2 * self._retry_seconds, MAX_RETRY_SECONDS) if seen == self._seen else RETRY_SECONDS
        self._seen = seen
        release: Release | None = None
        try:
            release = read_release(source)
            live = self.serving
            if release is None or (live is not None and release == live.release and not live.lacking):
                self._accept()
                return
            serving = self._prepare(source, release)
        except _StoppingError:
            return
        except Exception as error:  # noqa: BLE001 - whatever a model's libraries raise, the thread must go on watching
            self._refuse(Refusal(release.number if release else None, _reason(error)))
            if self.serving is None:
                self._go_back(source, release)
            return
        if live is None or (serving.release, serving.lacking) != (live.release, live.lacking):
            # First the refusal goes: who sees the new release must not read why the one before it was refused.
            self._accept()
            self._go_live(serving)
        if serving.lacking:
            self._go_without(serving)

    def _go_without(self, serving: Serving) -> None:
        """Say what a release is served without, and try that again later."""
        self._retry_at = self._clock() + self._retry_seconds
        reason = "; ".join(f"without {kind}: {why}" for kind, why in serving.lacking.items())
        refusal = Refusal(serving.release.number, f"it is served {reason}")
        if refusal == self.refusal:
            return
        self.refusal = refusal
        self._metrics.release_refused.set(1)
        logger.error("ALERT release %s: %s", refusal.number, refusal.reason)

    def _go_live(self, serving: Serving) -> None:
        release = serving.release
        self.serving = serving
        self._metrics.serve(release.number, serving.predictor.version)
        logger.info(
            "release %d is live: intent model %s (%s)", release.number, serving.predictor.version, release.reason
        )
        _settle_memory()

    def _go_back(self, source: Path, refused: Release | None) -> None:
        """Serve the newest release of the history that can be served: an older model is better than none."""
        try:
            history = releases(source)
        except (ReleaseError, OSError) as error:
            logger.error("ALERT no release is served, and the history cannot be read: %s", error)
            return
        # At a start a release is refused for its model alone.
        tried = [refused.components.get(INTENT_MODEL)] if refused else []
        for release in reversed(history):
            model = release.components.get(INTENT_MODEL)
            if model is None or model in tried:
                continue
            tried.append(model)
            try:
                serving = self._prepare(source, release)
            except _StoppingError:
                return
            except Exception as error:  # noqa: BLE001 - as above: the next older one may still be served
                logger.error("release %d of the history is refused too: %s", release.number, _reason(error))
                continue
            self._go_live(serving)
            return

    def _prepare(self, source: Path, release: Release) -> Serving:
        component = release.components.get(INTENT_MODEL)
        if component is None:
            raise ReleaseError(f"{source}: release {release.number} names no {INTENT_MODEL}")
        live = self.serving
        if live is not None and live.release.components.get(INTENT_MODEL) == component:
            predictor, loaded_at = live.predictor, live.loaded_at
        else:
            predictor, loaded_at = self._prepared(source, component, self._load), datetime.now(UTC)
        applications: dict[str, Application] = {}
        lacking: dict[str, str] = {}
        for kind, load in self._load_application.items():
            component = release.components.get(kind)
            if component is None:
                continue
            unchanged = live is None or live.release.components.get(kind) == component
            if live is not None and unchanged and kind in live.applications:
                applications[kind] = live.applications[kind]
                continue
            try:
                applications[kind] = self._prepared(source, component, load)
            except _StoppingError:
                raise
            except Exception as error:
                # Whatever its libraries raise: one application must not take the others down.
                if not unchanged:
                    raise
                lacking[kind] = _reason(error)
        return Serving(release, predictor, loaded_at, applications, lacking)

    def _prepared(self, source: Path, component: Component, load: Callable[[Path], Loaded]) -> Loaded:
        """What `component` holds, in memory, after it gave its golden answers."""
        if component in self._failed_golden:
            raise GoldenReplayError(self._failed_golden[component])
        artifact = verify_component(source, component)
        self._go_on()
        loaded = load(artifact)
        self._go_on()
        if loaded.version != component.version:
            raise ReleaseError(f"{source}: names version {component.version}, its artifact says {loaded.version}")
        differences = loaded.replay_golden()
        self._go_on()
        if differences:
            failure = f"{len(differences)} golden answers of {component.version} differ, first: {differences[0]}"
            self._failed_golden[component] = failure
            raise GoldenReplayError(failure)
        return loaded

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _StoppingError

    def _refuse(self, refusal: Refusal) -> None:
        self._retry_at = self._clock() + self._retry_seconds
        if refusal == self.refusal:
            return
        self.refusal = refusal
        self._metrics.switches.labels("refused").inc()
        self._metrics.release_refused.set(1)
        kept = self.serving.release.number if self.serving else "none"
        logger.error("ALERT release %s is refused, release %s stays live: %s", refusal.number, kept, refusal.reason)

    def _accept(self) -> None:
        self.refusal = None
        self._metrics.release_refused.set(0)

    def _source(self) -> Path | None:
        if self._release_file.exists():
            return self._release_file
        if self.serving is None and self._bundled is not None and self._bundled.exists():
            return self._bundled
        return None

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.check()


def _reason(error: Exception) -> str:
    """What is said of `error`; its kind too where it is none of those that are expected of a bad release."""
    if isinstance(error, ReleaseError | ArtifactError | GoldenReplayError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes whenever the file is replaced; zeros when it is gone at this moment."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_ino, status.st_size


def _settle_memory() -> None:
    """Let the former model go, and keep the collector from walking the new one again and again.

    Walks of the whole heap stall the event loop by hundreds of milliseconds
    (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    # What a request makes is freed when it is answered, without the collector, which only walks what is under way.
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
