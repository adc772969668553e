"""From a shop's events to an item index that may go live: learned, judged on days held out, written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from intent_tracking.applications.artifacts import ITEM_INDEX, artifact_folder, fingerprint_of, new_artifact
from intent_tracking.applications.recommendation.candidates import FEATURES
from intent_tracking.applications.recommendation.files import ranker_of, save
from intent_tracking.applications.recommendation.interactions import Events, Interactions, day_number, interactions_of
from intent_tracking.applications.recommendation.item_index import learn_index
from intent_tracking.applications.recommendation.learning import (
    Observed,
    examples_of,
    observed,
    ranker_rows,
    recall_at,
)
from intent_tracking.applications.recommendation.ranker import Ranker
from intent_tracking.applications.recommendation.ranker_training import fit_ranker
from intent_tracking.applications.recommendation.recommender import Recommender
from intent_tracking.artifact import ArtifactError
from intent_tracking.release import component_directory, read_release
from intent_tracking.settings import Settings

logger = logging.getLogger(__name__)

RECALL: Final = "recall_at_20"
RECALL_POPULAR: Final = "recall_at_20_popularity"
RECALL_OWN: Final = "recall_at_20_own_items"
RECALL_LIVE: Final = "recall_at_20_live_ranker"
# Changes with what is learned from the same events.
_FORMAT: Final = 3
_AT: Final = 20


class TooFewPurchasesError(ValueError):
    """The shop has too few purchases to learn from; the message says how many there are and how many it takes."""


class NotBetterError(ValueError):
    """The new index loses against a baseline or against the live one; nothing was written."""

    def __init__(self, message: str, metrics: Mapping[str, float]) -> None:
        super().__init__(message)
        self.metrics = dict(metrics)


@dataclass(frozen=True)
class IndexConfig:
    """What an index is learned from.

    Attributes:
        window_days: days of events that it knows.
        training_days: days before the held-out ones whose purchases the ranker is trained on.
        held_out_days: last days, whose purchases it is judged on.
        most_examples: purchases taken of either.
        least_examples: with fewer of either, nothing is learned.
        tolerance: how much Recall@20 may lie below that of the live ranker: what chance makes of equal ones.
        seed: of what is drawn.
    """

    window_days: int = 365
    training_days: int = 84
    held_out_days: int = 14
    most_examples: int = 4_000
    least_examples: int = 100
    tolerance: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class BuiltIndex:
    """An artifact, what it was judged by, and whether this call wrote it."""

    folder: Path
    metrics: Mapping[str, float]
    written: bool


def build_item_index(settings: Settings, events: Events, until: date, config: IndexConfig) -> BuiltIndex:
    """Learn the index of the events up to `until`; where that artifact is there already, nothing is learned.

    Args:
        settings: where artifacts and the release lie.
        events: rows of EVENT_SCHEMA, `INTERACTION_COLUMNS` at least, of the window that ends on `until`.
        until: last UTC day that counts.
        config: how it is learned.

    Raises:
        TooFewPurchasesError: there is not enough to train and to judge on.
        NotBetterError: it does not beat popularity and the own past items, or falls behind the live ranker, where that
            can be read.
    """
    interactions = interactions_of(events).before(day_number(until) + 1)
    fingerprint = _fingerprint(interactions, config)
    there = artifact_folder(settings.applications, ITEM_INDEX, until, fingerprint)
    if there is not None:
        return BuiltIndex(there, {}, written=False)
    last = day_number(until)
    held_out = last - config.held_out_days
    train = examples_of(interactions, held_out - config.training_days + 1, held_out, config.most_examples, config.seed)
    asked = examples_of(interactions, held_out + 1, last, config.most_examples, config.seed)
    judged = [example for example in asked if len(example.beyond_session)]
    if min(len(train), len(judged)) < config.least_examples:
        raise TooFewPurchasesError(
            f"{len(train)} purchases to train on and {len(judged)} in the {config.held_out_days} days held out: "
            f"an item index takes {config.least_examples} of either"
        )
    ranker = fit_ranker(ranker_rows(observed(interactions, train), seed=config.seed))
    metrics = _judge(observed(interactions, judged), ranker, _live_ranker(settings))
    _require_better(metrics, config.tolerance)
    recommender = Recommender(learn_index(interactions, last + 1), ranker)
    with new_artifact(settings.applications, ITEM_INDEX, until, fingerprint) as draft:
        save(draft, recommender)
        draft.metrics |= metrics | {
            "items": float(len(interactions.catalogue)),
            "visits": float(len(interactions.days)),
        }
    folder = artifact_folder(settings.applications, ITEM_INDEX, until, fingerprint)
    assert folder is not None  # noqa: S101 - written above
    return BuiltIndex(folder, metrics, written=True)


def window_of(until: date, config: IndexConfig) -> list[date]:
    """The days whose events an index that ends on `until` is learned from."""
    return [until - timedelta(days=back) for back in reversed(range(config.window_days))]


def _fingerprint(interactions: Interactions, config: IndexConfig) -> str:
    of = interactions.catalogue
    arrays = (
        interactions.starts, interactions.items, interactions.reaches, interactions.firsts,
        interactions.days, interactions.shoppers,
    )  # fmt: skip
    texts = json.dumps([_FORMAT, FEATURES, asdict(config), of.ids, of.names, of.categories, of.brands])
    return fingerprint_of(texts, of.prices.tobytes(), *(array.tobytes() for array in arrays))


def _judge(seen: Iterable[Observed], ranker: Ranker, live: Ranker | None) -> dict[str, float]:
    """Mean Recall@20 of purchases, by the ranker, the live one, and what needs no learning.

    As the default strategy serves: of items that are not in the session.
    """
    own, popular = FEATURES.index("own_count"), FEATURES.index("bought")
    found: dict[str, list[float]] = {RECALL: [], RECALL_POPULAR: [], RECALL_OWN: []}
    if live is not None:
        found[RECALL_LIVE] = []
    for each in seen:
        shown = ~np.isin(each.candidates.items, each.example.situation.session_items)
        items, features = each.candidates.items[shown], each.candidates.features[shown]
        by = {
            RECALL: ranker.score(features),
            RECALL_POPULAR: features[:, popular],
            RECALL_OWN: np.where(features[:, own] > 0, features[:, own] * 1e3 + features[:, popular], -1),
        }
        if live is not None:
            by[RECALL_LIVE] = live.score(features)
        for name, scores in by.items():
            ranked = items[np.argsort(-scores, kind="stable")]
            if name == RECALL_OWN:
                ranked = ranked[: int((scores > 0).sum())]
            found[name].append(recall_at(_AT, ranked, each.example.beyond_session))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _require_better(metrics: Mapping[str, float], tolerance: float) -> None:
    for name, words in ((RECALL_POPULAR, "popularity"), (RECALL_OWN, "the shoppers' own past items")):
        if metrics[RECALL] <= metrics[name]:
            raise NotBetterError(
                f"Recall@20 {metrics[RECALL]:.3f} of the days held out does not beat {words}, {metrics[name]:.3f}: "
                "what is live stays",
                metrics,
            )
    live = metrics.get(RECALL_LIVE)
    if live is not None and metrics[RECALL] < live - tolerance:
        raise NotBetterError(
            f"Recall@20 {metrics[RECALL]:.3f} of the days held out falls behind the live ranker, {live:.3f}: "
            "what is live stays",
            metrics,
        )


def _live_ranker(settings: Settings) -> Ranker | None:
    """The ranker of the live index; None while none is live, or where it takes other features.

    None also where the index is damaged: no service serves it, and it must go.
    """
    release = read_release(settings.release_file)
    component = release.components.get(ITEM_INDEX) if release is not None else None
    if component is None:
        return None
    try:
        return ranker_of(component_directory(settings.release_file, component))
    except ArtifactError as error:
        logger.warning("the new item index is judged alone, the live one cannot be read: %s", error)
        return None
