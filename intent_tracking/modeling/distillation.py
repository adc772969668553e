"""A smaller student: the teacher's encoder with fewer layers, taught by its answers to labelled and unlabelled texts.

A student is a training that starts from the teacher: its words, labels, heads and layers, evenly spaced, the last one
among them (after DistilBERT, Sanh et al. 2019). The teacher's answers are worked out once and lie in the tokenized
dataset; `objective.loss_of` learns from them beside the labels. They are those of its encoder and intent head: a
lexical head is fitted anew beside the student, as after any training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import TEACHER_INTENTS, TEACHER_POOLED, ExampleArrays, make_batch
from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA
from intent_tracking.modeling.loading import load_labels
from intent_tracking.modeling.predicting import batches_by_length
from intent_tracking.sessions.render import render_utterance

_BATCH = 64


def unlabelled_examples(texts: Sequence[str], scene: str, time: datetime) -> pa.Table:
    """Rows of `EXAMPLE_SCHEMA` for training that only a teacher labels, utterances of one scene."""
    rows = []
    for number, text in enumerate(texts):
        shown = render_utterance(text, scene)
        rows.append(
            {
                "example_id": f"unlabelled-{number}",
                "text": shown.text,
                "scene": scene,
                "language": shown.language,
                "weight": 1.0,
                "kind": "utterance",
                "split": "train",
                "time": time,
                "utterance_start": shown.utterance_start,
                "utterance_end": shown.utterance_end,
            }
        )
    return pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA)


def taught(dataset: TokenizedDataset, teacher: Path, layers: int | None, device: torch.device) -> TokenizedDataset:
    """The dataset with the teacher's pooled text and intent logits for each training example, to train a student.

    Args:
        dataset: from `prepare_dataset` with the teacher as champion; examples without an intent are taught too.
        teacher: the artifact.
        layers: of the teacher's encoder that the student keeps; None: half of them.
        device: where the teacher runs.

    Raises:
        ValueError: the teacher does not know an intent, or has no more than `layers`.
    """
    known = load_labels(teacher).class_names()
    unknown = [name for name in dataset.labels.class_names() if name not in known]
    if unknown:
        raise ValueError(
            f"{teacher}: the teacher does not know the intent {unknown[0]!r} ({len(unknown)} such); "
            "train it on these examples first, or leave them out"
        )
    model = assemble(dataset, champion=teacher, dropout=0.0, seed=0).to(device).eval()
    if model.intent is None:
        raise ValueError(f"{teacher}: the teacher knows no intents, so it has nothing to teach")
    have = int(model.encoder.config.num_hidden_layers)
    kept = have // 2 if layers is None else layers
    if not 1 <= kept < have:
        raise ValueError(f"a student of {kept} layers: the teacher has {have}; give 1 to {have - 1}")
    is_train = pc.equal(dataset.table["split"], "train")
    examples = ExampleArrays.of(
        dataset.table.filter(is_train), len(dataset.info.features), dataset.info.scenes, dataset.labels.set_size
    )
    pooled = np.full((len(examples), model.hidden), np.nan, dtype=np.float32)
    intents = np.full((len(examples), dataset.labels.intent_classes), np.nan, dtype=np.float32)
    for places in batches_by_length(examples.lengths, _BATCH):
        batch = make_batch(examples, places, device)
        with torch.inference_mode():
            output = model(batch.ids, batch.mask, batch.features, batch.scenes)
        pooled[places] = output.pooled.float().cpu().numpy()
        intents[places] = output.intents.float().cpu().numpy()
    rows = np.flatnonzero(is_train.to_numpy())
    table = dataset.table
    for name, values in ((TEACHER_POOLED, pooled), (TEACHER_INTENTS, intents)):
        whole = np.full((len(table), values.shape[1]), np.nan, dtype=np.float32)
        whole[rows] = values
        table = table.append_column(name, pa.FixedSizeListArray.from_arrays(pa.array(whole.ravel()), whole.shape[1]))
    return replace(dataset, table=table, info=dataset.info.model_copy(update={"layers": kept}))
