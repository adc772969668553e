"""What is minimised, and the scores that choose the best pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.model import ModelOutput
from intent_tracking.modeling.recipe import Recipe

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


def class_weights(intents: IntArray, classes: int, power: float) -> torch.Tensor:
    """Weights [K] that grow as classes get rarer, to the given power; over the examples their mean is one.

    Capped at a factor of four either way: a class of one or two examples must not drown the rest.
    """
    counts = np.bincount(intents[intents != IGNORED], minlength=classes).astype(np.float64)
    present = counts > 0
    weights = np.ones(classes)
    if not present.any():
        return torch.tensor(weights, dtype=torch.float32)
    weights[present] = np.clip((counts[present].mean() / counts[present]) ** power, 0.25, 4.0)
    weights /= (weights * counts).sum() / counts.sum()
    return torch.tensor(weights, dtype=torch.float32)


def loss_of(
    output: ModelOutput,
    intents: torch.Tensor,
    tags: torch.Tensor,
    outcomes: torch.Tensor,
    weights: torch.Tensor,
    by_class: torch.Tensor,
    recipe: Recipe,
    label_sets: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of the heads' losses over what is labelled in the batch, in float32.

    Args:
        output: of the model, heads in any float type.
        intents: [B], `IGNORED` where unlabelled.
        tags: [B, T], `IGNORED` where there is no word start.
        outcomes: float [B], NaN where unlabelled.
        weights: trust in each example's intent [B].
        by_class: class weights [K].
        recipe: smoothing and weights of the heads.
        label_sets: [B, K] of a multi-label set, NaN in unlabelled rows; then `intents` is not read.
    """
    total = output.pooled.new_zeros((), dtype=torch.float32)
    if output.intents is not None and label_sets is not None and label_sets.shape[1]:
        labelled_rows = ~label_sets.isnan().any(1)
        decisions = functional.binary_cross_entropy_with_logits(
            output.intents.float(), label_sets.nan_to_num(), reduction="none"
        )
        # Summed over the labels: a text's labels are few, and a mean would drown them in the many that it has not.
        total = total + (decisions.sum(1) * weights * labelled_rows).sum() / len(label_sets)
    elif output.intents is not None:
        each = functional.cross_entropy(
            output.intents.float(),
            intents,
            weight=by_class,
            ignore_index=IGNORED,
            label_smoothing=recipe.label_smoothing,
            reduction="none",
        )
        # By the batch size, not by the sum of weights: a batch of doubtful labels must move less.
        total = total + (each * weights).sum() / len(intents)
    if output.tags is not None:
        labelled = (tags != IGNORED).sum().clamp(min=1)
        summed = functional.cross_entropy(
            output.tags.float().flatten(0, 1), tags.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total = total + recipe.tag_weight * summed / labelled
    if output.outcomes is not None:
        has = ~outcomes.isnan()
        if has.any():
            bce = functional.binary_cross_entropy_with_logits(
                output.outcomes.float()[has], outcomes[has], reduction="sum"
            )
            total = total + recipe.outcome_weight * bce / len(outcomes)
    return total


def scene_consistency(own: ModelOutput, other: ModelOutput, *, multi_label: bool = False) -> torch.Tensor:
    """How far the same words drift apart in another scene: the distance of the pooled texts and of the intents.

    1 - cosine of the pooled vectors, plus the Kullback-Leibler divergence of the intents. The text's own scene is the
    teacher and gets no gradient, so that its scene is not pulled towards one that it was never labelled in (after
    R-Drop, Liang et al. 2021, whose two views differ by dropout alone).

    Args:
        own: the rows in their own scenes.
        other: the same rows in other scenes.
        multi_label: each intent is a decision of its own.
    """
    apart = 1.0 - functional.cosine_similarity(own.pooled.detach().float(), other.pooled.float(), dim=1)
    loss = apart.mean()
    if own.intents is None or other.intents is None:
        return loss
    if multi_label:
        wanted = own.intents.detach().float().sigmoid()
        each = functional.binary_cross_entropy_with_logits(other.intents.float(), wanted, reduction="none")
        certain = functional.binary_cross_entropy(wanted, wanted, reduction="none")
        loss = loss + (each - certain).sum(1).mean()
    else:
        wanted = functional.log_softmax(own.intents.detach().float(), dim=1)
        got = functional.log_softmax(other.intents.float(), dim=1)
        loss = loss + functional.kl_div(got, wanted, log_target=True, reduction="batchmean")
    return loss


def rows_of(output: ModelOutput, rows: torch.Tensor | slice) -> ModelOutput:
    """The outputs of some rows of a batch."""
    return ModelOutput(*(None if part is None else part[rows] for part in output))  # type: ignore[arg-type]


def macro_f1(truth: IntArray, predicted: IntArray) -> float:
    """Mean F1 over the classes that occur in `truth`."""
    scores = []
    for label in np.unique(truth):
        right = float(((truth == label) & (predicted == label)).sum())
        scores.append(2 * right / float((truth == label).sum() + (predicted == label).sum()))
    return float(np.mean(scores)) if scores else 0.0


def tag_f1(truth: IntArray, predicted: IntArray) -> float:
    """Micro F1 of the tags other than O, over words."""
    right = float(((truth == predicted) & (truth != 0)).sum())
    total = float((truth != 0).sum() + (predicted != 0).sum())
    return 2 * right / total if total else 1.0


def roc_auc(truth: npt.NDArray[np.bool_], scores: FloatArray) -> float:
    """Area under the ROC curve by ranks, ties shared; 0.5 where only one class occurs."""
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    area = ranks[truth].sum() - positives * (positives + 1) / 2
    return float(area / (positives * (len(truth) - positives)))
