"""A model's raw outputs on a split, and the scores that passes are compared by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from intent_tracking.modeling.batching import ExampleArrays, make_batch
from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.objective import macro_f1, roc_auc, tag_f1
from intent_tracking.modeling.predicting import batches_by_length

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_BATCH = 64


@dataclass(frozen=True, eq=False)
class SplitOutputs:
    """Outputs and targets over the labelled part of a split; None where the model has no such head.

    Shapes: intent_logits [N, K] and intent_targets [N]; tag_predictions and tag_targets [words];
    outcome_logits and outcome_targets [M].
    """

    intent_logits: FloatArray | None
    intent_targets: IntArray
    tag_predictions: IntArray | None
    tag_targets: IntArray
    outcome_logits: FloatArray | None
    outcome_targets: IntArray


def run_split(model: IntentModel, examples: ExampleArrays, device: torch.device, *, bf16: bool) -> SplitOutputs:
    """Run `model` over `examples` in evaluation mode."""
    model.eval()
    intents: list[FloatArray] = []
    intent_targets: list[IntArray] = []
    tags: list[IntArray] = []
    tag_targets: list[IntArray] = []
    outcomes: list[FloatArray] = []
    outcome_targets: list[IntArray] = []
    for places in batches_by_length(examples.lengths, _BATCH):
        batch = make_batch(examples, places, device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            output = model(batch.ids, batch.mask, batch.features, batch.scenes)
        if output.intents is not None:
            has = batch.intents != IGNORED
            intents.append(output.intents.float()[has].cpu().numpy())
            intent_targets.append(batch.intents[has].cpu().numpy())
        if output.tags is not None:
            words = batch.tags != IGNORED
            tags.append(output.tags[words].argmax(-1).cpu().numpy())
            tag_targets.append(batch.tags[words].cpu().numpy())
        if output.outcomes is not None:
            known = ~batch.outcomes.isnan()
            outcomes.append(output.outcomes.float()[known].cpu().numpy())
            outcome_targets.append(batch.outcomes[known].long().cpu().numpy())
    none = np.zeros(0, dtype=np.int64)
    return SplitOutputs(
        intent_logits=np.concatenate(intents) if intents else None,
        intent_targets=np.concatenate(intent_targets) if intents else none,
        tag_predictions=np.concatenate(tags) if tags else None,
        tag_targets=np.concatenate(tag_targets) if tags else none,
        outcome_logits=np.concatenate(outcomes) if outcomes else None,
        outcome_targets=np.concatenate(outcome_targets) if outcomes else none,
    )


def scores_of(outputs: SplitOutputs) -> dict[str, float]:
    """Scores by name; `score` is the one that chooses the best pass: intents, else key information, else outcome."""
    scores: dict[str, float] = {}
    if outputs.outcome_logits is not None and len(outputs.outcome_targets):
        scores["outcome_auc"] = roc_auc(outputs.outcome_targets.astype(bool), outputs.outcome_logits)
        scores["score"] = scores["outcome_auc"]
    if outputs.tag_predictions is not None and len(outputs.tag_targets):
        scores["tag_f1"] = tag_f1(outputs.tag_targets, outputs.tag_predictions)
        scores["score"] = scores["tag_f1"]
    if outputs.intent_logits is not None and len(outputs.intent_targets):
        predicted = outputs.intent_logits.argmax(axis=1)
        scores["accuracy"] = float((predicted == outputs.intent_targets).mean())
        scores["macro_f1"] = macro_f1(outputs.intent_targets, predicted)
        scores["score"] = scores["macro_f1"]
    return scores
