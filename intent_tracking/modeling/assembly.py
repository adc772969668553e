"""The model that a training starts from: a pretrained encoder with new heads, or a champion that grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from intent_tracking.artifact import ArtifactError, verify
from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.encoder import allowed_config, find_encoder, load_encoder
from intent_tracking.modeling.intent_head import IntentHead
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.loading import load_config, load_labels, load_model, load_tokenizer
from intent_tracking.modeling.model import IntentModel, ModelConfig, OutcomeHead, extend_rows
from intent_tracking.modeling.scene_adapters import grow_adapters
from intent_tracking.modeling.tokenization import SessionTokenizer, added_rows


def assemble(
    dataset: TokenizedDataset, *, champion: Path | None, dropout: float, seed: int, adapter_width: int = 0
) -> IntentModel:
    """Build the model for `dataset`; the same seed gives the same weights.

    Args:
        dataset: from `prepare_dataset`, with the same champion.
        champion: artifact to start from.
        dropout: of the heads.
        seed: of new weights.
        adapter_width: of the scene adapters where the dataset has several scenes; a champion's width stays.

    Raises:
        ArtifactError: the dataset was tokenized for another champion.
        EncoderError: the base encoder cannot be had.
    """
    parent = verify(champion).version if champion is not None else None
    if parent != dataset.info.parent:
        raise ArtifactError(
            f"the dataset was tokenized to start from {dataset.info.parent or 'the base encoder'}, "
            f"not from {parent or 'the base encoder'}; tokenize it again"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if champion is None:
            return _from_base(dataset, dropout, seed, adapter_width)
        return _from_champion(dataset, champion, dropout, seed, adapter_width)


def _config(
    dataset: TokenizedDataset, encoder: Any, base_vocabulary: int, dropout: float, adapter_width: int
) -> ModelConfig:
    train = dataset.split("train")
    return ModelConfig(
        encoder=allowed_config(encoder.config.to_dict(), dataset.info.base_encoder),
        base_vocabulary=base_vocabulary,
        max_tokens=dataset.info.max_tokens,
        intent_classes=dataset.labels.intent_classes,
        tags=dataset.labels.tag_count,
        outcome=train["outcome"].null_count < len(train),
        features=dataset.info.features,
        dropout=dropout,
        scenes=dataset.info.scenes,
        # One scene alone changes nothing about its words.
        adapter_width=adapter_width if len(dataset.info.scenes) > 1 else 0,
    )


def _from_base(dataset: TokenizedDataset, dropout: float, seed: int, adapter_width: int) -> IntentModel:
    base = find_encoder(dataset.info.base_encoder)
    encoder = load_encoder(base)
    added = added_rows(SessionTokenizer.from_file(base.tokenizer_file, 8).vocabulary, dataset.tokenizer.vocabulary)
    extend_rows(encoder, added, seed)
    first = base.trained_from(added.first_id)
    model = IntentModel(_config(dataset, encoder, first, dropout, adapter_width), encoder)
    if dataset.labels.multi_label and model.intent is not None:
        model.intent.expect_few(range(dataset.labels.intent_classes))
    return model


def _from_champion(
    dataset: TokenizedDataset, champion: Path, dropout: float, seed: int, adapter_width: int
) -> IntentModel:
    old_config = load_config(champion)
    old = load_model(champion, old_config)
    tokenizer = load_tokenizer(champion, old_config.max_tokens)
    extend_rows(old.encoder, added_rows(tokenizer.vocabulary, dataset.tokenizer.vocabulary), seed)
    if dataset.info.layers is not None:
        _keep_layers(old.encoder, dataset.info.layers)
    width = old_config.adapter_width or adapter_width
    model = IntentModel(_config(dataset, old.encoder, old_config.base_vocabulary, dropout, width), old.encoder)
    if old.adapters is not None and model.adapters is not None:
        # A student of one layer has fewer than its teacher.
        grow_adapters(old.adapters[-len(model.adapters) :], model.adapters, old_config.scenes, model.config.scenes)
    old_labels, labels = load_labels(champion), dataset.labels
    _copy_rows(old.intent, model.intent, old_labels.class_names(), labels.class_names())
    if labels.multi_label and model.intent is not None:
        # Where a text had one intent, nothing was learned about when a label holds by itself.
        had = old_labels.class_names() if old_labels.multi_label and old.intent is not None else ()
        model.intent.expect_few([row for row, name in enumerate(labels.class_names()) if name not in had])
    _copy_rows(old.tags, model.tags, _tag_names(old_labels), _tag_names(labels))
    if old.outcome is not None and model.outcome is not None and _same_features(old_config, model.config):
        _copy_outcome(old.outcome, model.outcome)
    return model


def _keep_layers(encoder: Any, layers: int) -> None:
    """Leave `layers` of the encoder's, evenly spaced, its last among them."""
    stack = encoder.transformer if encoder.config.model_type == "distilbert" else encoder.encoder
    have = len(stack.layer)
    stack.layer = nn.ModuleList(stack.layer[(place + 1) * have // layers - 1] for place in range(layers))
    encoder.config.num_hidden_layers = layers


def _tag_names(labels: LabelSet) -> tuple[str, ...]:
    return ("O", *(f"{prefix}-{name}" for name in labels.key_information for prefix in ("B", "I")))


def _copy_rows(
    old: nn.Linear | IntentHead | None, new: nn.Linear | IntentHead | None, had: Sequence[str], has: Sequence[str]
) -> None:
    """Labels that both heads know keep what was learned about them."""
    if old is None or new is None:
        return
    with torch.no_grad():
        for row, name in enumerate(has):
            if name in had:
                new.weight[row] = old.weight[had.index(name)]
                new.bias[row] = old.bias[had.index(name)]


def _same_features(old: ModelConfig, new: ModelConfig) -> bool:
    return [f.name for f in old.features] == [f.name for f in new.features]


def _copy_outcome(old: OutcomeHead, new: OutcomeHead) -> None:
    # The scales stay those of the new data: buffers are left as they are.
    with torch.no_grad():
        for source, target in zip(old.parameters(), new.parameters(), strict=True):
            target.copy_(source)
