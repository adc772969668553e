"""Fits the lexical head after the fine-tuning, on the same texts, and weighs it on validation."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch

from intent_tracking.modeling.batching import ExampleArrays
from intent_tracking.modeling.calibration import fit_temperature, softmax
from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.lexical_head import ROWS, LexicalHead, rows_of_pairs, rows_of_tokens
from intent_tracking.modeling.predicting import batches_by_length
from intent_tracking.modeling.validation import SplitOutputs

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

# 0: no lexical head. The decisions of the linear model lie around -1 and 1.
_WEIGHTS = (0.0, 1.0, 2.0, 4.0)
# With fewer validation texts a weight would be chosen by luck.
FEWEST_VALIDATION_TEXTS = 200
# Of so many labels the table is 16 MiB, which the weights and the graph both carry; serving reads a row of it for each
# token and each pair. With more labels it would outgrow the encoder.
MOST_LABELS = 256
# What is fitted comes after the time of the training is over, so it is bounded: each label is a problem of its own over
# all tokens. On one core of 2024 this many take half a minute.
MOST_TOKENS_TIMES_LABELS = 100_000_000
_MOST_TEXTS = 30_000
_BATCH = 64


def fit_lexical_head(train: ExampleArrays, validation: ExampleArrays, outputs: SplitOutputs) -> LexicalHead | None:
    """The head for a trained model, or None where there are too many labels or it makes validation no likelier.

    Args:
        train: its examples with an intent are learned from, or some of them: see `learned_from`.
        validation: the examples that `outputs` are of.
        outputs: of the model without a lexical head, by `run_split`.
    """
    from scipy.sparse import csr_matrix
    from sklearn.svm import LinearSVC

    logits, targets = outputs.intent_logits, outputs.intent_targets
    if logits is None or outputs.label_sets is not None or len(targets) < FEWEST_VALIDATION_TEXTS:
        return None
    if logits.shape[1] > MOST_LABELS:
        logger.info("no lexical head: its table is for %d labels at most, not for %d", MOST_LABELS, logits.shape[1])
        return None
    places = learned_from(train, logits.shape[1])
    intents = train.intents[places]
    if len(np.unique(intents)) < 2:
        return None
    rows = [_rows(train.ids[place]) for place in places]
    starts = np.cumsum([0, *map(len, rows)])
    counts = csr_matrix((np.ones(starts[-1], dtype=np.float32), np.concatenate(rows), starts), shape=(len(rows), ROWS))
    documents = np.asarray((counts.tocsc() > 0).sum(axis=0)).ravel()
    frequency = np.where(documents > 0, np.log((1 + len(rows)) / (1 + documents)) + 1, 0).astype(np.float32)
    # As the head does it: each occurrence is an entry of its own.
    lengths = np.sqrt(np.add.reduceat(np.square(frequency[counts.indices]), starts[:-1]))
    values = frequency[counts.indices] / np.repeat(lengths, np.diff(starts))
    linear = LinearSVC(random_state=0)
    linear.fit(csr_matrix((values, counts.indices, starts), shape=counts.shape), intents, train.weights[places])
    head = LexicalHead(logits.shape[1])
    head.frequency.copy_(torch.from_numpy(frequency))
    # A label that only the champion knew is not spoken for.
    head.bias.fill_(-1.0)
    spoken, offsets = linear.coef_, linear.intercept_
    if len(linear.classes_) == 2:
        # Of two labels the linear model has the second's decision alone; the first's is its opposite.
        spoken, offsets = np.concatenate([-spoken, spoken]), np.concatenate([-offsets, offsets])
    head.weight[:, linear.classes_] = torch.from_numpy(spoken.T).half()
    head.bias[linear.classes_] = torch.from_numpy(offsets).float()
    said = decisions(head, validation)
    losses = {weight: _loss(logits + weight * said, targets) for weight in _WEIGHTS}
    best = min(losses, key=lambda weight: losses[weight])
    logger.info("lexical head: validation loss by weight %s", {key: round(loss, 4) for key, loss in losses.items()})
    if best == 0.0:
        return None
    head.weight.copy_((head.weight.float() * best).half())
    head.bias.mul_(best)
    return head


def learned_from(train: ExampleArrays, labels: int) -> IntArray:
    """Places of the examples with an intent; where fitting them would take too long, of as many as there is time for.

    Those are drawn, the same ones each time.
    """
    places = np.flatnonzero(train.intents != IGNORED)
    drawn = np.random.default_rng(0).permutation(places)[:_MOST_TEXTS]
    tokens = np.cumsum(np.asarray(train.lengths)[drawn])
    return np.sort(drawn[tokens * labels <= MOST_TOKENS_TIMES_LABELS])


def decisions(head: LexicalHead, examples: ExampleArrays) -> FloatArray:
    """What `head` says about each example with an intent [N, K], in the order of `run_split`."""
    order = [place for batch in batches_by_length(examples.lengths, _BATCH) for place in batch]
    said: list[FloatArray] = []
    for place in order:
        if examples.intents[place] != IGNORED:
            ids = torch.from_numpy(examples.ids[place].astype(np.int64)).unsqueeze(0)
            said.append(head(ids, torch.ones_like(ids)).numpy())
    return np.concatenate(said)


def _rows(tokens: npt.NDArray[np.int32]) -> IntArray:
    ids = torch.from_numpy(tokens.astype(np.int64)).unsqueeze(0)
    return torch.cat([rows_of_tokens(ids), rows_of_pairs(ids)], dim=1).squeeze(0).numpy()


def _loss(logits: FloatArray, targets: IntArray) -> float:
    """Negative log likelihood at the temperature that fits best: calibration follows in any case."""
    probabilities = softmax(logits / fit_temperature(logits, targets))
    return float(-np.log(probabilities[np.arange(len(targets)), targets] + 1e-12).mean())
