"""A base encoder as people save theirs, small enough to train in a second: two BERT layers with random weights."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from intent_tracking.modeling.annotations import LabelledText, Slot
from intent_tracking.modeling.encoder import build_encoder
from intent_tracking.modeling.examples import examples_from_labelled

WORDS = (
    *(
        "where",
        "is",
        "my",
        "order",
        "parcel",
        "i",
        "want",
        "to",
        "return",
        "this",
        "cancel",
        "it",
        "please",
        "the",
        "a",
    ),
    *("red", "blue", "green", "dress", "shoes", "coat"),
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORDERS = {
    "track": ("where is my {}", "where is the {} please"),
    "return": ("i want to return the {}", "return this {} please"),
    "cancel": ("cancel my {}", "please cancel the {}"),
}
THINGS = ("red dress", "blue shoes", "green coat", "red coat", "blue dress", "green shoes")


def tiny_tokenizer() -> Tokenizer:
    """A WordPiece tokenizer built as BERT's, with a handful of words and the Latin letters."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {name: place for place, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return tokenizer


def tiny_encoder(folder: Path) -> Path:
    """Save the encoder to `folder` as `config.json`, `tokenizer.json` and `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer()
    config = {
        "model_type": "bert",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 200,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder(config)
    # Written as checkpoints in the wild are: with the prefix of the base model.
    save_file({f"bert.{name}": value for name, value in encoder.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"], "auto_map": {"x": "y"}}))
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    return folder


def labelled(intents: tuple[str, ...] = ("track", "return", "cancel")) -> list[LabelledText]:
    """Every pattern of every intent with every thing, the colour marked."""
    rows = []
    for intent in intents:
        for pattern in ORDERS[intent]:
            for thing in THINGS:
                text = pattern.format(thing)
                start = text.index(thing)
                colour = Slot(name="colour", start=start, end=start + len(thing.split()[0]))
                rows.append(LabelledText(text=text, intent=intent, slots=(colour,)))
    return rows


def tiny_examples(intents: tuple[str, ...] = ("track", "return", "cancel")) -> pa.Table:
    """Rows of EXAMPLE_SCHEMA: five of six train, one of six validates."""
    rows = labelled(intents)
    train = [row for place, row in enumerate(rows) if place % 6]
    held = [row for place, row in enumerate(rows) if place % 6 == 0]
    return pa.concat_tables(
        [examples_from_labelled(train, "train", NOON), examples_from_labelled(held, "validation", NOON)]
    )
