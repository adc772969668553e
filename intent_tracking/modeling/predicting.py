"""From inputs to predictions: one path for golden answers, evaluation, service and batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.decoding import best_tags, spans_of
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.prediction import IntentScore, KeyInformation, Prediction
from intent_tracking.modeling.tokenization import EncodedText, SessionTokenizer
from intent_tracking.sessions.render import ModelInput

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Features = Mapping[str, float | None]


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
    """What runs the network: torch here, another runtime behind the same call."""

    def run(self, ids: IntArray, mask: IntArray, features: FloatArray, scenes: IntArray) -> Outputs:
        """Run a padded batch: ids and mask [B, T], features [B, F] NaN where unknown, scenes [B] from `scene_ids`."""
        ...


class TorchBackend:
    """Runs an `IntentModel` in evaluation mode: float32 on CPU, bf16 autocast on a GPU."""

    def __init__(self, model: IntentModel, device: torch.device) -> None:
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


def batches_by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Positions grouped so that each batch holds texts of like length: padding is work for nothing."""
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def scene_ids(scenes: Sequence[str], known: Sequence[str]) -> IntArray:
    """Index of each scene as the network takes it: 1 + its place in `known`, 0 for a scene that is not there."""
    places = {scene: place for place, scene in enumerate(known, start=1)}
    return np.asarray([places.get(scene, 0) for scene in scenes], dtype=np.int64)


def pad(encoded: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Token ids to a padded matrix and its mask, both int64 [B, T].

    Padding is id 1: XLM-R and RoBERTa count positions by it, and for the others the mask alone decides.
    """
    width = max(map(len, encoded))
    ids = np.ones((len(encoded), width), dtype=np.int64)
    mask = np.zeros((len(encoded), width), dtype=np.int64)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


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
        encoded = self.tokenizer.encode([entry.text for entry in inputs])
        predictions: dict[int, Prediction] = {}
        for batch in batches_by_length([len(entry.ids) for entry in encoded], batch_size):
            ids, mask = pad([encoded[place].ids for place in batch])
            rows = np.full((len(batch), len(self.feature_names)), np.nan, dtype=np.float32)
            if features is not None:
                for row, place in enumerate(batch):
                    rows[row] = self._feature_row(features[place])
            outputs = self.backend.run(
                ids, mask, rows, scene_ids([inputs[place].scene for place in batch], self.scenes)
            )
            for row, place in enumerate(batch):
                predictions[place] = self._prediction(inputs[place], encoded[place], outputs, row, top_k)
        return [predictions[place] for place in range(len(inputs))]

    def _feature_row(self, features: Features | None) -> list[float]:
        values = [None if features is None else features.get(name) for name in self.feature_names]
        return [np.nan if value is None else float(value) for value in values]

    def _prediction(
        self, entry: ModelInput, encoded: EncodedText, outputs: Outputs, row: int, top_k: int | None
    ) -> Prediction:
        names = self.labels.intents
        holding: tuple[str, ...] = ()
        if outputs.intents is None:
            # One label or none was seen in training: there is nothing to choose from.
            known = np.ones(len(names), dtype=np.float32)
            familiarity, is_out = float(bool(names)), not names
        elif self.labels.multi_label:
            known = self.calibration.label_probabilities(outputs.intents[row])
            found = self.calibration.holding(known)
            holding = tuple(name for name, holds in zip(names, found, strict=True) if holds)
            familiarity, is_out = float(known.max()), not holding
        else:
            known = self.calibration.intent_probabilities(outputs.intents[row])[: len(names)]
            familiarity = self.calibration.familiarity_of(outputs.intents[row], len(names))
            is_out = self.calibration.is_out_of_scope(familiarity)
        order = np.argsort(-known, kind="stable")[:top_k]
        return Prediction(
            intents=tuple(IntentScore(names[place], float(known[place])) for place in order),
            out_of_scope=is_out,
            key_information=() if outputs.tags is None else self._key_information(entry, encoded, outputs.tags[row]),
            purchase_probability=(
                float("nan")
                if outputs.outcomes is None
                else self.calibration.purchase_probability(float(outputs.outcomes[row]))
            ),
            embedding=outputs.pooled[row],
            unknown_share=encoded.unknown_share,
            token_count=len(encoded.ids),
            familiarity=familiarity,
            labels=holding,
        )

    def _key_information(
        self, entry: ModelInput, encoded: EncodedText, logits: FloatArray
    ) -> tuple[KeyInformation, ...]:
        first, last = entry.utterance_start, entry.utterance_end
        inside = [first <= left < right <= last for left, right in encoded.spans]
        starts = [place for place, begins in enumerate(encoded.word_starts) if begins and inside[place]]
        words: list[tuple[int, int]] = []
        for place in starts:
            stop = place + 1
            while stop < len(inside) and inside[stop] and not encoded.word_starts[stop]:
                stop += 1
            words.append((encoded.spans[place][0], encoded.spans[stop - 1][1]))
        spans = spans_of(best_tags(logits[starts]), words)
        names = self.labels.key_information
        return tuple(
            KeyInformation(names[slot], entry.text[start:end], start - first, end - first) for slot, start, end in spans
        )
