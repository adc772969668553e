"""Tokenized examples: Arrow tables of dynamic length, with the tokenizer and the label set that they were made with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from intent_tracking.artifact import verify
from intent_tracking.modeling.augmentation import Augmentation, augmented_examples
from intent_tracking.modeling.encoder import find_encoder, positions_of
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA
from intent_tracking.modeling.label_names import name_examples
from intent_tracking.modeling.labels import IGNORED, LabelSet
from intent_tracking.modeling.loading import load_config, load_labels, load_tokenizer
from intent_tracking.modeling.model import FeatureScale
from intent_tracking.modeling.tokenization import BLOCK, SessionTokenizer, extend_vocabulary
from intent_tracking.sessions.vocabulary import SPECIAL_TOKENS, scene_token
from intent_tracking.tables import atomic_directory

TOKENIZED_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("split", pa.string()),
        ("scene", pa.string()),
        ("input_ids", pa.list_(pa.int32())),
        ("tags", pa.list_(pa.int16())),
        ("intent", pa.int32()),
        ("label_set", pa.list_(pa.int32())),
        ("outcome", pa.bool_()),
        ("weight", pa.float32()),
        ("features", pa.list_(pa.float32())),
    ]
)
MOST_TOKENS = 192
FEWEST_TOKENS = 32


class DatasetInfo(BaseModel):
    """What a tokenized dataset was made from; the content of `dataset.json`.

    `scenes` are those that the model is trained in, a champion's first.
    `layers` is given for a student: so many of the parent's layers are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_encoder: str
    parent: str | None
    max_tokens: int
    fingerprint: str
    versions: int = Field(default=1, ge=1, description="Ways in which each training text is written.")
    augmentation: Augmentation | None = Field(default=None, description="Edits of all ways but the first.")
    augmentation_seed: int | None = Field(default=None, description="Of the edits.")
    features: tuple[FeatureScale, ...]
    scenes: tuple[str, ...] = ()
    layers: int | None = None


