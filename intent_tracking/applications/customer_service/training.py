"""Training of the ranker: questions, each with candidate passages of which some answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.customer_service.ranking import (
    INPUTS,
    Ranker,
    plain_inputs,
    ranker_inputs,
    without_dense,
)
from intent_tracking.applications.customer_service.sparse import FloatArray

WIDTH: Final = 24
EPOCHS: Final = 25
_RATE: Final = 3e-3
_DECAY: Final = 1e-3
_QUESTIONS_A_STEP: Final = 16
# This often a question is shown without dense evidence, so that the ranker also serves where no encoder reads the text.
_BLIND: Final = 0.25
_VALIDATION_SHARE: Final = 0.15
# Weight of being right about each passage, beside putting the right one first.
_POINTWISE: Final = 0.5
_LEAST_SPREAD: Final = 1e-3
_NEWTON_STEPS: Final = 20
_RIDGE: Final = 1e-3


@dataclass(frozen=True, eq=False)
class RankedQuestion:
    """The evidence for each candidate [n, len(NAMES)] of one question, and which of them answer it [n]."""

    rows: FloatArray
    answers: npt.NDArray[np.bool_]


def train_ranker(questions: Sequence[RankedQuestion], seed: int = 0) -> Ranker:
    """Learn which evidence tells an answer, and on a part that is held out, how sure a score is.

    The loss is the listwise softmax (Cao et al. 2007) of the answers among the candidates, and the logistic loss of
    each. The curves of the confidence are fitted to the best candidate of held-out questions; one that has an answer
    counts twice, once with its answers taken away. Questions without an answer teach what is none.

    Raises:
        ValueError: there are too few questions with and without an answer among their candidates.
    """
    import torch
    from torch import nn

    if len(questions) < 2 * _QUESTIONS_A_STEP:
        raise ValueError(f"{len(questions)} questions are too few to train on; give {2 * _QUESTIONS_A_STEP} or more")
    order = np.random.default_rng(seed).permutation(len(questions))
    held = max(_QUESTIONS_A_STEP, int(_VALIDATION_SHARE * len(questions)))
    validation, train = ([questions[place] for place in part] for part in (order[:held], order[held:]))
    mean, scale = _spread(np.concatenate([each.rows for each in train]))

    torch.manual_seed(seed)
    first, last = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, 1)
    network = nn.Sequential(first, nn.ReLU(), last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    batches = len(train) // _QUESTIONS_A_STEP
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=EPOCHS * batches + 1)
    random = np.random.default_rng(seed + 1)
    seen = [torch.from_numpy(ranker_inputs(each.rows, mean, scale)) for each in train]
    blind = [torch.from_numpy(ranker_inputs(without_dense(each.rows), mean, scale)) for each in train]
    wanted = [torch.from_numpy(each.answers.astype(np.float32)) for each in train]
    for _ in range(EPOCHS):
        places = random.permutation(len(train))[: batches * _QUESTIONS_A_STEP].reshape(batches, _QUESTIONS_A_STEP)
        for batch in places.tolist():
            inputs = [(blind if random.random() < _BLIND else seen)[place] for place in batch]
            answers = [wanted[place] for place in batch]
            scores = network(torch.cat(inputs)).squeeze(-1)
            loss = _POINTWISE * nn.functional.binary_cross_entropy_with_logits(scores, torch.cat(answers))
            for part, right in zip(scores.split([len(each) for each in inputs]), answers, strict=True):
                if 0 < right.sum() < len(right):
                    loss = loss - (part.log_softmax(0) * right).sum() / right.sum() / len(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    ranker = Ranker(
        mean=mean,
        scale=scale,
        hidden=first.weight.detach().numpy().T.copy(),
        hidden_bias=first.bias.detach().numpy().copy(),
        output=last.weight.detach().numpy()[0].copy(),
        output_bias=last.bias.detach().numpy().copy(),
        curves=np.array([[1.0, 0.0]] * 2, np.float32),
    )
    curves = [_curve(ranker, validation), _curve(ranker, [_blinded(question) for question in validation])]
    return replace(ranker, curves=np.stack(curves))


def _spread(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of each input; of the dense ones where they are known."""
    inputs = plain_inputs(rows)
    known = inputs[inputs[:, -1] == 0]
    inputs = known if len(known) else inputs
    mean, scale = inputs.mean(0), inputs.std(0) + _LEAST_SPREAD
    mean[-1], scale[-1] = 0.0, 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


def _blinded(question: RankedQuestion) -> RankedQuestion:
    return RankedQuestion(without_dense(question.rows), question.answers)


def _curve(ranker: Ranker, questions: Sequence[RankedQuestion]) -> FloatArray:
    """The logistic curve through the best candidates of `ranker`, with and without the answers among them."""
    best: list[float] = []
    right: list[bool] = []
    for question in questions:
        for rows, answers in _with_and_without(question):
            scores = ranker.scores(rows)
            place = int(scores.argmax())
            best.append(float(scores[place]))
            right.append(bool(answers[place]))
    return _logistic_curve(np.array(best), np.array(right))


def _with_and_without(question: RankedQuestion) -> list[tuple[FloatArray, npt.NDArray[np.bool_]]]:
    others = ~question.answers
    found = [(question.rows, question.answers)]
    if question.answers.any() and others.any():
        found.append((question.rows[others], question.answers[others]))
    return found


def _logistic_curve(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> FloatArray:
    """Slope and offset of the probability of being right, by Newton's method on the smoothed targets of Platt 1999."""
    positives, negatives = int(right.sum()), int((~right).sum())
    targets = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    inputs = np.stack([scores, np.ones_like(scores)], axis=1)
    curve = np.array([1.0, 0.0])
    for _ in range(_NEWTON_STEPS):
        found = 1 / (1 + np.exp(-inputs @ curve))
        slopes = inputs.T @ (inputs * (found * (1 - found))[:, None]) + _RIDGE * np.eye(2)
        curve = curve - np.linalg.solve(slopes, inputs.T @ (found - targets))
    return curve.astype(np.float32)
