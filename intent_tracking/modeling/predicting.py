"""From inputs to predictions: one path for golden answers, evaluation, service and batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.decoding import best_tags, spans_of
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.prediction import KeyInformation, Prediction, RankedIntents
from intent_tracking.modeling.tokenization import EncodedText, SessionTokenizer
from intent_tracking.sessions.render import ModelInput

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Features = Mapping[str, float | None]
# Up to here the best are looked for one by one.
_FEW = 8
# Texts whose tokens are held at a time: of a whole file they would take gigabytes.
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Outputs:
    """Raw float32 outputs of a batch; a head that is absent gives None.

    Shapes: pooled [B, H], intents [B, K], tags [B, T, G], outcomes [B].
    """

    pooled: FloatArray
    intents: FloatArray | None
    tags: FloatArray | None
    outcomes: FloatArray | None


class Backend(Protocol):
    """What runs the network: torch here, another runtime behind the same call.

    Attributes:
        run_tokens: how many tokens of padding cost as much as one more run of the network.
    """

    run_tokens: int

    def run(self, ids: IntArray, mask: IntArray, features: FloatArray, scenes: IntArray) -> Outputs:
        """Run a padded batch: ids and mask [B, T], features [B, F] NaN where unknown, scenes [B] from `scene_ids`."""
        ...


class TorchBackend:
    """Runs an `IntentModel` in evaluation mode: float32 on CPU, bf16 autocast on a GPU."""

    def __init__(self, model: IntentModel, device: torch.device) -> None:
        # A GPU takes thousands of tokens in the time of one run.
        self.run_tokens = 96 if device.type == "cpu" else 1 << 13
        self._model = model.to(device).eval()
        self._device = device

    def run(self, ids: IntArray, mask: IntArray, features: FloatArray, scenes: IntArray) -> Outputs:
        """See `Backend.run`."""
        on_gpu = self._device.type == "cuda"
        with torch.inference_mode(), torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=on_gpu):
            output = self._model(
                torch.from_numpy(ids).to(self._device),
                torch.from_numpy(mask).to(self._device),
                torch.from_numpy(features).to(self._device),
                torch.from_numpy(scenes).to(self._device),
            )
        return Outputs(*(None if part is None else part.float().cpu().numpy() for part in output))  # type: ignore[arg-type]


def batches_by_length(lengths: Sequence[int], batch_size: int, run_tokens: int | None = None) -> list[list[int]]:
    """Positions grouped so that each batch holds texts of like length: padding is work for nothing.

    Args:
        lengths: tokens of each text.
        batch_size: most texts of a batch.
        run_tokens: a batch ends early where its next text would pad it by more tokens than this; None: never.
    """
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    if run_tokens is None:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    batches: list[list[int]] = []
    width = 0
    for place in order:
        length = lengths[place]
        if not batches or len(batches[-1]) == batch_size or len(batches[-1]) * (length - width) > run_tokens:
            batches.append([])
        batches[-1].append(place)
        width = length
    return batches


def scene_ids(scenes: Sequence[str], known: Sequence[str]) -> IntArray:
    """Index of each scene as the network takes it: 1 + its place in `known`, 0 for a scene that is not there."""
    places = {scene: place for place, scene in enumerate(known, start=1)}
    return np.asarray([places.get(scene, 0) for scene in scenes], dtype=np.int64)


def pad(encoded: Sequence[Sequence[int] | npt.NDArray[Any]]) -> tuple[IntArray, IntArray]:
    """Token ids to a padded matrix and its mask, both int64 [B, T].

    Padding is id 1: XLM-R and RoBERTa count positions by it, and for the others the mask alone decides.
    """
    there = within(encoded)
    ids = np.ones(there.shape, dtype=np.int64)
    ids[there] = np.concatenate(encoded)
    return ids, there.astype(np.int64)


def within(rows: Sequence[Sequence[int] | npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Where a padded matrix of `rows` holds them: bool [B, T]."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    places: npt.NDArray[np.bool_] = np.arange(lengths.max()) < lengths[:, None]
    return places


@dataclass(frozen=True, eq=False)
class PredictionPipeline:
    """Tokenizer, network, label set and calibration as one function from inputs to predictions."""

    backend: Backend
    tokenizer: SessionTokenizer
    labels: LabelSet
    calibration: Calibration
    feature_names: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        batch_size: int = 64,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Predict `inputs` in the order given.

        Args:
            inputs: rendered sessions or utterances.
            features: user features by name for each input; None or a missing name: unknown.
            batch_size: texts per run of the network.
            top_k: how many intents to return; None: all.

        Raises:
            ValueError: `features` has another length than `inputs`, or the batch size is not positive.
        """
        if features is not None and len(features) != len(inputs):
            raise ValueError(f"{len(inputs)} inputs but {len(features)} rows of features; give one row for each input")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        given = [None] * len(inputs) if features is None else features
        made: list[Prediction] = []
        for first in range(0, len(inputs), _BLOCK):
            block = slice(first, first + _BLOCK)
            made += self._predict_block(inputs[block], given[block], batch_size, top_k)
        return made

    def _predict_block(
        self, inputs: Sequence[ModelInput], features: Sequence[Features | None], batch_size: int, top_k: int | None
    ) -> list[Prediction]:
        encoded = self.tokenizer.encode([entry.text for entry in inputs])
        predictions: dict[int, Prediction] = {}
        lengths = [len(entry.ids) for entry in encoded]
        for batch in batches_by_length(lengths, batch_size, self.backend.run_tokens):
            ids, mask = pad([encoded[place].ids for place in batch])
            rows = np.full((len(batch), len(self.feature_names)), np.nan, dtype=np.float32)
            for row, place in enumerate(batch):
                rows[row] = self._feature_row(features[place])
            outputs = self.backend.run(
                ids, mask, rows, scene_ids([inputs[place].scene for place in batch], self.scenes)
            )
            made = self._predictions(
                [inputs[place] for place in batch], [encoded[place] for place in batch], outputs, top_k
            )
            predictions.update(zip(batch, made, strict=True))
        return [predictions[place] for place in range(len(inputs))]

    def _feature_row(self, features: Features | None) -> list[float]:
        values = [None if features is None else features.get(name) for name in self.feature_names]
        return [np.nan if value is None else float(value) for value in values]

    def _predictions(
        self, inputs: Sequence[ModelInput], encoded: Sequence[EncodedText], outputs: Outputs, top_k: int | None
    ) -> list[Prediction]:
        """The predictions of one batch: what is arithmetic is done for all of its rows at once."""
        names = self.labels.intents
        rows = len(inputs)
        holding: list[tuple[str, ...]] = [()] * rows
        familiarity: Sequence[float]
        if outputs.intents is None:
            # One label or none was seen in training: there is nothing to choose from.
            known = np.ones((rows, len(names)), dtype=np.float32)
            familiarity, out_of_scope = [float(bool(names))] * rows, [not names] * rows
        elif self.labels.multi_label:
            known = self.calibration.label_probabilities(outputs.intents)
            found = self.calibration.holding(known)
            holding = [tuple(name for name, holds in zip(names, row, strict=True) if holds) for row in found.tolist()]
            familiarity, out_of_scope = known.max(axis=1).tolist(), [not held for held in holding]
        else:
            known = self.calibration.intent_probabilities(outputs.intents)[:, : len(names)]
            familiarity = self.calibration.familiarity_of(outputs.intents, len(names)).tolist()
            out_of_scope = [self.calibration.is_out_of_scope(value) for value in familiarity]
        order = best_first(known, top_k)
        scores = np.take_along_axis(known, order, axis=1)
        purchases: list[float] = [] if outputs.outcomes is None else outputs.outcomes.tolist()
        tags: list[list[int]] = [] if outputs.tags is None else outputs.tags.argmax(axis=2).tolist()
        return [
            Prediction(
                # Copies: a prediction that is kept must not keep those of the whole batch.
                intents=RankedIntents(names, places.astype(np.int32), scores[row].copy()),
                out_of_scope=out_of_scope[row],
                key_information=(
                    self._key_information(inputs[row], encoded[row], outputs.tags[row], tags[row])
                    if outputs.tags is not None
                    else ()
                ),
                purchase_probability=(
                    self.calibration.purchase_probability(purchases[row]) if purchases else float("nan")
                ),
                embedding=outputs.pooled[row].copy(),
                unknown_share=encoded[row].unknown_share,
                token_count=len(encoded[row].ids),
                familiarity=familiarity[row],
                labels=holding[row],
            )
            for row, places in enumerate(order)
        ]

    def _key_information(
        self, entry: ModelInput, encoded: EncodedText, logits: FloatArray, tags_alone: Sequence[int]
    ) -> tuple[KeyInformation, ...]:
        first, last = entry.utterance_start, entry.utterance_end
        # Most texts have none, and then no token of the utterance is inside of a span.
        if first == last or not any(tags_alone[encoded.first_from(first) : len(encoded.ids)]):
            return ()
        spans, begins = encoded.spans, encoded.word_starts
        inside = [first <= left < right <= last for left, right in spans]
        found: list[tuple[int, int, int]] = []
        for stretch in encoded.stretches:
            starts = [place for place in stretch if inside[place] and begins[place]]
            words: list[tuple[int, int]] = []
            for place in starts:
                stop = place + 1
                while stop < stretch.stop and inside[stop] and not begins[stop]:
                    stop += 1
                words.append((spans[place][0], spans[stop - 1][1]))
            # Words of two stretches are no neighbours: nothing that begins in one goes on in the next.
            found += spans_of(best_tags(logits[starts]), words)
        names = self.labels.key_information
        return tuple(
            KeyInformation(names[slot], entry.text[start:end], start - first, end - first) for slot, start, end in found
        )


def best_first(scores: FloatArray, top_k: int | None) -> IntArray:
    """Places of the `top_k` highest of each row [B, K], highest first, of equals the first; None: of all."""
    if top_k is None or top_k > _FEW:
        return np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    # Looking for the highest a few times is several times faster than sorting 150 labels.
    left, rows = scores.copy(), np.arange(len(scores))
    order = np.empty((len(scores), min(top_k, scores.shape[1])), dtype=np.int64)
    for turn in range(order.shape[1]):
        order[:, turn] = left.argmax(axis=1)
        left[rows, order[:, turn]] = -np.inf
    return order
