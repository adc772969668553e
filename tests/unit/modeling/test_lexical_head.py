from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import LinearSVC

from intent_tracking.modeling.batching import ExampleArrays
from intent_tracking.modeling.intent_head import IntentHead
from intent_tracking.modeling.lexical_fit import (
    FEWEST_VALIDATION_TEXTS,
    MOST_LABELS,
    MOST_TOKENS_TIMES_LABELS,
    decisions,
    fit_lexical_head,
    learned_from,
)
from intent_tracking.modeling.lexical_head import ROWS, LexicalHead, rows_of_pairs, rows_of_tokens
from intent_tracking.modeling.validation import SplitOutputs

pytestmark = pytest.mark.unit

LABELS = 4


def _examples(count: int, seed: int) -> ExampleArrays:
    """Texts of 6 to 12 tokens, of which one, 100 + label, gives the label away."""
    random = np.random.default_rng(seed)
    intents = random.integers(0, LABELS, count)
    ids = []
    for intent in intents:
        tokens = random.integers(200, 400, random.integers(6, 13))
        tokens[random.integers(1, len(tokens) - 1)] = 100 + intent
        ids.append(tokens.astype(np.int32))
    nothing = np.zeros((count, 0), dtype=np.float32)
    return ExampleArrays(
        ids=ids,
        tags=[np.zeros(len(tokens), dtype=np.int16) for tokens in ids],
        intents=intents,
        outcomes=np.full(count, np.nan, dtype=np.float32),
        weights=np.ones(count, dtype=np.float32),
        features=nothing,
        scenes=np.zeros(count, dtype=np.int64),
        label_sets=nothing,
        teacher_pooled=nothing,
        teacher_intents=nothing,
    )


def _outputs(examples: ExampleArrays, logits: np.ndarray) -> SplitOutputs:
    order = sorted(range(len(examples)), key=lambda place: (len(examples.ids[place]), place))
    none = np.zeros(0, dtype=np.int64)
    return SplitOutputs(
        intent_logits=logits[order].astype(np.float32),
        intent_targets=examples.intents[order],
        tag_predictions=None,
        tag_targets=none,
        outcome_logits=None,
        outcome_targets=none,
    )


def test_a_word_that_gives_the_label_away_is_held_on_to() -> None:
    train, validation = _examples(600, 1), _examples(FEWEST_VALIDATION_TEXTS, 2)
    unsure = np.random.default_rng(3).normal(size=(len(validation), LABELS))
    outputs = _outputs(validation, unsure)
    head = fit_lexical_head(train, validation, outputs)
    assert head is not None
    together = outputs.intent_logits + decisions(head, validation)
    alone = (outputs.intent_logits.argmax(1) == outputs.intent_targets).mean()
    assert alone < 0.4
    assert (together.argmax(1) == outputs.intent_targets).mean() > 0.9


def test_of_two_labels_each_is_spoken_for() -> None:
    train, validation = _examples(600, 1), _examples(FEWEST_VALIDATION_TEXTS, 2)
    for examples in (train, validation):
        examples.intents[:] %= 2
    outputs = _outputs(validation, np.random.default_rng(3).normal(size=(len(validation), 2)))
    head = fit_lexical_head(train, validation, outputs)
    assert head is not None
    said = decisions(head, validation)
    assert (said.argmax(1) == outputs.intent_targets).mean() > 0.9
    np.testing.assert_allclose(said[:, 0], -said[:, 1], atol=1e-2)


def test_a_model_that_is_right_and_sure_gets_none() -> None:
    train, validation = _examples(600, 1), _examples(FEWEST_VALIDATION_TEXTS, 2)
    train.intents[:] = np.random.default_rng(4).integers(0, LABELS, len(train))
    sure = 8.0 * np.eye(LABELS)[validation.intents]
    assert fit_lexical_head(train, validation, _outputs(validation, sure)) is None


def test_few_validation_texts_choose_no_weight() -> None:
    train, validation = _examples(600, 1), _examples(FEWEST_VALIDATION_TEXTS - 1, 2)
    assert fit_lexical_head(train, validation, _outputs(validation, np.zeros((len(validation), LABELS)))) is None


