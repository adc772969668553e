"""`make linguistics`: train, write and score the two pipelines that are shipped.

Run as `python -m intent_tracking.text.make_pipelines [--data FOLDER] [--out FOLDER] [--language en|zh]`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from intent_tracking.artifact import sha256_of
from intent_tracking.datasets.catalogue import DatasetError
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.settings import SettingsError, load_settings
from intent_tracking.tables import atomic_directory, atomic_write_text, require_replaceable
from intent_tracking.text.language import Language
from intent_tracking.text.linguistics import SHIPPED, load_linguistics, parser_folder, write_pipeline
from intent_tracking.text.linguistics_training import Treebank, train_parser, train_segmenter
from intent_tracking.text.parsing_network import LONGEST_SENTENCE, Parser
from intent_tracking.text.treebank import Sentence, read_treebank
from intent_tracking.text.treebank_scores import score_trees, segmentation_f1

MOST_BYTES = 6_000_000
SEED = 0
COMMAND = "make linguistics"
CARD_FILE = "card.json"


@dataclass(frozen=True)
class Plan:
    """What a pipeline is made from: files below the folder `ud` of the public data, and how long it trains."""

    train: tuple[tuple[str, str, int], ...]
    development: str
    test: str
    epochs: int
    segmenter_epochs: int
    borrowed: int


# There is no training part of GSDSimp among the public data. Most of its development part is trained on, twice an
# epoch, because the other treebanks are annotated in other ways; the rest of it is for choosing, the test for the card.
PLANS: dict[Language, Plan] = {
    "en": Plan(
        train=(("UD_English-EWT", "english-ewt/en_ewt-ud-train.conllu", 1),),
        development="english-ewt/en_ewt-ud-dev.conllu",
        test="english-ewt/en_ewt-ud-test.conllu",
        epochs=8,
        segmenter_epochs=0,
        borrowed=0,
    ),
    "zh": Plan(
        train=(
            ("UD_Chinese-GSDSimp", "chinese-gsdsimp-devtest/zh_gsdsimp-ud-dev.conllu", 2),
            ("UD_Chinese-PUD", "chinese-pud/zh_pud-ud-test.conllu", 1),
            ("UD_Chinese-HK", "chinese-hk/zh_hk-ud-test.conllu", 1),
            ("UD_Chinese-CFL", "chinese-cfl/zh_cfl-ud-test.conllu", 1),
        ),
        development="chinese-gsdsimp-devtest/zh_gsdsimp-ud-dev.conllu",
        test="chinese-gsdsimp-devtest/zh_gsdsimp-ud-test.conllu",
        epochs=25,
        segmenter_epochs=8,
        borrowed=400,
    ),
}


def make_pipeline(
    language: Language, data: Path, out: Path, progress: Callable[[str], None], *, seed: int = SEED
) -> dict[str, Any]:
    """Train the pipeline of `language` on the treebanks below `data` / `ud` and write it with its card to `out`.

    The same treebanks, versions and machine type give the same scores.

    Returns:
        The card.

    Raises:
        TreebankError, OSError: a treebank cannot be read.
        FileExistsError: `out` holds anything else than a pipeline.
        ValueError: the pipeline is larger than MOST_BYTES.
    """
    card_file = out / CARD_FILE
    written = json.loads(card_file.read_text(encoding="utf-8")).get("sha256", {}) if card_file.is_file() else {}
    require_replaceable(out, {CARD_FILE, *written} if written else ())
    plan, folder = PLANS[language], data / "ud"
    development = read_treebank(folder / plan.development)
    treebanks = []
    for name, file, weight in plan.train:
        sentences = read_treebank(folder / file)
        treebanks.append(
            Treebank(name, tuple(sentences[: plan.borrowed] if file == plan.development else sentences), weight)
        )
    development = development[plan.borrowed :]
    parser = train_parser(language, treebanks, epochs=plan.epochs, seed=seed, progress=progress)
    segmenter = None
    if plan.segmenter_epochs:
        segmenter = train_segmenter(treebanks, epochs=plan.segmenter_epochs, seed=seed, progress=progress)
    with atomic_directory(out) as building:
        write_pipeline(building, language, parser, segmenter)
        card = pipeline_card(language, building, data, treebanks, development, seed)
        atomic_write_text(building / CARD_FILE, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return card


def pipeline_card(
    language: Language,
    folder: Path,
    data: Path,
    treebanks: Sequence[Treebank],
    development: Sequence[Sentence],
    seed: int,
) -> dict[str, Any]:
    """What a user of the pipeline in `folder` has to know: scores as stored, data, licence, versions, size."""
    plan = PLANS[language]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD_FILE)
    size = sum(path.stat().st_size for path in files)
    if size > MOST_BYTES:
        raise ValueError(f"{folder}: {size} bytes, more than {MOST_BYTES}; make the network's shape smaller")
    return {
        "pipeline": f"intent_tracking {language}",
        "made_by": COMMAND,
        "seed": seed,
        "epochs": plan.epochs,
        "segmenter_epochs": plan.segmenter_epochs,
        "scores": {
            "counting": "CoNLL 2018, punctuation included; las compares subtypes of relations, las_universal does not",
            "development": scores(language, folder, development),
            "test": scores(language, folder, read_treebank(data / "ud" / plan.test)),
        },
        "trained_on": [
            {
                "treebank": bank.name,
                "sentences": len(bank.sentences),
                "words": sum(len(sentence.words) for sentence in bank.sentences),
                "copies_an_epoch": bank.weight,
                "sha256": sha256_of(data / "ud" / file),
                "source": f"https://github.com/UniversalDependencies/{bank.name}",
            }
            for bank, (_, file, _) in zip(treebanks, plan.train, strict=True)
        ],
        "test": {"file": Path(plan.test).name, "sha256": sha256_of(data / "ud" / plan.test)},
        "licence": "CC BY-SA 4.0; attribution in LICENSE.md beside this folder",
        "versions": {name: version(name) for name in ("spacy", "torch", "numpy", "tokenizers")}
        | {"python": platform.python_version()},
        "bytes": size,
        "sha256": {str(path.relative_to(folder)): sha256_of(path) for path in files},
    }


def scores(language: Language, folder: Path, sentences: Sequence[Sentence]) -> dict[str, float]:
    """Scores of the stored pipeline in `folder`: of trees on gold words, and F1 of its own words."""
    kept = [sentence for sentence in sentences if len(sentence.words) <= LONGEST_SENTENCE]
    parsed = Parser.load(parser_folder(folder)).parse([sentence.forms for sentence in kept])
    found = load_linguistics(language, str(folder)).words(sentence.text for sentence in sentences)
    gold = [[(word.start, word.end) for word in sentence.words] for sentence in sentences]
    return asdict(score_trees(kept, parsed)) | {"word_f1_from_text": segmentation_f1(gold, found)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the shipped linguistics pipelines from Universal Dependencies.")
    parser.add_argument("--data", type=Path, help="folder whose folder ud is read (default: where `datasets` finds it)")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the folders en and zh are written")
    parser.add_argument("--language", choices=sorted(PLANS), action="append", help="only this one; may be repeated")
    chosen = parser.parse_args(arguments)
    if chosen.data is not None and not (chosen.data / "ud").is_dir():
        parser.error(f"{chosen.data / 'ud'}: no such folder")
    try:
        data = chosen.data or DataFolders.of(load_settings()).require("ud").parent
    except (DatasetError, SettingsError) as error:
        parser.error(str(error))
    for language in chosen.language or sorted(PLANS):
        card = make_pipeline(language, data, chosen.out / language, lambda line: _say(sys.stderr, line))
        _say(sys.stdout, json.dumps({"language": language, "bytes": card["bytes"], **card["scores"]["test"]}))


def _say(stream: Any, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
