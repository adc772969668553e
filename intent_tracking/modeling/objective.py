"""What is minimised, and the scores that choose the best pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from intent_tracking.modeling.batching import Batch
from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.model import ModelOutput
from intent_tracking.modeling.recipe import Recipe

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

# Of a teacher's answers: at 1 its second choices hardly show.
_TEMPERATURE = 2.0


def class_weights(intents: IntArray, weights: FloatArray, classes: int, power: float) -> torch.Tensor:
    """What a text of each class counts [K]: more as classes get rarer, to the given power.

    The factor is held between a quarter and four, so that a class of one or two examples does not drown the rest, and
    then scaled: over all examples its mean is one. Without a head, of which one label alone has none, there are no
    weights.

    Args:
        intents: class of each example, `IGNORED` without one.
        weights: of each example by itself: one that counts less makes its class less frequent.
        classes: of the head.
        power: 0: all count the same; 1: all classes do, but for the limits.
    """
    if not classes:
        return torch.ones(0)
    labelled = intents != IGNORED
    counts = np.bincount(intents[labelled], weights=weights[labelled], minlength=classes)
    present = counts > 0
    factors = np.ones(classes)
    if not present.any():
        return torch.tensor(factors, dtype=torch.float32)
    factors[present] = np.clip((counts[present].mean() / counts[present]) ** power, 0.25, 4.0)
    factors /= (factors * counts).sum() / counts.sum()
    return torch.tensor(factors, dtype=torch.float32)


def loss_of(output: ModelOutput, batch: Batch, by_class: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Sum of the heads' losses over what is labelled in the batch, in float32.

    Each is a mean over the whole batch: the losses of its shares in several processes add up to it.

    Args:
        output: of the model for `batch`, heads in any float type.
        batch: what is shown again in another scene is not learned from here.
        by_class: class weights [K].
        recipe: smoothing and weights of the heads.
    """
    own = slice(batch.own)
    weights, outcomes, label_sets = batch.weights[own], batch.outcomes[own], batch.label_sets[own]
    total = output.pooled.new_zeros((), dtype=torch.float32)
    if output.intents is not None and label_sets.shape[1]:
        labelled_rows = ~label_sets.isnan().any(1)
        decisions = functional.binary_cross_entropy_with_logits(
            output.intents[own].float(), label_sets.nan_to_num(), reduction="none"
        )
        # Summed over the labels: a text's labels are few, and a mean would drown them in the many that it has not.
        total = total + (decisions.sum(1) * weights * labelled_rows).sum() / batch.of_texts
    elif output.intents is not None:
        intents = batch.intents[own]
        each = functional.cross_entropy(
            output.intents[own].float(),
            intents,
            ignore_index=IGNORED,
            label_smoothing=recipe.label_smoothing,
            reduction="none",
        )
        # Not by torch's own class weights, which would smooth each text towards the rare classes. By the batch size,
        # not by the sum of weights: a batch of doubtful labels must move less.
        total = total + (each * weights * by_class[intents.clamp(min=0)]).sum() / batch.of_texts
    if output.tags is not None:
        # In a packed batch the rows are one; what is shown again has no tags in either.
        rows = own if batch.packing is None else slice(None)
        summed = functional.cross_entropy(
            output.tags[rows].float().flatten(0, 1), batch.tags[rows].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total = total + recipe.tag_weight * summed / max(1, batch.of_words)
    if output.outcomes is not None and batch.of_outcomes:
        has = ~outcomes.isnan()
        bce = functional.binary_cross_entropy_with_logits(
            output.outcomes[own].float()[has], outcomes[has], reduction="sum"
        )
        total = total + recipe.outcome_weight * bce / batch.of_texts
    if batch.teacher_intents.shape[1] and output.intents is not None:
        multi_label = bool(label_sets.shape[1])
        taught = teacher_loss(output.pooled[own], output.intents[own], batch, multi_label=multi_label)
        # A process without a row of its own has one of weight 0.
        total = total + (taught * (weights > 0)).sum() / batch.of_texts
    return total


def teacher_loss(pooled: torch.Tensor, intents: torch.Tensor, batch: Batch, *, multi_label: bool) -> torch.Tensor:
    """How far a student is from its teacher, for each of its own rows [B].

    1 - cosine of the pooled texts (Sanh et al. 2019), plus the divergence of the intents at a temperature, times its
    square, so that its gradients are as large as those of the labels (Hinton et al. 2015).
    """
    own = slice(batch.own)
    apart = 1.0 - functional.cosine_similarity(batch.teacher_pooled[own], pooled.float(), dim=1)
    wanted, got = batch.teacher_intents[own] / _TEMPERATURE, intents.float() / _TEMPERATURE
    if multi_label:
        certain = wanted.sigmoid()
        each = functional.binary_cross_entropy_with_logits(got, certain, reduction="none")
        each = each - functional.binary_cross_entropy(certain, certain, reduction="none")
    else:
        each = functional.kl_div(
            functional.log_softmax(got, dim=1), functional.log_softmax(wanted, dim=1), log_target=True, reduction="none"
        )
    return apart + _TEMPERATURE**2 * each.sum(1)


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
    """The outputs of some texts of a batch, tags left out."""
    pooled, intents, _, outcomes = output
    return ModelOutput(*(None if part is None else part[rows] for part in (pooled, intents, None, outcomes)))  # type: ignore[arg-type]


def tag_f1(truth: IntArray, predicted: IntArray) -> float:
    """Micro F1 of the tags other than O, over words."""
    right = float(((truth == predicted) & (truth != 0)).sum())
    total = float((truth != 0).sum() + (predicted != 0).sum())
    return 2 * right / total if total else 1.0