def test_the_table_of_very_many_labels_is_not_made() -> None:
    train, validation = _examples(600, 1), _examples(FEWEST_VALIDATION_TEXTS, 2)
    unsure = np.random.default_rng(3).normal(size=(len(validation), MOST_LABELS + 1))
    assert fit_lexical_head(train, validation, _outputs(validation, unsure)) is None
    head = fit_lexical_head(train, validation, _outputs(validation, unsure[:, :-1]))
    assert head is not None
    assert head.weight.nbytes <= 16 * 2**20


@given(count=st.integers(1, 3000), tokens=st.integers(1, 400), labels=st.integers(3, MOST_LABELS))
def test_what_is_fitted_is_bounded_whatever_the_texts(count: int, tokens: int, labels: int) -> None:
    few = _examples(count, 0)
    train = replace(few, ids=[np.zeros(tokens, dtype=np.int32)] * count)
    places = learned_from(train, labels)
    assert len(set(places)) == len(places) == min(count, MOST_TOKENS_TIMES_LABELS // (tokens * labels))
    assert np.array_equal(places, np.sort(places))


def test_the_head_says_what_the_linear_model_decides() -> None:
    """The arithmetic inside the network and that of the fit are two programs for one vector."""
    examples = _examples(300, 5)
    vectors = np.zeros((len(examples), ROWS))
    frequency = np.random.default_rng(6).uniform(1, 3, ROWS).astype(np.float32)
    for place, tokens in enumerate(examples.ids):
        ids = torch.from_numpy(tokens.astype(np.int64)).unsqueeze(0)
        for row in torch.cat([rows_of_tokens(ids), rows_of_pairs(ids)], dim=1)[0].tolist():
            vectors[place, row] += frequency[row]
        entries = [frequency[row] for row in torch.cat([rows_of_tokens(ids), rows_of_pairs(ids)], dim=1)[0].tolist()]
        vectors[place] /= np.sqrt(np.sum(np.square(entries)))
    linear = LinearSVC(random_state=0).fit(vectors, examples.intents)
    head = LexicalHead(LABELS)
    head.frequency.copy_(torch.from_numpy(frequency))
    head.weight.copy_(torch.from_numpy(linear.coef_.T).half())
    head.bias.copy_(torch.from_numpy(linear.intercept_))
    order = sorted(range(len(examples)), key=lambda place: (len(examples.ids[place]), place))
    np.testing.assert_allclose(decisions(head, examples), linear.decision_function(vectors)[order], atol=5e-3)


def test_heads_answer_in_float32_where_the_encoder_runs_in_bf16() -> None:
    """In bf16 logits near 10 are sixteenths: of 150 labels that lie close together most would tie."""
    generator = torch.Generator().manual_seed(0)
    lexical, intent = LexicalHead(150), IntentHead(32, 150)
    lexical.weight.copy_(torch.randn(ROWS, 150, generator=generator).half())
    lexical.frequency.copy_(1 + torch.rand(ROWS, generator=generator))
    centre = torch.randn(32, generator=generator)
    intent.start_from(centre + 0.05 * torch.randn(150, 32, generator=generator), range(150))
    ids, pooled = torch.arange(20).unsqueeze(0), centre.unsqueeze(0)
    with torch.inference_mode():
        exact = intent(pooled), lexical(ids, torch.ones_like(ids))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = intent(pooled), lexical(ids, torch.ones_like(ids))
    assert torch.equal(exact[0], found[0])
    assert torch.equal(exact[1], found[1])


def test_padding_changes_nothing() -> None:
    head = LexicalHead(LABELS)
    head.weight.copy_(torch.randn(ROWS, LABELS).half())
    head.frequency.copy_(torch.rand(ROWS) + 0.5)
    ids = torch.tensor([[2, 7, 9, 3]])
    padded, mask = torch.tensor([[2, 7, 9, 3, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    torch.testing.assert_close(head(ids, torch.ones_like(ids)), head(padded, mask))
