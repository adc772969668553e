"""Words, tags and trees: how fast the shipped pipelines are, and whether what they find helps the intent model.

    python -m benchmarks.bench_linguistics [--rows 2000] [--domains airline] [--seeds 0 1 2] [--transformer]

The ablation on MultiDoGO gives the same learner the same texts twice: as they are, and with what the trees say.
Intents: TF-IDF and a linear SVM, with and without tags, relations and head-dependant pairs as further terms; slots: one
logistic regression a word over a window, with and without tag, relation and head; scored as whole spans. With
`--transformer` the product's own model too, intents and slots, with the root and its nearest dependants written behind
the text; each of its two trainings a seed takes at most `--seconds`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.unit import public_data
from intent_tracking.datasets.dialogues import MULTIDOGO_DOMAINS, read_multidogo
from intent_tracking.datasets.rows import Utterance
from intent_tracking.datasets.tasks import write_labelled_csv
from intent_tracking.text.linguistics import Analysis, load_linguistics

SPOKEN = {
    "en": (
        "where is my order",
        "i want to return the red shoes i bought last week",
        "black leather bag under 50 dollars",
    ),
    "zh": ("我的订单到哪里了", "我想退掉上周买的红色鞋子", "100元以下的黑色皮包"),
}


def speed(texts: int) -> None:
    """Texts a second, distinct short texts, one thread."""
    import torch

    torch.set_num_threads(1)
    for language, patterns in SPOKEN.items():
        linguistics = load_linguistics(language)
        asked = [f"{patterns[number % len(patterns)]} {number}" for number in range(texts)]
        linguistics.analyse(asked[:32])
        started = time.process_time()
        linguistics.analyse(asked)
        print(
            f"{language}: {texts / (time.process_time() - started):.0f} texts per processor second, {texts} short texts"
        )


def ablation(
    folder: Path, domains: Sequence[str], rows: int, seeds: Sequence[int], *, transformer_seconds: float | None
) -> None:
    """Prints macro-F1 of intents and F1 of slots, without and with the trees, as means over `seeds`.

    With `transformer_seconds` also those of the product's model, each of whose trainings takes no longer.
    """
    for domain in domains:
        data = read_multidogo(folder, [domain])
        test, found = data.test[:rows], []
        for seed in seeds:
            order = np.random.default_rng(seed).permutation(len(data.train))[:rows]
            train = [data.train[number] for number in order]
            trees = [analysed(train), analysed(test)]
            scores = [
                *(intent_f1(train, test, trees, with_trees=flag, seed=seed) for flag in (False, True)),
                *(slot_f1(train, test, trees, with_trees=flag, seed=seed) for flag in (False, True)),
            ]
            if transformer_seconds is not None:
                plain, parsed = (
                    transformer_f1(train, test, trees, with_trees=flag, seed=seed, seconds=transformer_seconds)
                    for flag in (False, True)
                )
                scores += [score for pair in zip(plain, parsed, strict=True) for score in pair]
            found.append(scores)
        learners = ("intents, SVM", "slots, regression", "intents, transformer", "slots, transformer")
        for number, name in enumerate(learners[: len(found[0]) // 2]):
            without, with_trees = (100 * np.array(found)[:, 2 * number + side] for side in (0, 1))
            gain = with_trees - without
            print(
                f"{domain}, {rows} rows, {len(seeds)} seeds, {name}: {without.mean():.1f} without, "
                f"{with_trees.mean():.1f} with trees, gain {gain.mean():+.1f} (spread {gain.std():.1f})"
            )


def analysed(rows: Sequence[Utterance]) -> list[Analysis]:
    """Trees of the utterances."""
    return load_linguistics("en").analyse(row.text for row in rows)


def terms(analysis: Analysis, *, with_trees: bool) -> str:
    """The words, and what the tree adds to them, as terms for TF-IDF."""
    words = [token.text.lower() for token in analysis.tokens]
    if not with_trees:
        return "\t".join([*words, *(f"{one} {other}" for one, other in pairwise(words))])
    tree = []
    for token in analysis.tokens:
        head = words[token.head] if token.head >= 0 else "ROOT"
        tree += [f"{token.tag}|{token.text.lower()}", f"{token.relation}|{head}|{token.text.lower()}"]
    return "\t".join([terms(analysis, with_trees=False), *tree])


def intent_f1(
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    trees: Sequence[list[Analysis]],
    *,
    with_trees: bool,
    seed: int,
) -> float:
    """Macro-F1 of a linear SVM."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(
        TfidfVectorizer(analyzer=lambda text: text.split("\t"), sublinear_tf=True), LinearSVC(random_state=seed)
    )
    seen, asked = ([terms(each, with_trees=with_trees) for each in part] for part in trees)
    model.fit(seen, [row.intent for row in train])
    return float(f1_score([row.intent for row in test], model.predict(asked), average="macro", zero_division=0))


