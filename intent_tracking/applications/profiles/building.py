"""From shoppers to segments that may go live, and to the rows of a day."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from intent_tracking.applications.artifacts import (
    USER_SEGMENTS,
    artifact_folder,
    content_of,
    fingerprint_of,
    new_artifact,
)
from intent_tracking.applications.profiles.fitting import Clusters, find_clusters, fit_space
from intent_tracking.applications.profiles.matching import kept_ids
from intent_tracking.applications.profiles.naming import named, traits_of
from intent_tracking.applications.profiles.rules import SegmentRules
from intent_tracking.applications.profiles.segments import FORMAT, Segments
from intent_tracking.applications.profiles.space import SHOPPER, Space, values
from intent_tracking.artifact import Manifest
from intent_tracking.features.derived import USER_SEGMENT

STABILITY: Final = "stability"
STABILITY_HIGH: Final = "stability_high"


class TooFewShoppersError(ValueError):
    """There are not enough shoppers to divide."""


@dataclass(frozen=True)
class Fitted:
    """Segments that were learned and are nowhere yet.

    Attributes:
        segments: the segments.
        clusters: the numbers that were tried, with the stability and silhouette of each.
        kept: ids that live segments keep. new, retired: those that came and went.
        shoppers: that they were learned from.
    """

    segments: Segments
    clusters: Clusters
    kept: tuple[str, ...]
    new: tuple[str, ...]
    retired: tuple[str, ...]
    shoppers: int

    @property
    def metrics(self) -> dict[str, float]:
        """Figures for the manifest."""
        chosen = self.clusters.chosen
        low, high = chosen.interval
        return {
            "segments": float(chosen.number),
            STABILITY: round(chosen.mean, 4),
            "stability_low": round(low, 4),
            STABILITY_HIGH: round(high, 4),
            "silhouette": round(chosen.silhouette, 4),
            "smallest_share": round(chosen.smallest, 4),
            "shoppers": float(self.shoppers),
            "kept": float(len(self.kept)),
            "new": float(len(self.new)),
            "retired": float(len(self.retired)),
        }


def fit_segments(
    features: pa.Table, tokens: pa.Table, rules: SegmentRules, day: date, live: Segments | None = None
) -> Fitted:
    """Learn the segments of the shoppers in `features`.

    Args:
        features: USER_FEATURE_SCHEMA, the snapshot of `day`.
        tokens: TOKEN_SCHEMA of the days of the longest window.
        rules: of the shop.
        day: last day that was learned from.
        live: the segments whose ids and names are kept where the members are mostly the same.

    Raises:
        TooFewShoppersError: fewer than `rules.shoppers_needed`, or all alike.
    """
    if features.num_rows < rules.shoppers_needed:
        raise TooFewShoppersError(
            f"{features.num_rows} shoppers on {day}; {rules.most} segments need {rules.shoppers_needed}: "
            "wait for more, or lower `most` in segments.yaml"
        )
    if features.num_rows > rules.sample:
        drawn = np.random.default_rng(rules.seed).choice(features.num_rows, rules.sample, replace=False)
        features = features.take(pa.array(np.sort(drawn)))
    space = fit_space(features, tokens, rules)
    vectors = space.vectors(features, tokens)
    if len(np.unique(vectors, axis=0)) <= rules.most:
        raise TooFewShoppersError(f"the {features.num_rows} shoppers of {day} are alike: no segments to find")
    clusters = find_clusters(vectors, rules, len(live.segments) if live else None)
    number = clusters.chosen.number
    kept: dict[int, str] = {}
    if live is not None:
        before = live.assign(features, tokens).positions
        kept = kept_ids(live.ids, before, clusters.labels, number, rules.same_overlap)
    scaled, own, known = space.scaled(features), values(features, space.features), space.known(features, tokens)
    members = [np.flatnonzero(clusters.labels == at) for at in range(number)]
    traits = [traits_of(space, scaled, own, known, each) for each in members]
    shifts = np.array([scaled[each].mean(axis=0) for each in members])
    shares = np.array([len(each) / len(vectors) for each in members])
    found, retired = named(traits, shifts, shares, kept, live, day)
    return Fitted(
        segments=Segments(space, clusters.centroids, found, retired),
        clusters=clusters,
        kept=tuple(sorted(kept.values())),
        new=tuple(sorted(each.id for at, each in enumerate(found) if at not in kept)),
        retired=tuple(sorted(set(live.ids) - set(kept.values()))) if live else (),
        shoppers=features.num_rows,
    )


def refusal(fitted: Fitted, live: Manifest | None, rules: SegmentRules) -> str | None:
    """Why segments must not go live; None where they may.

    They must come out again from parts of the shoppers, and no worse than those that are live: not even the best of the
    middle 95% of the parts reaches what the live ones reach on average.
    """
    chosen = fitted.clusters.chosen
    if chosen.mean < rules.least_stability:
        return f"stability {chosen.mean:.3f} of {chosen.number} segments is below {rules.least_stability:g}"
    if live is not None and chosen.interval[1] < live.metrics[STABILITY]:
        return (
            f"stability {chosen.mean:.3f} (at best {chosen.interval[1]:.3f}) is below the "
            f"{live.metrics[STABILITY]:.3f} of {live.version}, which is live"
        )
    return None


def write_segments(
    root: Path, fitted: Fitted, features: pa.Table, tokens: pa.Table, rules: SegmentRules, day: date
) -> Path:
    """Write the artifact below `root` (`Settings.applications`); its folder."""
    segments = fitted.segments
    inputs: list[bytes | str] = [
        str(FORMAT),
        rules.model_dump_json(),
        orjson.dumps([asdict(each) for each in segments.segments]),
    ]
    # Whoever is erased between two trainings changes the counts: the same input gives the same version.
    inputs += [content_of(features.sort_by(SHOPPER)), content_of(tokens)]
    fingerprint = fingerprint_of(*inputs)
    folder = artifact_folder(root, USER_SEGMENTS, day, fingerprint)
    if folder is not None:
        return folder
    with new_artifact(root, USER_SEGMENTS, day, fingerprint) as draft:
        segments.save(draft.folder)
        draft.metrics |= fitted.metrics
        tried = [
            {"segments": each.number, STABILITY: each.mean, "interval": each.interval, "silhouette": each.silhouette,
             "smallest_share": each.smallest} for each in fitted.clusters.tried
        ]  # fmt: skip
        changes = {"kept": fitted.kept, "new": fitted.new, "retired": fitted.retired}
        (draft.folder / "training.json").write_bytes(
            orjson.dumps({"tried": tried, **changes, "rules": rules.model_dump()}, option=orjson.OPT_INDENT_2)
        )
        draft.golden += [(request, segments.answer(request)) for request in _golden_requests(segments.space, segments)]
    folder = artifact_folder(root, USER_SEGMENTS, day, fingerprint)
    assert folder is not None  # noqa: S101 - written above
    return folder


def day_rows(segments: Segments, features: pa.Table, tokens: pa.Table, day: date) -> pa.Table:
    """The rows of `user_segments` of a day: one a shopper of `features`."""
    assigned = segments.assign(features, tokens)
    traits = segments.traits(features, tokens, assigned)
    return USER_SEGMENT.rows(
        day,
        features[SHOPPER].to_pylist(),
        {
            "segment": [segments.ids[at] for at in assigned.positions.tolist()],
            "segment_version": [segments.version] * features.num_rows,
            "distance": assigned.distances.round(6).tolist(),
            "traits": [orjson.dumps([asdict(trait) for trait in each]).decode() for each in traits],
        },
    )


def _golden_requests(space: Space, segments: Segments) -> list[dict[str, Any]]:
    """Made-up shoppers: one at the median of the shop, and one a segment as its traits have it."""
    middle = {name: space.typical(at) for at, name in enumerate(space.features)}
    requests: list[dict[str, Any]] = [{"features": middle, "tokens": {}}]
    for segment in segments.segments:
        own = {trait.trait: trait.value for trait in segment.traits if trait.level != "likes"}
        liked = {trait.trait: 2 for trait in segment.traits if trait.level == "likes"}
        requests.append({"features": middle | own, "tokens": liked})
    return requests
