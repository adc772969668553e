"""How familiar an input looks, from the intent logits alone, and the threshold below which it is out of scope.

On CLINC150 these figures of the logits found as much as together with distances in embedding space (Mahalanobis
distance, cosine to class centroids, nearest training texts), and equal weights as much as weights fitted to the
out-of-scope texts of validation. So nothing is stored beside the head, and no foreign text is needed.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

FloatArray = npt.NDArray[np.float32]
Figures = npt.NDArray[np.float64]

# What rejecting may cost: share of in-scope texts that lose their right answer.
ALLOWED_LOSS = 0.005
# Of two probabilities the second is the higher one where the share of the first lies below this.
HALF = 0.5
# A flat figure tells nothing; its deviation must not blow up its noise.
_LEAST_DEVIATION = 1e-3
# An ordinary in-scope text has a familiarity of 0.88.
_ORDINARY = 2.0
# The same text differs by up to 1e-7 between two batches; what lies this close together is not told apart.
_ROUNDING = 1e-5


def scope_figures(logits: FloatArray, known: int) -> Figures:
    """What tells the familiar from the foreign, [N, 2] or [N, 3]; larger is more familiar.

    The log-sum-exp of the known labels' logits (energy: Liu et al. 2020, arXiv:2010.03759), the negative entropy of
    their softmax, and, where the head has an out-of-scope class, the log-odds of all known labels against it.

    Args:
        logits: of the intent head [N, K], those of the known labels first.
        known: how many labels are known; a further logit is that of the out-of-scope class.
    """
    inside = logits[:, :known].astype(np.float64)
    top = inside.max(axis=1)
    shifted = inside - top[:, None]
    chances = np.exp(shifted)
    total = chances.sum(axis=1)
    energy = top + np.log(total)
    # Entropy is log(total) - sum(p * shifted).
    certainty = (chances * shifted).sum(axis=1) / total - np.log(total)
    if logits.shape[1] == known:
        return np.column_stack([energy, certainty])
    return np.column_stack([energy, certainty, energy - logits[:, known]])


class Familiarity(BaseModel):
    """The mean of `scope_figures`, each standardised by in-scope validation texts, squashed to 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def of(self, logits: FloatArray, known: int) -> Figures:
        """Familiarity of each row of logits [N, K] -> [N]; arguments as in `scope_figures`."""
        standard = (scope_figures(logits, known) - self.mean) / self.deviation
        familiarity: Figures = 1.0 / (1.0 + np.exp(-np.clip(standard.mean(axis=1) + _ORDINARY, -60.0, 60.0)))
        return familiarity


class ClassFamiliarity(BaseModel):
    """Familiarity where too few validation texts tell what is ordinary: what the head learned of the class `oos`.

    It is the share of the best known label in the probability of that label and the class together, so that below one
    half the class is more probable than every label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["out_of_scope_class"] = "out_of_scope_class"

    def of(self, logits: FloatArray, known: int) -> Figures:
        """Familiarity of each row of logits [N, known + 1] -> [N]; the last logit is that of the class."""
        ahead = logits[:, :known].max(axis=1).astype(np.float64) - logits[:, known]
        familiarity: Figures = 1.0 / (1.0 + np.exp(-np.clip(ahead, -60.0, 60.0)))
        return familiarity


def fit_familiarity(logits: FloatArray, known: int) -> Familiarity:
    """Learn what familiar means from the outputs on in-scope validation texts; arguments as in `scope_figures`."""
    figures = scope_figures(logits, known)
    return Familiarity(
        mean=tuple(map(float, figures.mean(axis=0))),
        deviation=tuple(map(float, np.maximum(figures.std(axis=0), _LEAST_DEVIATION))),
    )


def choose_threshold(
    familiarity: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], allowed_loss: float
) -> float | None:
    """The threshold below which a text is rejected; None where N texts cannot tell, fewer than 1 / `allowed_loss` - 1.

    Out-of-scope recall only grows with the threshold, so it is the highest one whose rejections cost fresh in-scope
    texts at most `allowed_loss` of their right answers, on average over validation sets: a fresh text is as likely to
    stand at each of the N + 1 places among those of validation (split conformal prediction: Angelopoulos and Bates
    2021, arXiv:2107.07511). Texts that are answered wrongly cost nothing. It lies just below the text that it is chosen
    by, whose answer would else depend on what is computed beside it.

    Args:
        familiarity: of the in-scope validation texts [N].
        right: whether each is answered rightly [N].
        allowed_loss: share of all in-scope texts, 0..1.
    """
    kept = np.sort(familiarity[right])
    # The product of a share and a count is a count: what it misses by is rounding.
    rank = min(math.floor(allowed_loss * (len(right) + 1) + 1e-9), len(kept))
    return max(0.0, float(kept[rank - 1]) - _ROUNDING) if rank else None
