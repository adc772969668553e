"""What an English encoder gets of Chinese: `python -m benchmarks.bench_chinese [--train 1000] [--starts gloss]`.

CrossWOZ user turns, the split by dialogue of the catalogue's task. Each start is scored frozen (mean pooling, logistic
regression) and after fine-tuning; TF-IDF + linear SVM of characters stands beside them. Prints a table.

* as-it-is: no character is added to the vocabulary, so that most stay unknown; the others keep their rows;
* random: characters are added, and each new row starts in a random direction;
* gloss: as the product does, those with an English gloss start from it;
* adapted: from there it first reads the training texts, and with `--unlabelled` further ones, without their labels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from tokenizers import Tokenizer

from benchmarks.quality.unit import public_data
from intent_tracking.datasets.dialogues import read_crosswoz
from intent_tracking.datasets.rows import Utterance
from intent_tracking.modeling import tokenization
from intent_tracking.modeling.adaptation import AdaptationRecipe
from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import ExampleArrays, make_batch
from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset, tokenize_examples
from intent_tracking.modeling.encoder import find_encoder
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.hardware import has_fast_bf16
from intent_tracking.modeling.label_names import name_examples
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.pretraining import adapt_encoder
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.tokenization import SessionTokenizer, extend_vocabulary
from intent_tracking.modeling.training import fine_tune
from intent_tracking.modeling.validation import run_split
from intent_tracking.settings import PACKAGED_ENCODER

CPU = torch.device("cpu")
MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
STARTS = ("as-it-is", "random", "gloss", "adapted")


def examples_of(rows: Sequence[Utterance], split: Literal["train", "test"]) -> pa.Table:
    """Rows as examples of one split."""
    labelled = [LabelledText(text=row.text, intent=row.intent, language="zh") for row in rows]
    return examples_from_labelled(labelled, split, MOMENT)


def tokenized(train: Sequence[Utterance], test: Sequence[Utterance], base_encoder: str) -> TokenizedDataset:
    """Both splits as token ids for `base_encoder`."""
    return prepare_dataset(pa.concat_tables([examples_of(train, "train"), examples_of(test, "test")]), base_encoder)


def as_it_is(dataset: TokenizedDataset, train: Sequence[Utterance], test: Sequence[Utterance]) -> TokenizedDataset:
    """The dataset read with the vocabulary of the packaged encoder, to which event tokens alone are added."""
    base = Tokenizer.from_file(str(find_encoder(PACKAGED_ENCODER).tokenizer_file))
    tokenizer = SessionTokenizer(extend_vocabulary(base, []), dataset.info.max_tokens)
    learned = examples_of(train, "train")
    examples = pa.concat_tables([learned, examples_of(test, "test"), name_examples(learned, dataset.labels.intents)])
    return replace(dataset, table=tokenize_examples(examples, tokenizer, dataset.labels), tokenizer=tokenizer)


@contextmanager
def without_glosses() -> Iterator[None]:
    """New rows of characters start at random. The product has no switch for it: there is no reason to want that."""
    known = tokenization.glosses
    tokenization.glosses = dict
    try:
        yield
    finally:
        tokenization.glosses = known


def svm_accuracy(train: Sequence[Utterance], test: Sequence[Utterance]) -> float:
    """One to three characters, TF-IDF, linear SVM."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    line = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True), LinearSVC())
    line.fit([row.text for row in train], [row.intent for row in train])
    return float(line.score([row.text for row in test], [row.intent for row in test]))


def pooled(model: IntentModel, examples: ExampleArrays) -> npt.NDArray[np.float32]:
    """Mean-pooled states [N, H] of the model as it is."""
    found = np.zeros((len(examples), model.hidden), dtype=np.float32)
    order = sorted(range(len(examples)), key=lambda place: len(examples.ids[place]))
    for start in range(0, len(order), 64):
        places = order[start : start + 64]
        batch = make_batch(examples, places, CPU)
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bf16(CPU)):
            found[places] = model(batch.ids, batch.mask).pooled.float().numpy()
    return found


def frozen_accuracy(dataset: TokenizedDataset, seed: int) -> float:
    """Logistic regression on the encoder before any fine-tuning."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = assemble(dataset, champion=None, dropout=0.1, seed=seed).eval()
    train, test = (ExampleArrays.of(dataset.split(name), 0) for name in ("train", "test"))
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, C=0.03))
    line.fit(pooled(model, train), train.intents)
    return float(line.score(pooled(model, test), test.intents))


def tuned_accuracy(dataset: TokenizedDataset, recipe: Recipe, seed: int) -> float:
    """After fine-tuning, the last pass."""
    with tempfile.TemporaryDirectory() as folder:
        model = fine_tune(dataset, work_dir=Path(folder), recipe=recipe, seed=seed, device="cpu").model
    outputs = run_split(model, ExampleArrays.of(dataset.split("test"), 0), CPU, bf16=recipe.bf16)
    return float((outputs.intent_logits.argmax(1) == outputs.intent_targets).mean())


def main() -> None:
    """Score every start and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=1000, help="training texts")
    parser.add_argument("--test", type=int, default=2000, help="test texts")
    parser.add_argument("--unlabelled", type=int, default=0, help="further training texts that `adapted` reads")
    parser.add_argument("--passes", type=int, default=10, help="of fine-tuning; 0: the frozen scores alone")
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--adapt-passes", type=int, default=3, help="passes of reading that `adapted` makes")
    parser.add_argument("--added-factor", type=float, nargs="*", default=[5.0, 20.0], help="rate of new rows")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = read_crosswoz(public_data().require("crosswoz"))
    shuffled = list(rows.train)
    Random(options.seed).shuffle(shuffled)
    train, test = shuffled[: options.train], rows.test[: options.test]
    read = shuffled[: options.train + options.unlabelled]
    print(f"{len(train)} training texts, {len(test)} test texts, {len({row.intent for row in train})} intents")
    print("| start | rate of new rows | frozen | fine-tuned | seconds |\n|---|---|---|---|---|")
    print(f"| TF-IDF + SVM | | | {100 * svm_accuracy(train, test):.1f} | |", flush=True)
    for start in options.starts:
        with tempfile.TemporaryDirectory() as folder, without_glosses() if start == "random" else nullcontext():
            base, began = PACKAGED_ENCODER, time.monotonic()
            if start == "adapted":
                texts = examples_of(read, "train")["text"].to_pylist()
                reading = AdaptationRecipe(passes=options.adapt_passes)
                made = adapt_encoder(texts, base, Path(folder) / "encoder", seed=options.seed, recipe=reading)
                base = str(made.folder)
            dataset = tokenized(train, test, base)
            if start == "as-it-is":
                dataset = as_it_is(dataset, train, test)
            frozen = f"{100 * frozen_accuracy(dataset, options.seed):.1f}"
            for factor in options.added_factor if options.passes else [0.0]:
                tuned = ""
                if options.passes:
                    recipe = Recipe(
                        epochs=options.passes,
                        batch_size=8,
                        learning_rate=3e-4,
                        added_factor=factor,
                        bf16=has_fast_bf16(CPU),
                    )
                    tuned = f"{100 * tuned_accuracy(dataset, recipe, options.seed):.1f}"
                print(f"| {start} | {factor:g} | {frozen} | {tuned} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
