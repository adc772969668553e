"""A model's raw outputs on a split, and the scores that passes are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from intent_tracking.modeling.batching import Batch, ExampleArrays, make_batch
from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.model import IntentModel, ModelOutput
from intent_tracking.modeling.multi_label import label_set_scores
from intent_tracking.modeling.objective import tag_f1
from intent_tracking.modeling.predicting import Backend, batches_by_length
from intent_tracking.modeling.scores import f1_of_true_labels, macro_f1, roc_auc

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_BATCH = 64
# Fewer answers tell no pass from another.
FEWEST_TO_JUDGE = 100


@dataclass(frozen=True, eq=False)
class SplitOutputs:
    """Outputs and targets over the labelled part of a split; None where the model has no such head.

    Of a multi-label set `label_sets` [N, K] are the targets, and `intent_targets` is empty.

    Shapes: intent_logits [N, K] and intent_targets [N]; tag_predictions and tag_targets [words];
    outcome_logits and outcome_targets [M].
    """

    intent_logits: FloatArray | None
    intent_targets: IntArray
    tag_predictions: IntArray | None
    tag_targets: IntArray
    outcome_logits: FloatArray | None
    outcome_targets: IntArray
    label_sets: npt.NDArray[np.bool_] | None = None


def run_split(model: IntentModel, examples: ExampleArrays, device: torch.device, *, bf16: bool) -> SplitOutputs:
    """Run `model` over `examples` in evaluation mode."""
    model.eval()

    def forward(batch: Batch) -> ModelOutput:
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            output: ModelOutput = model(batch.ids, batch.mask, batch.features, batch.scenes)
        return output

    return _collect(examples, device, forward)


def run_backend(backend: Backend, examples: ExampleArrays) -> SplitOutputs:
    """Run any runtime over `examples`, as it serves."""

    def forward(batch: Batch) -> ModelOutput:
        parts = backend.run(batch.ids.numpy(), batch.mask.numpy(), batch.features.numpy(), batch.scenes.numpy())
        found = (parts.pooled, parts.intents, parts.tags, parts.outcomes)
        return ModelOutput(*(None if part is None else torch.from_numpy(part) for part in found))  # type: ignore[arg-type]

    return _collect(examples, torch.device("cpu"), forward)


def _collect(examples: ExampleArrays, device: torch.device, forward: Callable[[Batch], ModelOutput]) -> SplitOutputs:
    intents: list[FloatArray] = []
    intent_targets: list[IntArray] = []
    label_sets: list[npt.NDArray[np.bool_]] = []
    tags: list[IntArray] = []
    tag_targets: list[IntArray] = []
    outcomes: list[FloatArray] = []
    outcome_targets: list[IntArray] = []
    for places in batches_by_length(examples.lengths, _BATCH):
        batch = make_batch(examples, places, device)
        output = forward(batch)
        if output.intents is not None:
            several = bool(batch.label_sets.shape[1])
            has = ~batch.label_sets.isnan().any(1) if several else batch.intents != IGNORED
            intents.append(output.intents.float()[has].cpu().numpy())
            if several:
                label_sets.append(batch.label_sets[has].cpu().numpy() > 0)
            else:
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
        intent_targets=np.concatenate(intent_targets) if intent_targets else none,
        tag_predictions=np.concatenate(tags) if tags else None,
        tag_targets=np.concatenate(tag_targets) if tags else none,
        outcome_logits=np.concatenate(outcomes) if outcomes else None,
        outcome_targets=np.concatenate(outcome_targets) if outcomes else none,
        label_sets=np.concatenate(label_sets) if label_sets else None,
    )


def pooled_texts(
    model: IntentModel, examples: ExampleArrays, device: torch.device, *, classes: int, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled vectors [N, H] of the first `most` examples of each label, and which labels each has [N, classes]."""
    if examples.label_sets.shape[1]:
        labels = np.nan_to_num(examples.label_sets) > 0
    else:
        labels = examples.intents[:, None] == np.arange(classes)
    seen = np.zeros(classes, dtype=np.int64)
    chosen: list[int] = []
    for place in np.flatnonzero(labels.any(axis=1)).tolist():
        if (seen[labels[place]] < most).any():
            seen += labels[place]
            chosen.append(place)
    model.eval()
    pooled = torch.zeros(len(chosen), model.hidden)
    lengths = examples.lengths
    for rows in batches_by_length([lengths[place] for place in chosen], _BATCH):
        batch = make_batch(examples, [chosen[row] for row in rows], device)
        with torch.inference_mode():
            pooled[rows] = model(batch.ids, batch.mask, batch.features, batch.scenes).pooled.float().cpu()
    return pooled, torch.from_numpy(labels[chosen])


def scores_of(outputs: SplitOutputs) -> dict[str, float]:
    """Scores by name; `score` is the one that chooses the best pass: of intents, else key information, else outcome.

    Of single intents it is the mean F1 over the labels that are true, of label sets their micro F1.
    """
    scores: dict[str, float] = {}
    if outputs.outcome_logits is not None and len(outputs.outcome_targets):
        scores["outcome_auc"] = roc_auc(outputs.outcome_targets.astype(bool), outputs.outcome_logits)
        scores["score"] = scores["outcome_auc"]
    if outputs.tag_predictions is not None and len(outputs.tag_targets):
        scores["tag_f1"] = tag_f1(outputs.tag_targets, outputs.tag_predictions)
        scores["score"] = scores["tag_f1"]
    if outputs.intent_logits is not None and outputs.label_sets is not None and len(outputs.label_sets):
        scores |= label_set_scores(outputs.label_sets, outputs.intent_logits > 0)
        # A label that is rare is below one half for long: micro F1 rises steadily, macro F1 in jumps.
        scores["score"] = scores["micro_f1"]
    elif outputs.intent_logits is not None and len(outputs.intent_targets):
        predicted = outputs.intent_logits.argmax(axis=1)
        scores["accuracy"] = float((predicted == outputs.intent_targets).mean())
        scores["macro_f1"] = macro_f1(outputs.intent_targets, predicted)
        # Validation lacks rare labels: a pass that never gives one must not win by that.
        scores["score"] = float(f1_of_true_labels(outputs.intent_targets, predicted)[0].mean())
    return scores


def chance_of(outputs: SplitOutputs) -> float:
    """How far chance moves `scores_of(outputs)["score"]`: its standard error, as of a share of so many right answers.

    A mean of labels' F1 is as unsure as its labels are, the rare ones most. Of an AUC the rarer outcome counts. A share
    of 0 or 1 is not certain either (Agresti and Coull 1998). Of fewer than 100 answers: 1.
    """
    if outputs.intent_logits is not None and outputs.label_sets is None and len(outputs.intent_targets):
        shares, counts = f1_of_true_labels(outputs.intent_targets, outputs.intent_logits.argmax(axis=1))
    else:
        if outputs.intent_logits is not None and len(outputs.intent_logits):
            count = len(outputs.intent_logits)
        elif outputs.tag_predictions is not None and len(outputs.tag_targets):
            count = len(outputs.tag_targets)
        else:
            count = int(np.bincount(outputs.outcome_targets, minlength=2).min())
        shares, counts = np.array([scores_of(outputs).get("score", 0.0)]), np.array([count])
    if counts.sum() < FEWEST_TO_JUDGE:
        return 1.0
    likely = (shares * counts + 2) / (counts + 4)
    return float(np.sqrt((likely * (1 - likely) / (counts + 4)).sum()) / len(counts))
