"""Examples in memory and the batches of a pass: like lengths together, order drawn from the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.multi_label import label_set_matrix
from intent_tracking.modeling.packing import Packing
from intent_tracking.modeling.predicting import pad, scene_ids, within

# Columns that `distillation.taught` adds to `TOKENIZED_SCHEMA`.
TEACHER_POOLED, TEACHER_INTENTS = "teacher_pooled", "teacher_intents"
# Batches whose texts are sorted by length together: enough to save padding, few enough to stay random. Of Banking77's
# tokens 6% were padding with 40, 3% with 100.
_BUCKET = 100
# Share of a batch that is shown again in another scene.
_SHOWN_AGAIN = 0.25


@dataclass(frozen=True, eq=False)
class ExampleArrays:
    """Rows of `TOKENIZED_SCHEMA` as arrays, with what a teacher answered: no columns where there is none."""

    ids: list[npt.NDArray[np.int32]]
    tags: list[npt.NDArray[np.int16]]
    intents: npt.NDArray[np.int64]
    outcomes: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    scenes: npt.NDArray[np.int64]
    label_sets: npt.NDArray[np.float32]
    teacher_pooled: npt.NDArray[np.float32]
    teacher_intents: npt.NDArray[np.float32]

    @classmethod
    def of(cls, table: pa.Table, features: int, scenes: Sequence[str] = (), labels: int = 0) -> ExampleArrays:
        """Read `table`.

        Args:
            table: rows of `TOKENIZED_SCHEMA`.
            features: user features of each row.
            scenes: those of the model's config.
            labels: of a multi-label set, whose `label_sets` [N, labels] are read; 0: a text has one intent.
        """
        outcomes = [np.nan if value is None else float(value) for value in table["outcome"].to_pylist()]
        return cls(
            ids=_rows_of(table["input_ids"], np.dtype(np.int32)),
            tags=_rows_of(table["tags"], np.dtype(np.int16)),
            intents=np.asarray([IGNORED if v is None else v for v in table["intent"].to_pylist()], dtype=np.int64),
            outcomes=np.asarray(outcomes, dtype=np.float32),
            weights=np.asarray(table["weight"].to_pylist(), dtype=np.float32),
            features=np.asarray(table["features"].to_pylist(), dtype=np.float32).reshape(len(table), features),
            scenes=scene_ids(table["scene"].to_pylist(), scenes),
            label_sets=label_set_matrix(table["label_set"].to_pylist(), labels),
            teacher_pooled=_matrix(table, TEACHER_POOLED),
            teacher_intents=_matrix(table, TEACHER_INTENTS),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def labelled(self, intents: int) -> int:
        """Examples of one of the first `intents` classes, after which "none of these" comes, or of a set of them."""
        if self.label_sets.shape[1]:
            return int((self.label_sets > 0).any(axis=1).sum())
        return int(((self.intents != IGNORED) & (self.intents < intents)).sum())

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(row) for row in self.ids]


def _rows_of(column: pa.ChunkedArray, kind: np.dtype[Any]) -> list[npt.NDArray[Any]]:
    """Each list of a column as an array: all of them as Python objects would be some ten times as large."""
    rows: list[npt.NDArray[Any]] = []
    for chunk in column.chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False).astype(kind)
        rows += np.split(values, np.cumsum(chunk.value_lengths().to_numpy())[:-1])
    return rows


def _matrix(table: pa.Table, column: str) -> npt.NDArray[np.float32]:
    """A column of lists of one size [N, size]; [N, 0] where the table has no such column."""
    if column not in table.column_names:
        return np.zeros((len(table), 0), dtype=np.float32)
    values = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    shape = (len(table), table.schema.field(column).type.list_size)
    return np.asarray(values, dtype=np.float32).reshape(shape)


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded tensors: ids, mask and tags [B, T], the rest [B] or [B, F]; scene 0 is an unknown one.

    `label_sets` is [B, K] of a multi-label set, NaN in unlabelled rows, else [B, 0]. `teacher_pooled` [B, H] and
    `teacher_intents` [B, K] are what a teacher answered, else [B, 0].

    Attributes:
        tokens: padding left out.
        own: rows that are learned from; those after them are shown again in another scene.
        of_texts, of_words, of_outcomes: learned from in the whole batch, of which this may be one process's share.
        packing: where the texts lie in a packed batch, whose ids, mask and tags are [1, N]; None: it is padded.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    tags: torch.Tensor
    intents: torch.Tensor
    outcomes: torch.Tensor
    weights: torch.Tensor
    features: torch.Tensor
    scenes: torch.Tensor
    label_sets: torch.Tensor
    teacher_pooled: torch.Tensor
    teacher_intents: torch.Tensor
    tokens: int
    own: int
    of_texts: int
    of_words: int
    of_outcomes: int
    packing: Packing | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        moved = {name: part.to(device, non_blocking=True) for name, part in _tensors(self).items()}
        return replace(self, **moved, packing=None if self.packing is None else self.packing.to(device))  # type: ignore[arg-type]


def _tensors(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: part for name, part in vars(batch).items() if isinstance(part, torch.Tensor)}


def make_batch(examples: ExampleArrays, places: Sequence[int], device: torch.device) -> Batch:
    """Pad the examples at `places` into one batch on `device`."""
    ids, mask = pad([examples.ids[place] for place in places])
    of_words = [examples.tags[place] for place in places]
    tags = np.full(ids.shape, IGNORED, dtype=np.int64)
    there = within(of_words)
    tags[:, : there.shape[1]][there] = np.concatenate(of_words)
    rows = np.asarray(places)
    outcomes = examples.outcomes[rows]
    return Batch(
        ids=torch.from_numpy(ids).to(device),
        mask=torch.from_numpy(mask).to(device),
        tags=torch.from_numpy(tags).to(device),
        intents=torch.from_numpy(examples.intents[rows]).to(device),
        outcomes=torch.from_numpy(outcomes).to(device),
        weights=torch.from_numpy(examples.weights[rows]).to(device),
        features=torch.from_numpy(examples.features[rows]).to(device),
        scenes=torch.from_numpy(examples.scenes[rows]).to(device),
        label_sets=torch.from_numpy(examples.label_sets[rows]).to(device),
        teacher_pooled=torch.from_numpy(examples.teacher_pooled[rows]).to(device),
        teacher_intents=torch.from_numpy(examples.teacher_intents[rows]).to(device),
        tokens=int(mask.sum()),
        own=len(rows),
        of_texts=len(rows),
        of_words=int((tags != IGNORED).sum()),
        of_outcomes=int((~np.isnan(outcomes)).sum()),
    )


def in_other_scenes(batch: Batch, scene_tokens: torch.Tensor) -> tuple[Batch, torch.Tensor]:
    """The batch followed by a quarter of its rows, each as another scene would show it: the same words.

    What is drawn depends on torch's global generator alone. A row may also be shown as an unknown scene does it, which
    changes no token.

    Args:
        batch: rows whose first word is their scene's token, as every rendered text begins.
        scene_tokens: token id of each scene, int64 [S + 1]; that of scene 0 is not used.

    Returns:
        The longer batch and the places [R] of the originals of its last R rows.
    """
    rows = torch.randperm(len(batch.scenes))[: round(_SHOWN_AGAIN * len(batch.scenes))].to(batch.ids.device)
    step = torch.randint(1, len(scene_tokens), (len(rows),)).to(batch.ids.device)
    scenes = (batch.scenes[rows] + step) % len(scene_tokens)
    ids = batch.ids[rows]
    known = (scenes > 0) & (batch.scenes[rows] > 0)
    ids[:, 1] = torch.where(known, scene_tokens[scenes], ids[:, 1])
    again = {name: torch.cat([part, part[rows]]) for name, part in _tensors(batch).items()}
    again |= {"ids": torch.cat([batch.ids, ids]), "scenes": torch.cat([batch.scenes, scenes])}
    again["tags"][len(batch.tags) :] = IGNORED
    return replace(batch, **again, tokens=batch.tokens + int(batch.mask[rows].sum())), rows  # type: ignore[arg-type]


def share_of(batch: Batch, again: torch.Tensor, rank: int, count: int) -> tuple[Batch, torch.Tensor]:
    """The rows that process `rank` of `count` learns from, each followed by what is shown again of it.

    A process without a row of its own reads the first one and learns nothing from it: all must take the same steps.

    Args:
        batch: the whole one, padded.
        again: places [R] of the originals of its last R rows; may be empty.
        rank, count: of the processes.

    Returns:
        The smaller batch and the places of the originals of its last rows.
    """
    if count == 1:
        return batch, again
    own = torch.arange(batch.own)[rank::count]
    nothing = len(own) == 0
    shown = (again % count == rank).nonzero().squeeze(1)
    rows = torch.cat([torch.zeros(1, dtype=torch.long) if nothing else own, batch.own + shown])
    parts = {name: part[rows] for name, part in _tensors(batch).items()}
    if nothing:
        parts["weights"] = torch.zeros_like(parts["weights"])
        parts["intents"] = torch.full_like(parts["intents"], IGNORED)
        parts["tags"] = torch.full_like(parts["tags"], IGNORED)
        parts["outcomes"] = torch.full_like(parts["outcomes"], torch.nan)
    tokens, width = int(parts["mask"].sum()), int(parts["mask"].sum(1).max())
    parts |= {name: parts[name][:, :width] for name in ("ids", "mask", "tags")}
    return replace(batch, **parts, tokens=tokens, own=max(1, len(own))), again[shown] // count  # type: ignore[arg-type]


def pack(batch: Batch) -> Batch:
    """The same batch, on the CPU, without its padding."""
    there = batch.mask.flatten().nonzero().squeeze(1)
    parts = {name: getattr(batch, name).flatten()[there].unsqueeze(0) for name in ("ids", "mask", "tags")}
    return replace(batch, **parts, packing=Packing.of(batch.mask.sum(1)))


def pass_size(always: int, others: int, share: float) -> int:
    """Examples of one pass."""
    return always + round(share * others)


def plan_pass(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int, *, always: Sequence[bool], share: float = 1.0
) -> list[list[int]]:
    """Batches of one pass; a function of its arguments, so a resumed pass finds its place.

    Args:
        lengths: tokens of each example.
        batch_size: examples of a batch.
        seed, epoch: of the order.
        always: examples that each pass takes; of the others it draws anew.
        share: how many of the others.
    """
    random = np.random.default_rng([seed, epoch])
    sure = np.asarray(always, dtype=bool)
    others = random.permutation(np.flatnonzero(~sure))
    order = random.permutation(np.concatenate([np.flatnonzero(sure), others[: pass_size(0, len(others), share)]]))
    batches: list[list[int]] = []
    width = batch_size * _BUCKET
    for start in range(0, len(order), width):
        bucket = sorted(order[start : start + width].tolist(), key=lambda place: lengths[place])
        batches.extend(bucket[first : first + batch_size] for first in range(0, len(bucket), batch_size))
    return [batches[place] for place in random.permutation(len(batches))]
