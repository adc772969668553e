"""The files that `evaluate` is given: read, and refused before any training where they do not fit each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intent_tracking.evaluation.held_back import hold_back
from intent_tracking.modeling.annotations import AnnotationError, LabelledText, read_labelled_csv
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.modeling.splits import wording
from intent_tracking.sessions.render import free_text
from intent_tracking.tables import require_writable, where_not_utf8
from intent_tracking.text.cleaning import clean

# Of names that are amiss.
_SHOWN = 5


@dataclass(frozen=True)
class AboutDev:
    """What is wrong with a validation file, as far as training can do without it.

    Attributes:
        unknown_labels: labels that training lacks, and how many texts have each: those judge nothing.
        seen_in_train: texts that stand in the training file: what was learned by heart judges itself.
        seen_in_test: texts that stand in the test file, which is then no test.
    """

    unknown_labels: dict[str, int]
    seen_in_train: int
    seen_in_test: int


@dataclass(frozen=True)
class LabelledFiles:
    """Rows to train on, to choose and calibrate on, and to score on.

    Attributes:
        train: of the training file, without what is held back of it.
        dev: of the validation file; without one, what is held back.
        test: of the test file.
        seen_in_train: test texts that the model reads as it reads one of the training file.
        conflicts: texts that have several labels in the training file, as the model reads them, and those labels.
        about_dev: what is wrong with the validation file; None without one.
    """

    train: list[LabelledText]
    dev: list[LabelledText]
    test: list[LabelledText]
    seen_in_train: int
    conflicts: dict[str, list[str]]
    about_dev: AboutDev | None

    @classmethod
    def read(
        cls, train: Path, test: Path, dev: Path | None, *, seed: int, taught: LabelSet | None = None
    ) -> LabelledFiles:
        """Read the files; without `dev`, `hold_back` decides by `seed` what of `train` validates.

        Args:
            train, test, dev: CSV files with the columns `text,intent` and optionally `scene,language,slots`.
            taught: what a teacher knows, which the files need not show.

        Raises:
            AnnotationError: a file is not as described, `train` has nothing to tell apart, or no label of `test` or of
                `dev` is trained on; file, line and column are named.
        """
        train_rows, test_rows = read_labelled_csv(train), read_labelled_csv(test)
        if not LabelSet.of((row.intent for row in train_rows), ()).intent_classes and not any(
            row.slots for row in train_rows
        ):
            raise AnnotationError(
                f"{train}, column intent: each row is {train_rows[0].intent!r}; give texts of two labels at least"
            )
        known = {*_names(train_rows), *(() if taught is None else taught.class_names())}
        _require_known(test, test_rows, {OUT_OF_SCOPE_LABEL, *known})
        seen = _labels_by_wording(train_rows)
        conflicts = {text: sorted(labels) for text, labels in seen.items() if len(labels) > 1}
        seen_in_train = _count_in(test_rows, seen)
        if dev is None:
            return cls(*hold_back(train_rows, seed), test_rows, seen_in_train, conflicts, None)
        dev_rows = read_labelled_csv(dev)
        # Texts of no intent tell no pass from another.
        _require_known(dev, dev_rows, known - {OUT_OF_SCOPE_LABEL})
        about_dev = AboutDev(
            unknown_labels([row.intent for row in dev_rows], sorted(known)),
            _count_in(dev_rows, seen),
            _count_in(dev_rows, _labels_by_wording(test_rows)),
        )
        return cls(train_rows, dev_rows, test_rows, seen_in_train, conflicts, about_dev)

    @property
    def truth(self) -> list[str]:
        """The intent of each test text."""
        return [row.intent for row in self.test]

    @property
    def names_out_of_scope(self) -> bool:
        """Whether training or validation texts are labelled `oos`."""
        return any(row.intent == OUT_OF_SCOPE_LABEL for row in (*self.train, *self.dev))

    @property
    def usual_scene(self) -> str:
        """The scene that most of the training texts stand in."""
        [(scene, _)] = Counter(row.scene for row in self.train).most_common(1)
        return scene

    @property
    def unknown_slots(self) -> dict[str, int]:
        """Names of slots of the test that no training text has, and how many texts have each."""
        known = {slot.name for row in self.train for slot in row.slots or ()}
        found = Counter(name for row in self.test for name in {slot.name for slot in row.slots or ()})
        return {name: count for name, count in sorted(found.items()) if name not in known}

    def unknown_scenes(self, known: Collection[str]) -> dict[str, int]:
        """Scenes of the test that the model did not learn, and how many texts stand in each."""
        return dict(sorted(Counter(row.scene for row in self.test if row.scene not in known).items()))


def remarks(
    files: LabelledFiles, train: Path, test: Path, dev: Path | None, labels: LabelSet, scenes: Collection[str]
) -> Iterator[str]:
    """What is amiss with the files, though not so much that there could be no training.

    Args:
        files: what `LabelledFiles.read` gave.
        train, test, dev: where they lie.
        labels: that the model will know.
        scenes: that it will know, too.
    """
    if files.conflicts:
        text, intents = next(iter(files.conflicts.items()))
        have = counted(len(files.conflicts), "text has", "texts have")
        yield f"{train}: {have} several labels, {text!r} for one: {', '.join(intents)}"
    foreign = unknown_labels(files.truth, labels.class_names(), multi_label=labels.multi_label)
    for unknown, what in (
        (foreign, "labels, which cannot be found"),
        (files.unknown_slots, "names of slots, which cannot be found"),
        (files.unknown_scenes(scenes), "scenes, which it will not tell from others"),
    ):
        if unknown:
            yield f"{test}: training lacks {what}: {_listed(unknown)}"
    if files.seen_in_train:
        stand = counted(files.seen_in_train, "text stands", "texts stand")
        yield f"{test}: {stand} in {train} word for word; the figures count them"
    if files.about_dev is None:
        return
    if files.about_dev.unknown_labels:
        yield f"{dev}: training lacks labels, which judge nothing: {_listed(files.about_dev.unknown_labels)}"
    for seen, where, why in (
        (files.about_dev.seen_in_train, train, "what was learned by heart judges itself"),
        (files.about_dev.seen_in_test, test, "what is chosen on them is tested on them"),
    ):
        if seen:
            yield f"{dev}: {counted(seen, 'text stands', 'texts stand')} in {where}: {why}"


def counted(number: int, one: str, many: str) -> str:
    """`1 text has`, `2,000 texts have`."""
    return f"{number:,} {one if number == 1 else many}"


def _listed(names: Mapping[str, int]) -> str:
    """The names that most texts have, and how many; the others as a number."""
    often = sorted(names, key=lambda name: -names[name])
    shown = [f"{name!r} ({counted(names[name], 'text', 'texts')})" for name in often[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(often) - _SHOWN:,} others" if len(often) > _SHOWN else "")


def _require_known(path: Path, rows: Sequence[LabelledText], known: Collection[str]) -> None:
    if _names(rows).isdisjoint(known):
        raise AnnotationError(
            f"{path}, column intent: training knows none of its labels, {rows[0].intent!r} for one; "
            "give texts of the labels that are trained on"
        )


def _labels_by_wording(rows: Iterable[LabelledText]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(wording(free_text(row.text)), set()).add(row.intent)
    return found


def _count_in(rows: Iterable[LabelledText], wordings: Collection[str]) -> int:
    return sum(wording(free_text(row.text)) in wordings for row in rows)


def _names(rows: Iterable[LabelledText]) -> set[str]:
    """Each label of the rows, and of a set each of its names."""
    return {name for row in rows for name in (row.intent, *names_in(row.intent))}


def unknown_labels(truth: Sequence[str], known: Sequence[str], *, multi_label: bool = False) -> dict[str, int]:
    """Labels of the test that the model does not have, and how many texts have each: none of those can be right.

    For a model that gives one label `a|b` is one more name, which it does not have.
    """
    names = Counter(name for intent in truth for name in (names_in(intent) if multi_label else (intent,)))
    return {name: count for name, count in sorted(names.items()) if name not in {*known, OUT_OF_SCOPE_LABEL}}


def read_texts(path: Path) -> list[str]:
    """Texts without labels, one a line; blank lines are none.

    Raises:
        ValueError: the file is not UTF-8, or holds no text.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            texts = [line.rstrip("\n") for line in lines if clean(line)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} {where_not_utf8(path)}") from error
    if not texts:
        raise ValueError(f"{path}: holds no text; give texts, one a line, or leave it out")
    return texts


def require_places(
    report: Path, pictures: Path, model_dir: Path | None, teacher: Path | None, read: Sequence[Path]
) -> None:
    """Refuse places where nothing can be written, where something is read, or in the model's folder.

    Raises:
        OSError: nothing can be written there.
        ValueError: what is written would take the place of what is read, or stand in the model's folder.
    """
    if report.is_dir():
        raise OSError(f"{report}: is a folder; name a file in a folder that is yours")
    if pictures.exists() and not pictures.is_dir():
        raise OSError(f"{pictures}: is a file where the folder of the pictures should be; give the report another name")
    for file in read:
        if file.exists() and report.exists() and file.samefile(report):
            raise ValueError(f"{report}: is read, and the report would take its place; name another file")
    for written in (report, pictures):
        if model_dir is not None and written.resolve().is_relative_to(model_dir.resolve()):
            raise ValueError(f"{written}: the folder {model_dir} is for the model alone; name a file in another one")
    if model_dir is not None and teacher is not None and model_dir.resolve() == teacher.resolve():
        raise ValueError(f"{model_dir}: is the teacher, and its student would take its place; name another folder")
    for target in (model_dir, report, pictures / "report.json" if pictures.is_dir() else None):
        if target is not None:
            require_writable(target)
