"""The artifact `answer_index`: what the shop wrote, ready to be searched, with the templates and the ranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from intent_tracking.applications.artifacts import (
    ANSWER_INDEX,
    artifact_folder,
    fingerprint_of,
    golden_differences,
    new_artifact,
    verified,
)
from intent_tracking.applications.customer_service.passages import Passage
from intent_tracking.applications.customer_service.ranking import Ranker
from intent_tracking.applications.customer_service.retrieval import Encoder, Found, Retriever, words_of
from intent_tracking.applications.customer_service.sparse import FloatArray, SparseIndex
from intent_tracking.applications.customer_service.templates import Templates
from intent_tracking.applications.customer_service.terms import function_words
from intent_tracking.artifact import ArtifactError
from intent_tracking.modeling.encoder import BaseEncoder
from intent_tracking.modeling.sentences import SentenceEncoder, sentence_graph

# Changes with what is written for the same input.
_FORMAT: Final = "1"
_PASSAGES: Final = "passages.parquet"
_VECTORS: Final = "vectors.safetensors"
_GRAPH: Final = "encoder.int8.onnx"
_TOKENIZER: Final = "tokenizer.json"
_RANKER: Final = "ranker.safetensors"
_TEMPLATES: Final = "templates.json"
_GOLDEN_QUESTIONS: Final = 20
_GOLDEN_K: Final = 1
# A graph in int8 answers a little otherwise on another processor, as that of the intent model does.
_GOLDEN_TOLERANCE: Final = 0.03
_SCHEMA: Final = pa.schema([(name, pa.string()) for name in ("id", "title", "text", "language")])


class AnswerIndex:
    """A loaded artifact. Safe to share between threads."""

    def __init__(self, folder: Path, version: str, retriever: Retriever, templates: Templates) -> None:
        self._folder = folder
        self.version = version
        self.templates = templates
        self._retriever = retriever

    @classmethod
    def load(cls, folder: Path) -> AnswerIndex:
        """Verify the checksums and read everything from these files alone.

        Raises:
            ArtifactError: a file is missing, changed, or of another form.
        """
        manifest = verified(folder, ANSWER_INDEX)
        try:
            rows = pq.read_table(folder / _PASSAGES, schema=_SCHEMA).to_pylist()
            ranker = Ranker.of_content((folder / _RANKER).read_bytes())
            templates = Templates.model_validate_json((folder / _TEMPLATES).read_text(encoding="utf-8"))
            encoder, vectors = None, None
            if _GRAPH in manifest.files:
                encoder = SentenceEncoder((folder / _GRAPH).read_bytes(), (folder / _TOKENIZER).read_text("utf-8"))
                vectors = load_file(folder / _VECTORS)["vectors"].astype(np.float32)
            retriever = Retriever([Passage(**row) for row in rows], SparseIndex.load(folder), ranker, encoder, vectors)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder}: {error}; materialize {ANSWER_INDEX} again") from error
        return cls(folder, manifest.version, retriever, templates)

    def search(self, question: str, k: int) -> list[Found]:
        """The `k` most probable answers among the passages, best first."""
        return self._retriever.search(question, k)

    def replay_golden(self) -> list[str]:
        """What is found otherwise than when the artifact was written."""
        return golden_differences(self._folder, lambda request: _answer(self._retriever, request), _GOLDEN_TOLERANCE)


def build_answer_index(
    root: Path,
    passages: Sequence[Passage],
    templates: Templates,
    ranker: Ranker,
    base: BaseEncoder | None,
    until: date,
) -> Path:
    """Write the artifact of this input below `root` (`Settings.applications`), unless it is there; its folder.

    Args:
        root: where the artifacts lie.
        passages: what is searched; there may be none, then the templates answer alone.
        templates: what is said about known intents.
        ranker: rates what was found.
        base: gives the vectors; None: the words alone decide.
        until: the day of what the shop wrote.

    Raises:
        EncoderError: `base` is no encoder that can be loaded.
    """
    words = orjson.dumps([asdict(each) for each in passages])
    encoder_name = base.name if base else "none"
    fingerprint = fingerprint_of(
        _FORMAT, words, templates.model_dump_json(), ranker.fingerprint, encoder_name, *sorted(function_words())
    )
    if (finished := artifact_folder(root, ANSWER_INDEX, until, fingerprint)) is not None:
        return finished
    with new_artifact(root, ANSWER_INDEX, until, fingerprint) as draft:
        folder = draft.folder
        pq.write_table(pa.Table.from_pylist([asdict(each) for each in passages], schema=_SCHEMA), folder / _PASSAGES)
        (folder / _RANKER).write_bytes(ranker.content())
        (folder / _TEMPLATES).write_text(templates.model_dump_json(indent=1) + "\n", encoding="utf-8")
        sparse = SparseIndex.build(passages)
        sparse.save(folder)
        encoder, vectors = _encoded(folder, passages, base)
        retriever = Retriever(passages, sparse, ranker, encoder, vectors)
        step = max(1, len(passages) // _GOLDEN_QUESTIONS)
        for passage in passages[::step][:_GOLDEN_QUESTIONS]:
            request = {"question": passage.title or passage.text[:100], "k": _GOLDEN_K}
            draft.golden.append((request, _answer(retriever, request)))
        draft.metrics = {"passages": float(len(passages)), **title_metrics(retriever)}
    found = artifact_folder(root, ANSWER_INDEX, until, fingerprint)
    assert found is not None  # noqa: S101 - it was written above
    return found


def title_metrics(retriever: Retriever) -> dict[str, float]:
    """How often a passage is found first, and among three, by its own title; passages of equal title count as one."""
    titled = [each for each in retriever.passages if each.title]
    if not titled:
        return {}
    step = max(1, len(titled) // 200)
    first = three = 0
    asked = titled[::step]
    for passage in asked:
        titles = [found.passage.title for found in retriever.search(passage.title, 3)]
        first += titles[:1] == [passage.title]
        three += passage.title in titles
    return {"own_title_first": first / len(asked), "own_title_in_three": three / len(asked)}


def _encoded(
    folder: Path, passages: Sequence[Passage], base: BaseEncoder | None
) -> tuple[Encoder | None, FloatArray | None]:
    if base is None or not passages:
        return None, None
    words = [words_of(each) for each in passages]
    graph, tokenizer = sentence_graph(base, words), base.tokenizer_file.read_text(encoding="utf-8")
    (folder / _GRAPH).write_bytes(graph)
    (folder / _TOKENIZER).write_text(tokenizer, encoding="utf-8")
    encoder = SentenceEncoder(graph, tokenizer)
    # Two bytes a number: halves of what a cosine tells from another are lost in the ranker anyway.
    halves = encoder.encode(words).astype(np.float16)
    save_file({"vectors": halves}, folder / _VECTORS)
    return encoder, halves.astype(np.float32)


def _answer(retriever: Retriever, request: Mapping[str, Any]) -> dict[str, Any]:
    found = retriever.search(request["question"], request["k"])
    return {"ids": [each.passage.id for each in found], "scores": [each.score for each in found]}
