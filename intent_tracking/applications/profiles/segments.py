"""The segments of a shop as an artifact: whom they hold, what sets them apart, which were there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import orjson
import pyarrow as pa
from safetensors.numpy import load_file, save_file

from intent_tracking.applications.artifacts import USER_SEGMENTS, golden_differences, verified
from intent_tracking.applications.profiles.space import ITEM_TOKEN, SHOPPER, Floats, Space, Tokens, Whole, values
from intent_tracking.applications.profiles.taste import TOKEN_SCHEMA
from intent_tracking.applications.profiles.traits import Level, Text, group_of, level_of
from intent_tracking.artifact import ArtifactError
from intent_tracking.features.catalogue import USER_FEATURES

DOCUMENT: Final = "segments.json"
ARRAYS: Final = "space.safetensors"
FORMAT: Final = 1

_REMEDY: Final = "materialize user_segments with fresh: true"
_OWN_TRAITS: Final = 3
_TASTES: Final = 2


@dataclass(frozen=True)
class Trait:
    """What sets somebody apart, with what it was read from.

    Attributes:
        trait: a column of `user_features`, or a token (`category:shoes`).
        level: `high`, `low` or `usual` against the shop's median; `likes` of a token.
        value: of the feature (the median of a segment); of a token how often (the share of a segment that has it).
        typical: the median of the shop; of a token the share of shoppers that have it.
        percentile: share of the shop below the value, in percent; None of a token.
        label: how people call the token; None of a feature.
    """

    trait: str
    level: Level
    value: float
    typical: float
    percentile: float | None = None
    label: str | None = None


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        id: stays when the segments are learned again, as long as the members are mostly the same.
        name: by language; given once, with the id.
        since: day of the training that found it first.
        share: of the shoppers that it was learned from.
        shifts: mean of each feature of the space over the members, in standard units from the shop's median.
        traits: what sets it apart, most marked first.
    """

    id: str
    name: Text
    since: str
    share: float
    shifts: tuple[float, ...]
    traits: tuple[Trait, ...]


@dataclass(frozen=True)
class Retired:
    """A segment that a training did not find again; nothing takes its id."""

    id: str
    name: Text
    since: str
    until: str


@dataclass(frozen=True)
class Assigned:
    """The segment of each shopper, in the order that was asked.

    Attributes:
        positions: in `Segments.segments`.
        distances: from the centroid, in standard units.
    """

    positions: Whole
    distances: Floats


