"""How to train, chosen from the data, the time and how fast the device is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from intent_tracking.modeling.label_names import FEW_TEXTS

# Texts seen over all passes.
_EXAMPLES_SEEN = 90_000
# In a hurry this many passes over what people labelled come before anything that behaviour suggests.
_HURRIED_PASSES = 5
_LEAST_SHARE = 0.1
_ENOUGH_STEPS = 900
# Of MiniLM, for which the rates were found.
_HIDDEN = 384
# Trainings of a few-shot model, whose weights are averaged. A contrastive term beside the labels gained nothing in its
# place.
_FEW_SHOT_RUNS = 3
# Prototypes are right from the start: five texts a label were learned after 10 passes, and lost nothing in 12.
_MOST_PASSES = 12


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
    label_smoothing: float = 0.0
    clip_norm: float = 1.0
    patience: int = 3
    class_weight_power: float = 1.0
    tag_weight: float = 1.0
    outcome_weight: float = 0.5
    bf16: bool = False
    behaviour_share: float = 1.0
    adapter_width: int = 32
    consistency_weight: float = 1.0
    lexical_head: bool = True
    runs: int = 1

    def identity(self) -> dict[str, Any]:
        """What names the work of training by it: all but `bf16`, which is measured on each start.

        On a borderline or busy processor the next start may measure otherwise: it must find its checkpoint all the
        same, and goes on in the arithmetic that it began in.
        """
        return self.model_dump(mode="json", exclude={"bf16"})


def _texts_of_a_pass(n_examples: int, doubtful: Sequence[bool], share: float) -> float:
    return n_examples - (1.0 - share) * sum(doubtful)


def choose_recipe(
    n_examples: int,
    n_labels: int,
    lengths: Sequence[int],
    *,
    bf16: bool,
    n_labelled: int | None = None,
    doubtful: Sequence[bool] = (),
    warm_start: bool = False,
    versions: int = 1,
    max_seconds: float | None = None,
    tokens_per_second: float = 3000.0,
    hidden: int = _HIDDEN,
) -> Recipe:
    """Choose a recipe.

    Few examples want many small steps, many examples few passes: of 7,500 to 30,000 about 90,000 are seen in all, fewer
    are seen 12 times, more 3 times. A warm start has learned most of it already and takes half the passes, 3 at the
    least. A time budget cuts passes, and the examples that only behaviour labels, of which each pass then draws a
    share; never below two passes and a tenth. Batches get smaller where there would be few steps.

    Args:
        n_examples: training examples.
        n_labels: intents.
        lengths: tokens of each training example.
        bf16: whether the device multiplies bf16 faster than float32.
        n_labelled: examples of these intents; None: all.
        doubtful: for each example, whether only behaviour labels it; empty: none.
        warm_start: training goes on from a champion.
        versions: ways in which each text is among the examples; a pass sees them all.
        max_seconds: what the training may take.
        tokens_per_second: how fast the device trains while it does nothing else.
        hidden: size of the encoder's states. Wider encoders than MiniLM take smaller steps: 5e-5 for BERT-base.
    """
    passes = min(_MOST_PASSES, max(3, round(_EXAMPLES_SEEN / max(n_examples, 1))))
    if warm_start:
        passes = max(3, passes // 2)
    passes = max(3, round(passes / versions))
    share = 1.0
    if max_seconds is not None:
        affordable = 0.9 * max_seconds * tokens_per_second
        others = sum(length for length, is_doubtful in zip(lengths, doubtful, strict=False) if is_doubtful)
        sure = sum(lengths) - others
        wanted = min(passes, _HURRIED_PASSES)
        if others:
            share = min(1.0, max(_LEAST_SHARE, (affordable / wanted - sure) / others))
        passes = max(2, min(passes, round(affordable / max(sure + share * others, 1))))
    is_few = (n_examples if n_labelled is None else n_labelled) < FEW_TEXTS * n_labels * versions
    seen = passes * _texts_of_a_pass(n_examples, doubtful, share)
    repeated = is_few and not warm_start and _FEW_SHOT_RUNS * seen <= _EXAMPLES_SEEN
    if max_seconds is not None:
        repeated = repeated and _FEW_SHOT_RUNS * passes * sum(lengths) <= 0.9 * max_seconds * tokens_per_second
    return Recipe(
        epochs=passes,
        batch_size=32 if seen / 32 >= _ENOUGH_STEPS else 16,
        learning_rate=(1e-4 if warm_start or is_few else 2e-4) * min(1.0, (_HIDDEN / hidden) ** 2),
        # Smoothing keeps many texts from being learned by heart; with few it takes what they still teach.
        label_smoothing=0.0 if is_few else 0.1,
        patience=max(2, passes // 4),
        bf16=bf16,
        behaviour_share=share,
        runs=_FEW_SHOT_RUNS if repeated else 1,
    )
