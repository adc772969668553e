"""How to train, chosen from the data alone."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

# Tokens of training per second, forward and backward, MiniLM on two cores with bf16; a cautious figure for planning.
CPU_TOKENS_PER_SECOND = 2000.0
GPU_TOKENS_PER_SECOND = 200_000.0
_EXAMPLES_SEEN = 80_000


class Recipe(BaseModel):
    """All choices of one training run. The same recipe, data and seed give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int
    batch_size: int
    learning_rate: float
    head_factor: float = 5.0
    added_factor: float = 5.0
    weight_decay: float = 0.01
    warmup_share: float = 0.06
    dropout: float = 0.1
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    patience: int = 3
    class_weight_power: float = 0.5
    tag_weight: float = 1.0
    outcome_weight: float = 0.5
    bf16: bool = False


def choose_recipe(
    n_examples: int,
    n_labels: int,
    lengths: Sequence[int],
    *,
    bf16: bool,
    warm_start: bool = False,
    max_seconds: float | None = None,
    tokens_per_second: float = CPU_TOKENS_PER_SECOND,
) -> Recipe:
    """Choose a recipe.

    Few examples want many small steps, many examples few passes: about 80,000 texts are seen in all, in 3 to 40 passes.
    A warm start has learned most of it already and takes half. A time budget cuts passes, never below two.

    Args:
        n_examples: training examples.
        n_labels: intents.
        lengths: tokens of each training example.
        bf16: whether the device multiplies bf16 faster than float32.
        warm_start: training goes on from a champion.
        max_seconds: what the training may take.
        tokens_per_second: how fast the device trains.
    """
    passes = min(40, max(3, round(_EXAMPLES_SEEN / max(n_examples, 1))))
    if warm_start:
        passes = max(3, passes // 2)
    if max_seconds is not None:
        affordable = int(0.85 * max_seconds * tokens_per_second / max(sum(lengths), 1))
        passes = max(2, min(passes, affordable))
    per_label = n_examples / max(n_labels, 1)
    return Recipe(
        epochs=passes,
        batch_size=16 if n_examples < 2000 else 32,
        learning_rate=1e-4 if warm_start or per_label < 20 else 2e-4,
        patience=max(2, passes // 4),
        bf16=bf16,
    )