def token_features(analysis: Analysis, *, with_trees: bool) -> Iterator[dict[str, Any]]:
    """Form features of each token and its neighbours; with trees its tag, relation and head too."""
    words = [token.text.lower() for token in analysis.tokens]
    for number, token in enumerate(analysis.tokens):
        found: dict[str, Any] = {
            "digit": token.text[0].isdigit(),
            "title": token.text.istitle(),
            "end": words[number][-3:],
        }
        for step in (-2, -1, 0, 1, 2):
            found[f"w{step}"] = words[number + step] if 0 <= number + step < len(words) else ""
        if with_trees:
            head = analysis.tokens[token.head] if token.head >= 0 else None
            found |= {"tag": token.tag, "relation": token.relation, "head": head.text.lower() if head else "ROOT"}
            found["path"] = f"{token.relation}>{head.relation if head else ''}"
        yield found


def slot_f1(
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    trees: Sequence[list[Analysis]],
    *,
    with_trees: bool,
    seed: int,
) -> float:
    """F1 of whole spans found by a logistic regression a token; neighbours of one label are one span."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    labels = [
        next((span.name for span in row.spans or () if span.start <= token.start < span.end), "O")
        for row, analysis in zip(train, trees[0], strict=True)
        for token in analysis.tokens
    ]
    if len(set(labels)) < 2:
        raise ValueError("the rows hold no slots; give more rows")
    model = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=200, C=5.0, random_state=seed))
    model.fit([each for analysis in trees[0] for each in token_features(analysis, with_trees=with_trees)], labels)
    right = predicted = gold = 0
    for row, analysis in zip(test, trees[1], strict=True):
        if not analysis.tokens:
            continue
        named = model.predict(list(token_features(analysis, with_trees=with_trees)))
        spans: list[list[Any]] = []
        before = "O"
        for token, name in zip(analysis.tokens, named, strict=True):
            if name != "O" and name == before:
                spans[-1][2] = token.end
            elif name != "O":
                spans.append([name, token.start, token.end])
            before = name
        known = {(span.name, span.start, span.end) for span in row.spans or ()}
        right += len(known & {tuple(span) for span in spans})
        predicted, gold = predicted + len(spans), gold + len(known)
    return 2 * right / (predicted + gold)


def transformer_f1(
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    trees: Sequence[list[Analysis]],
    *,
    with_trees: bool,
    seed: int,
    seconds: float,
) -> tuple[float, float]:
    """Macro-F1 of intents and F1 of whole spans of the product's model with its defaults, but for the time.

    Raises:
        ValueError: no test row is marked.
    """
    from intent_tracking.evaluation.evaluate import evaluate_command

    with tempfile.TemporaryDirectory(prefix="bench-linguistics-") as folder:
        paths = [Path(folder) / "train.csv", Path(folder) / "test.csv"]
        for path, rows, part in zip(paths, (train, test), trees, strict=True):
            # What stands behind the text leaves the places of its spans as they are.
            written = [
                replace(row, text=f"{row.text} ; {core(analysis)}") if with_trees else row
                for row, analysis in zip(rows, part, strict=True)
            ]
            write_labelled_csv(path, written)
        report = evaluate_command(
            *paths, None, Path(folder) / "report.json", seed=seed, device="cpu", max_seconds=seconds
        )
    spans = report["details"]["spans"]
    if spans is None:
        raise ValueError("the rows hold no slots; give more rows")
    return float(report["macro_f1"]), float(spans["f1"])


def core(analysis: Analysis) -> str:
    """The roots with their arguments, in the order of the text: "want return shoes"."""
    kept = {"nsubj", "obj", "obl", "xcomp", "ccomp", "root"}
    return " ".join(token.text.lower() for token in analysis.tokens if token.relation.partition(":")[0] in kept)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="of training and of test, a domain")
    parser.add_argument("--domains", nargs="+", choices=MULTIDOGO_DOMAINS, default=["airline", "insurance"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--texts", type=int, default=3000, help="for the measurement of speed")
    parser.add_argument("--transformer", action="store_true", help="the product's model too; minutes a seed")
    parser.add_argument("--seconds", type=float, default=150.0, help="of each training of the product's model")
    chosen = parser.parse_args()
    speed(chosen.texts)
    ablation(
        public_data().require("multidogo"),
        chosen.domains,
        chosen.rows,
        chosen.seeds,
        transformer_seconds=chosen.seconds if chosen.transformer else None,
    )


if __name__ == "__main__":
    main()
