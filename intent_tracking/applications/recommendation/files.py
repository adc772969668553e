"""The item index as files: arrays as safetensors, the catalogue as Parquet, the ranker as ONNX."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from intent_tracking.applications.artifacts import ITEM_INDEX, Document, Draft, golden_differences, verified
from intent_tracking.applications.recommendation.candidates import FEATURES
from intent_tracking.applications.recommendation.interactions import Catalogue
from intent_tracking.applications.recommendation.item_index import ItemFigures, ItemIndex, VisitMemory
from intent_tracking.applications.recommendation.questions import (
    answer_document,
    document_of,
    golden_questions,
    question_of,
)
from intent_tracking.applications.recommendation.ranker import Ranker
from intent_tracking.applications.recommendation.recommender import Recommender
from intent_tracking.applications.recommendation.rules import shipped_rules
from intent_tracking.applications.recommendation.similarity import Neighbours
from intent_tracking.artifact import ArtifactError, Manifest

_ARRAYS: Final = "index.safetensors"
_ITEMS: Final = "items.parquet"
_RANKER: Final = "ranker.onnx"
_FORM: Final = "index.json"
_PARTS: Final = {"figures": ItemFigures, "together": Neighbours, "alike": Neighbours, "memory": VisitMemory}
_TEXTS: Final = ("ids", "names", "categories", "brands")


def save(draft: Draft, recommender: Recommender) -> None:
    """Write the index and its ranker into the folder of `draft`, with golden answers by the shipped rules."""
    index, folder = recommender.index, draft.folder
    arrays = {
        f"{part}.{field.name}": np.ascontiguousarray(getattr(getattr(index, part), field.name))
        for part, kind in _PARTS.items()
        for field in fields(kind)
    }
    save_file(arrays, folder / _ARRAYS)
    of = index.catalogue
    columns = {name: pa.array(getattr(of, name), pa.string()) for name in _TEXTS}
    columns |= {"prices": pa.array(of.prices), "first_days": pa.array(of.first_days)}
    pq.write_table(pa.table(columns), folder / _ITEMS, compression="zstd")
    (folder / _RANKER).write_bytes(recommender.ranker.content)
    (folder / _FORM).write_text(json.dumps({"day": index.day, "features": FEATURES}) + "\n", encoding="utf-8")
    draft.golden += [
        (document_of(question), answer_document(recommender.recommend(question, shipped_rules())))
        for question in golden_questions(index)
    ]


def load(folder: Path) -> Recommender:
    """The recommender of `save`; the checksums are not looked at.

    Raises:
        ArtifactError: its ranker takes other features than this version of the package computes.
    """
    form = json.loads((folder / _FORM).read_text(encoding="utf-8"))
    if tuple(form["features"]) != FEATURES:
        raise ArtifactError(f"{folder / _FORM}: the ranker takes other features; materialize item_index again")
    arrays = load_file(folder / _ARRAYS)
    table = pq.read_table(folder / _ITEMS)
    catalogue = Catalogue(
        **{name: tuple(table[name].to_pylist()) for name in _TEXTS},
        prices=table["prices"].to_numpy().astype(np.float32),
        first_days=table["first_days"].to_numpy().astype(np.int32),
    )
    parts = {
        part: kind(**{field.name: arrays[f"{part}.{field.name}"] for field in fields(kind)})
        for part, kind in _PARTS.items()
    }
    index = ItemIndex(day=int(form["day"]), catalogue=catalogue, **parts)
    return Recommender(index, Ranker((folder / _RANKER).read_bytes()))


def ranker_of(folder: Path) -> Ranker | None:
    """The ranker of an artifact by itself; None where it takes other features than are computed now.

    Raises:
        ArtifactError: a file of the artifact is missing or changed.
    """
    verified(folder, ITEM_INDEX)
    form = json.loads((folder / _FORM).read_text(encoding="utf-8"))
    return Ranker((folder / _RANKER).read_bytes()) if tuple(form["features"]) == FEATURES else None


class LiveIndex:
    """The artifact as the service holds it.

    Raises:
        ArtifactError: a file is missing or changed, or was made for another version of the package.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.manifest: Manifest = verified(folder, ITEM_INDEX)
        self.recommender = load(folder)

    @property
    def version(self) -> str:
        """Version of the artifact."""
        return self.manifest.version

    def replay_golden(self) -> list[str]:
        """What it answers otherwise than when it was written."""

        def answer(request: Document) -> Document:
            return answer_document(self.recommender.recommend(question_of(request), shipped_rules()))

        return golden_differences(self._folder, answer)