@dataclass(frozen=True)
class Segments:
    """Segments that can be asked who belongs where; see `Segments.load`."""

    space: Space
    centroids: Floats
    segments: tuple[Segment, ...]
    retired: tuple[Retired, ...] = ()
    version: str = ""
    folder: Path | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The identifiers, in the order of the centroids."""
        return tuple(segment.id for segment in self.segments)

    @cached_property
    def _by_id(self) -> Mapping[str, Segment]:
        return {segment.id: segment for segment in self.segments}

    def get(self, identifier: str) -> Segment | None:
        """The live segment of that id."""
        return self._by_id.get(identifier)

    def name_of(self, identifier: str) -> Text | None:
        """The name of a segment, live or retired."""
        found = self.get(identifier) or next((each for each in self.retired if each.id == identifier), None)
        return found.name if found else None

    def assign(self, features: pa.Table, tokens: pa.Table) -> Assigned:
        """The nearest segment of each shopper of `features` (USER_FEATURE_SCHEMA; `tokens`: TOKEN_SCHEMA)."""
        return nearest(self.space.vectors(features, tokens), self.centroids)

    def traits(self, features: pa.Table, tokens: pa.Table, assigned: Assigned) -> list[list[Trait]]:
        """What is to be said of each shopper.

        The features that set the segment apart come first, with the shopper's own values; then up to three in which the
        shopper is furthest from the shop's median, and the two tokens that say most.
        """
        space = self.space
        scaled, own = space.scaled(features), values(features, space.features)
        percentiles = np.column_stack([space.percentiles(at, own[:, at]) for at in range(len(space.features))])
        marked = np.argsort(-np.abs(scaled), axis=1, kind="stable")
        at_of = {name: at for at, name in enumerate(space.features)}
        of_segment = [[at_of[t.trait] for t in segment.traits if t.trait in at_of] for segment in self.segments]
        liked = self._liked(space.known(features, tokens), features.num_rows)
        found = []
        for row, position in enumerate(assigned.positions.tolist()):
            chosen = list(of_segment[position])
            groups = {group_of(space.features[at]) for at in chosen}
            for at in marked[row].tolist():
                if len(chosen) == len(of_segment[position]) + _OWN_TRAITS or level_of(scaled[row, at]) == "usual":
                    break
                if group_of(space.features[at]) not in groups:
                    groups.add(group_of(space.features[at]))
                    chosen.append(at)
            found.append(
                [
                    Trait(
                        space.features[at],
                        level_of(scaled[row, at]),
                        round(float(own[row, at]), 4),
                        round(space.typical(at), 4),
                        round(float(percentiles[row, at]), 1),
                    )
                    for at in chosen
                ]
                + liked.get(row, [])
            )
        return found

    def _liked(self, known: Tokens, rows: int) -> dict[int, list[Trait]]:
        """The tokens of each shopper that say most; an item only where there is nothing more general."""
        is_item = np.array([token.startswith(ITEM_TOKEN) for token in self.space.vocabulary], dtype=bool)
        order = np.lexsort((known.columns, -known.weights, is_item[known.columns], known.rows))
        ordered = known.rows[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered, side="left")
        found: dict[int, list[Trait]] = {}
        for at in order[place < _TASTES].tolist():
            column = int(known.columns[at])
            trait = Trait(
                self.space.vocabulary[column],
                "likes",
                float(known.times[at]),
                round(float(self.space.token_share[column]), 4),
                label=self.space.labels[column],
            )
            found.setdefault(int(known.rows[at]), []).append(trait)
        return found

    def replay_golden(self) -> list[str]:
        """What is answered otherwise than when the artifact was written; empty when all is well."""
        if self.folder is None:
            raise ValueError("these segments were not loaded from an artifact")
        return golden_differences(self.folder, self.answer)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The segment of made-up shoppers: `{"features": {name: value}, "tokens": {token: times}}`."""
        features, tokens = as_tables([request])
        assigned = self.assign(features, tokens)
        return {"segment": self.ids[int(assigned.positions[0])], "distance": float(assigned.distances[0])}

    def save(self, folder: Path) -> None:
        """Write the files of the artifact."""
        space = self.space
        arrays = {
            "centroids": self.centroids,
            "logged": space.logged.astype(np.uint8),
            "centre": space.centre,
            "scale": space.scale,
            "weights": space.weights,
            "quantiles": space.quantiles,
            "token_share": space.token_share,
            "components": space.components,
            "taste_centre": space.taste_centre,
            "taste_scale": np.array([space.taste_scale]),
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)
        document = {
            "format": FORMAT,
            "features": space.features,
            "vocabulary": space.vocabulary,
            "labels": space.labels,
            "segments": [asdict(segment) for segment in self.segments],
            "retired": [asdict(each) for each in self.retired],
        }
        (folder / DOCUMENT).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and verify an artifact.

        Raises:
            ArtifactError: a file is missing or changed, or this code cannot read it.
        """
        manifest = verified(folder, USER_SEGMENTS)
        document = orjson.loads((folder / DOCUMENT).read_bytes())
        if document["format"] != FORMAT:
            raise ArtifactError(f"{folder / DOCUMENT}: format {document['format']} is not {FORMAT}; {_REMEDY}")
        unknown = sorted(set(document["features"]) - {feature.name for feature in USER_FEATURES})
        if unknown:
            raise ArtifactError(f"{folder / DOCUMENT}: features {unknown} are no longer declared; {_REMEDY}")
        arrays = load_file(folder / ARRAYS)
        space = Space(
            features=tuple(document["features"]),
            logged=arrays["logged"].astype(bool),
            centre=arrays["centre"],
            scale=arrays["scale"],
            weights=arrays["weights"],
            quantiles=arrays["quantiles"],
            vocabulary=tuple(document["vocabulary"]),
            labels=tuple(document["labels"]),
            token_share=arrays["token_share"],
            components=arrays["components"],
            taste_centre=arrays["taste_centre"],
            taste_scale=float(arrays["taste_scale"][0]),
        )
        segments = tuple(
            Segment(
                **each | {"shifts": tuple(each["shifts"]), "traits": tuple(Trait(**trait) for trait in each["traits"])}
            )
            for each in document["segments"]
        )
        retired = tuple(Retired(**each) for each in document["retired"])
        return cls(space, arrays["centroids"], segments, retired, manifest.version, folder)


def nearest(vectors: Floats, centroids: Floats) -> Assigned:
    """The nearest centroid of each vector; of equally near ones the first."""
    squared = (vectors**2).sum(axis=1)[:, None] - 2 * vectors @ centroids.T + (centroids**2).sum(axis=1)
    positions = squared.argmin(axis=1).astype(np.int64)
    return Assigned(positions, np.sqrt(np.maximum(squared[np.arange(len(vectors)), positions], 0)))


def as_tables(people: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """Made-up shoppers as `user_features` columns and tokens; a feature that is not given has its default."""
    keys = [f"shopper-{number}" for number in range(len(people))]
    columns: dict[str, Any] = {SHOPPER: pa.array(keys, pa.string())}
    for feature in USER_FEATURES:
        found = [float(each["features"].get(feature.name, feature.default)) for each in people]
        columns[feature.name] = pa.array(found, pa.float64())
    rows = [
        {SHOPPER: key, "token": token, "label": token, "times": int(times)}
        for key, each in zip(keys, people, strict=True)
        for token, times in each["tokens"].items()
    ]
    return pa.table(columns), pa.Table.from_pylist(rows, schema=TOKEN_SCHEMA)