@dataclass(frozen=True, eq=False)
class TokenizedDataset:
    """Rows of `TOKENIZED_SCHEMA` and everything that gives their ids a meaning."""

    table: pa.Table
    tokenizer: SessionTokenizer
    labels: LabelSet
    info: DatasetInfo

    def split(self, name: str) -> pa.Table:
        """Rows of `train`, `validation` or `test`."""
        return self.table.filter(pc.equal(self.table["split"], name))

    def scene_tokens(self) -> torch.Tensor:
        """Token id of each scene, int64 [S + 1]; scene 0, an unknown one, has none."""
        vocabulary = self.tokenizer.vocabulary
        return torch.tensor([0, *(vocabulary.token_to_id(scene_token(scene)) for scene in self.info.scenes)])

    def without(self, example_ids: Collection[str], *, fingerprint: str) -> TokenizedDataset:
        """The dataset without some examples and what was written anew of them; `fingerprint` is that of the rest."""
        gone = frozenset(example_ids)
        kept = [
            name not in gone and name.rpartition("~")[0] not in gone for name in self.table["example_id"].to_pylist()
        ]
        table = self.table.filter(pa.array(kept, pa.bool_()))
        return replace(self, table=table, info=self.info.model_copy(update={"fingerprint": fingerprint}))

    def save(self, directory: Path) -> None:
        """Write the dataset atomically: `dataset.arrow`, `tokenizer.json`, `labels.json`, `dataset.json`."""
        with atomic_directory(directory) as building:
            with (
                pa.OSFile(str(building / "dataset.arrow"), "wb") as sink,
                pa.ipc.new_file(sink, TOKENIZED_SCHEMA) as out,
            ):
                out.write_table(self.table.combine_chunks())
            (building / "tokenizer.json").write_text(self.tokenizer.to_json(), encoding="utf-8")
            (building / "labels.json").write_text(self.labels.model_dump_json(indent=2) + "\n", encoding="utf-8")
            (building / "dataset.json").write_text(self.info.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> TokenizedDataset:
        """Read what `save` wrote; the table is memory-mapped.

        Raises:
            FileNotFoundError: `directory` holds no dataset.
            ValueError: an earlier version wrote it, with other columns.
        """
        info = DatasetInfo.model_validate_json((directory / "dataset.json").read_text(encoding="utf-8"))
        with pa.memory_map(str(directory / "dataset.arrow")) as source:
            table = pa.ipc.open_file(source).read_all()
        if table.schema.names != TOKENIZED_SCHEMA.names:
            raise ValueError(
                f"{directory / 'dataset.arrow'}: was written by another version; tokenize the examples again"
            )
        return cls(table, load_tokenizer(directory, info.max_tokens), load_labels(directory), info)


def tokenize_examples(
    examples: pa.Table, tokenizer: SessionTokenizer, labels: LabelSet, feature_names: Sequence[str] = ()
) -> pa.Table:
    """Rows of `TOKENIZED_SCHEMA` for rows of `EXAMPLE_SCHEMA`, in their order.

    Intents that `labels` does not know become null, missing features NaN. A multi-label set fills `label_set` too. Tags
    are -100 for tokens that begin no word of the utterance, and throughout where nobody marked slots (null).
    """
    blocks = range(0, max(1, len(examples)), BLOCK)
    rows = [_rows(examples.slice(start, BLOCK), tokenizer, labels, feature_names) for start in blocks]
    return pa.concat_tables(rows).combine_chunks()


def _rows(examples: pa.Table, tokenizer: SessionTokenizer, labels: LabelSet, feature_names: Sequence[str]) -> pa.Table:
    """A block of `tokenize_examples`: all of a data set as Python objects would be gigabytes."""
    encoded = tokenizer.encode(examples["text"].to_pylist())
    marked = examples.select(["slots", "utterance_start", "utterance_end"]).to_pylist()
    tags = [
        labels.tag_ids(
            entry.spans,
            entry.word_starts,
            None if row["slots"] is None else [(slot["name"], slot["start"], slot["end"]) for slot in row["slots"]],
            (row["utterance_start"], row["utterance_end"]),
            entry.stretches,
        )
        for entry, row in zip(encoded, marked, strict=True)
    ]
    ids = [labels.intent_id(name) for name in examples["intent"].to_pylist()]
    sets = [labels.label_set(name) for name in examples["intent"].to_pylist()]
    features = feature_matrix(examples, feature_names)
    columns = [
        examples["example_id"],
        examples["split"],
        examples["scene"],
        pa.array([entry.ids for entry in encoded], TOKENIZED_SCHEMA.field("input_ids").type),
        pa.array(tags, TOKENIZED_SCHEMA.field("tags").type),
        pa.array([None if identity == IGNORED else identity for identity in ids], pa.int32()),
        pa.array(sets, TOKENIZED_SCHEMA.field("label_set").type),
        examples["outcome"],
        examples["weight"],
        pa.array(list(features), TOKENIZED_SCHEMA.field("features").type),
    ]
    return pa.Table.from_arrays(columns, schema=TOKENIZED_SCHEMA)


def feature_matrix(examples: pa.Table, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """User features as float32 [N, F], NaN where missing."""
    columns = [examples[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in names]
    return np.stack(columns, axis=1) if columns else np.zeros((len(examples), 0), dtype=np.float32)


def prepare_dataset(
    examples: pa.Table,
    base_encoder: str,
    *,
    champion: Path | None = None,
    augment: int = 0,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> TokenizedDataset:
    """Extend the vocabulary by what the training examples hold, fix the label set, and tokenize every split.

    Args:
        examples: rows of `EXAMPLE_SCHEMA` and float64 columns of user features.
        base_encoder: hub id, local folder or the packaged MiniLM; with a champion, the one it stands on is used.
        champion: artifact to start from; its ids, labels and tags stay and new ones are added behind them.
        augment: how often each training text is written anew, to be learned beside it.
        augmentation: by which edits; None: the defaults.
        seed: of those edits.

    Raises:
        ValueError: no example is in the training split.
        EncoderError, ArtifactError: the encoder or the champion cannot be read.
    """
    train = examples.filter(pc.equal(examples["split"], "train"))
    if len(train) == 0:
        raise ValueError("no example is in the training split; label some data, or move the end of the training time")
    names = [name for name in examples.column_names if name not in EXAMPLE_SCHEMA.names]
    intents = [name for name in train["intent"].to_pylist() if name is not None]
    slot_names = [slot["name"] for found in train["slots"].to_pylist() for slot in found or ()]
    parent = None
    known_scenes: tuple[str, ...] = ()
    was_multi_label = False
    if champion is None:
        base = find_encoder(base_encoder)
        tokenizer, encoder = Tokenizer.from_file(str(base.tokenizer_file)), base.config()
    else:
        manifest = verify(champion)
        parent, base_encoder = manifest.version, manifest.base_encoder or base_encoder
        config = load_config(champion)
        known_scenes, encoder = config.scenes, config.encoder
        tokenizer = load_tokenizer(champion, config.max_tokens).vocabulary
        known = load_labels(champion)
        was_multi_label = known.multi_label
        intents += known.class_names()
        slot_names += known.key_information
    labels = LabelSet.of(intents, slot_names, multi_label=was_multi_label)
    anew = augmented_examples(train, augment, seed, augmentation)
    more = pa.concat_tables([name_examples(train, labels.intents), anew])
    train = pa.concat_tables([train, more])
    scene_tokens = [scene_token(scene) for scene in sorted(set(train["scene"].to_pylist()))]
    special = tuple(dict.fromkeys((*SPECIAL_TOKENS, *scene_tokens)))
    wide = SessionTokenizer(extend_vocabulary(tokenizer, train["text"].to_pylist(), special), MOST_TOKENS)
    lengths = [len(entry.ids) for entry in wide.encode_each(train["text"].to_pylist())]
    fitted = wide.with_max_tokens(min(choose_max_tokens(lengths), positions_of(encoder)))
    info = DatasetInfo(
        base_encoder=base_encoder,
        parent=parent,
        max_tokens=fitted.max_tokens,
        fingerprint=fingerprint(examples),
        versions=1 + augment,
        augmentation=(augmentation or Augmentation()) if augment else None,
        augmentation_seed=seed if augment else None,
        features=feature_scales(train, names) if train["outcome"].null_count < len(train) else (),
        scenes=scenes_of(train["scene"].to_pylist(), known_scenes),
    )
    table = tokenize_examples(
        pa.concat_tables([examples, more]), fitted, labels, [scale.name for scale in info.features]
    )
    return TokenizedDataset(table, fitted, labels, info)


def scenes_of(found: Iterable[str], known: Sequence[str] = ()) -> tuple[str, ...]:
    """The scenes that a model is trained in: those it knows, then new ones by name."""
    return (*known, *sorted(set(found) - set(known)))


def choose_max_tokens(lengths: Sequence[int]) -> int:
    """The budget that leaves 99 of 100 training texts whole, in steps of eight, from 32 to 192.

    The time of a step grows faster than its length, and what is cut is the oldest behaviour.
    """
    wanted = int(np.quantile(lengths, 0.99))
    return int(min(MOST_TOKENS, max(FEWEST_TOKENS, -(-wanted // 8) * 8)))


def feature_scales(train: pa.Table, names: Sequence[str]) -> tuple[FeatureScale, ...]:
    """Mean and deviation of each feature after signed log1p, over the rows that have it; constants are left out."""
    scales: list[FeatureScale] = []
    for name, column in zip(names, feature_matrix(train, names).T, strict=True):
        values = column[~np.isnan(column)].astype(np.float64)
        values = np.sign(values) * np.log1p(np.abs(values))
        if len(values) > 1 and values.std() > 1e-9:
            scales.append(FeatureScale(name=name, mean=float(values.mean()), deviation=float(values.std())))
    return tuple(scales)


def fingerprint(examples: pa.Table) -> str:
    """sha256 over the rows, in their order."""
    digest = hashlib.sha256()
    digest.update(str(examples.schema.remove_metadata()).encode())
    for column in examples.column_names:
        for value in examples[column].to_pylist():
            digest.update(repr(value).encode())
    return digest.hexdigest()
