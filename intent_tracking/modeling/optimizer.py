"""AdamW as the recipes mean it, and the learning rate over steps and time."""

from __future__ import annotations

import torch

from intent_tracking.modeling.checkpoint import trainable
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.recipe import Recipe

# Share of a time budget by which a run may lag before its learning rate follows the clock.
_BEHIND = 0.05


def make_optimizer(model: IntentModel, recipe: Recipe) -> torch.optim.Optimizer:
    """Fused AdamW in groups: heads and added rows learn faster than the encoder.

    Biases, norms and added rows do not decay. Each group keeps its highest rate as `peak`.
    """
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, value in trainable(model).items():
        is_added = name.endswith("embeddings.added")
        factor = 1.0
        # The intent head starts where it should be; the others start at random.
        if not name.startswith(("encoder.", "intent.")):
            factor = recipe.head_factor
        elif is_added:
            factor = recipe.added_factor
        decay = recipe.weight_decay if value.ndim > 1 and not is_added else 0.0
        groups.setdefault((recipe.learning_rate * factor, decay), []).append(value)
    settings = [{"params": values, "peak": rate, "weight_decay": decay} for (rate, decay), values in groups.items()]
    return torch.optim.AdamW(settings, lr=recipe.learning_rate, fused=True)


def rate_at(step: int, steps: int, warmup_share: float, time_left: float | None) -> float:
    """Share of the peak learning rate: a linear warm-up, then linearly down to zero.

    A run that falls behind its time budget comes down with the time instead of the steps, so that it does not end at a
    high rate; only then do the weights depend on the speed of the machine.

    Args:
        step, steps: done, and planned.
        warmup_share: of the steps.
        time_left: share of the time budget; None: there is none.
    """
    warm = max(1, int(warmup_share * steps))
    if step < warm:
        return (step + 1) / warm
    left = (steps - step) / max(1, steps - warm)
    if time_left is not None and time_left < left - _BEHIND:
        left = time_left
    return max(0.0, left)
