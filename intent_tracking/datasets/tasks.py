"""Intent tasks made from the public sets, and their export in the form that `intent-tracking evaluate` reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from intent_tracking.datasets.catalogue import DatasetError
from intent_tracking.datasets.dialogues import MULTIDOGO_DOMAINS, read_crosswoz, read_multidogo
from intent_tracking.datasets.rows import SPLITS, Utterance, UtteranceSet
from intent_tracking.datasets.utterances import read_banking77, read_bitext, read_clinc150
from intent_tracking.tables import atomic_file

COLUMNS: Final = ("text", "intent", "scene", "language", "slots")


@dataclass(frozen=True)
class Task:
    """One task: the public set that it is made from, and how its folder is read."""

    name: str
    dataset: str
    read: Callable[[Path], UtteranceSet]


TASKS: Final = {
    task.name: task
    for task in (
        Task("banking77", "banking77", read_banking77),
        Task("bitext_intents", "bitext_intents", read_bitext),
        Task("clinc150", "clinc150", read_clinc150),
        Task("crosswoz", "crosswoz", read_crosswoz),
        Task("multidogo", "multidogo", read_multidogo),
        *(
            Task(f"multidogo-{domain}", "multidogo", partial(read_multidogo, domains=(domain,)))
            for domain in MULTIDOGO_DOMAINS
        ),
    )
}


def task(name: str) -> Task:
    """The task called `name`.

    Raises:
        DatasetError: there is none.
    """
    if name not in TASKS:
        raise DatasetError(f"no intent task is called {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def export(rows: UtteranceSet, folder: Path) -> dict[Path, int]:
    """Write `train.csv`, `dev.csv` and `test.csv` (a split without rows is not written); returns rows by path.

    Raises:
        DatasetError: the folder is a file, or has a file of a split that these rows lack: it would pass for one of
            theirs.
    """
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder}: is a file; name a folder")
    for split in SPLITS:
        other = folder / f"{split}.csv"
        if other.exists() and not rows.split(split):
            raise DatasetError(f"{other}: is of other data, which has no such split here; give a folder of its own")
    written: dict[Path, int] = {}
    for split in SPLITS:
        found = rows.split(split)
        if found:
            write_labelled_csv(folder / f"{split}.csv", found)
            written[folder / f"{split}.csv"] = len(found)
    return written


def write_labelled_csv(path: Path, rows: Iterable[Utterance]) -> None:
    """Write rows as the columns `text,intent,scene,language,slots`; a cell is empty where a row has nothing for it.

    The scene stands there only where the rows have several: the scene of one domain alone tells nothing apart.
    """
    rows = list(rows)
    several = len({row.scene for row in rows}) > 1
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            slots = "" if row.spans is None else json.dumps([asdict(span) for span in row.spans], ensure_ascii=False)
            writer.writerow([row.text, row.intent, row.scene or "" if several else "", row.language, slots])
