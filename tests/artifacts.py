"""Real artifacts in a fraction of a second: a two-layer BERT with random weights, exported as training exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from intent_tracking.artifact import INTENT_MODEL, Manifest, write_manifest
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.golden import golden_case
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.model import IntentModel, ModelConfig
from intent_tracking.modeling.predicting import PredictionPipeline, TorchBackend
from intent_tracking.modeling.tokenization import SessionTokenizer, extend_vocabulary
from intent_tracking.release import Component
from intent_tracking.sessions.render import render_utterance

INTENTS = ("track_order", "return_refund", "find_product", "oos")
TEXTS = ("where is my parcel", "i want to return this", "red dress size m", "我想退货", "我的快递到哪里了")
MAX_TOKENS = 64


def tiny_artifact(directory: Path, version: str, *, seed: int = 0, true_golden: bool = True) -> Manifest:
    """Write the artifact of an untrained model to `directory`; `seed` makes its answers.

    With `true_golden` false it records golden answers that the model does not give, as a file damaged before it was
    checksummed would.
    """
    directory.mkdir(parents=True)
    pipeline, model = _untrained(seed)
    inputs = [render_utterance(text) for text in TEXTS]
    cases = [golden_case(entry, answer) for entry, answer in zip(inputs, pipeline.predict(inputs), strict=True)]
    if not true_golden:
        cases = [case.model_copy(update={"intents": dict.fromkeys(case.intents, 0.0)}) for case in cases]
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, directory / "model.safetensors")
    (directory / "config.json").write_text(model.config.model_dump_json())
    (directory / "tokenizer.json").write_text(pipeline.tokenizer.to_json())
    (directory / "labels.json").write_text(pipeline.labels.model_dump_json())
    (directory / "calibration.json").write_text(pipeline.calibration.model_dump_json())
    (directory / "golden.jsonl").write_text("".join(case.model_dump_json() + "\n" for case in cases))
    return write_manifest(
        directory,
        kind=INTENT_MODEL,
        version=version,
        code_version="0",
        dataset_fingerprint="none",
        labels=pipeline.labels.class_names(),
        key_information=pipeline.labels.key_information,
    )


def tiny_pipeline(seed: int = 0, intents: Sequence[str] = INTENTS) -> PredictionPipeline:
    """The same model without an artifact."""
    return _untrained(seed, intents)[0]


def _untrained(seed: int, intents: Sequence[str] = INTENTS) -> tuple[PredictionPipeline, IntentModel]:
    tokenizer = SessionTokenizer(_tokenizer(), MAX_TOKENS)
    labels = LabelSet.of(intents, ("product", "colour"))
    config = ModelConfig(
        encoder={
            "model_type": "bert",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "max_position_embeddings": MAX_TOKENS,
            "vocab_size": tokenizer.vocabulary_size,
        },
        base_vocabulary=tokenizer.vocabulary_size,
        max_tokens=MAX_TOKENS,
        intent_classes=labels.intent_classes,
        tags=labels.tag_count,
        outcome=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = IntentModel(config)
        # Fresh heads hardly tell labels apart; wide ones make the seed show in the answers.
        if model.intent is not None:
            torch.nn.init.normal_(model.intent.weight, std=1.0)
    calibration = Calibration()
    pipeline = PredictionPipeline(TorchBackend(model, torch.device("cpu")), tokenizer, labels, calibration)
    return pipeline, model


def tiny_component(home: Path, version: str, *, seed: int = 0, true_golden: bool = True) -> Component:
    """A tiny artifact under `home/models`, ready to be published."""
    directory = home / "models" / version
    tiny_artifact(directory, version, seed=seed, true_golden=true_golden)
    return Component.of(directory)


def _tokenizer() -> Tokenizer:
    words = sorted({word for text in TEXTS for word in text.split() if word.isascii()})
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *"abcdefghijklmnopqrstuvwxyz0123456789"]
    vocabulary = {name: place for place, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return extend_vocabulary(tokenizer, TEXTS)
