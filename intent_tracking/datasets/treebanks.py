"""The treebanks of Universal Dependencies: which CoNLL-U file is which split."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from intent_tracking.datasets.catalogue import DatasetError, dataset
from intent_tracking.datasets.rows import Split

TREEBANKS: Final = (
    "english-ewt",
    "english-atis",
    "chinese-gsdsimp-devtest",
    "chinese-pud",
    "chinese-hk",
    "chinese-cfl",
)


def treebank_files(folder: Path, treebank: str) -> dict[Split, Path]:
    """The CoNLL-U files of `treebank` by split, `folder` being that of the set `ud`; most Chinese ones have no train.

    Raises:
        DatasetError: no treebank has this name.
    """
    if treebank not in TREEBANKS:
        raise DatasetError(f"no treebank is called {treebank!r}; there are {', '.join(TREEBANKS)}")
    splits: tuple[Split, ...] = ("train", "dev", "test")
    paths = [file.path for file in dataset("ud").files if file.path.startswith(f"{treebank}/")]
    return {split: folder / path for split in splits for path in paths if path.endswith(f"-ud-{split}.conllu")}
