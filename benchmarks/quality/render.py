"""The tables of `docs/model.md`, made from the results and written between two marks."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.quality.training_times import other_times
from intent_tracking.datasets.dialogues import MULTIDOGO_DOMAINS
from intent_tracking.tables import atomic_write_text

BEGIN: Final = "<!-- bench-quality begins: written by `make bench-quality`, not by hand -->"
END: Final = "<!-- bench-quality ends -->"
MISSING: Final = "not measured yet"

Results = Sequence[Mapping[str, Any]]


class Figures:
    """Values of each figure over the seeds."""

    def __init__(self, results: Results) -> None:
        self._values: dict[tuple[str, str, str], list[float]] = {}
        for result in results:
            for name, value in result["figures"].items():
                self._values.setdefault((result["set"], result["variant"], name), []).append(float(value))

    def of(self, data: str, variant: str, figure: str) -> list[float]:
        """One value a seed; empty where nothing is measured."""
        return self._values.get((data, variant, figure), [])

    def mean(self, data: str, variant: str, figure: str) -> float | None:
        """Mean over the seeds."""
        values = self.of(data, variant, figure)
        return statistics.fmean(values) if values else None

    def percent(self, data: str, variant: str, figure: str) -> str:
        """Mean in percent, and the standard deviation over the seeds with their number."""
        return _with_spread([100 * value for value in self.of(data, variant, figure)], 1)

    def plain(self, data: str, variant: str, figure: str, digits: int) -> str:
        """As `percent`, in the figure's own unit."""
        return _with_spread(self.of(data, variant, figure), digits)


def _with_spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return MISSING
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean} (n=1)"
    return f"{mean} ± {statistics.stdev(values):.{digits}f} (n={len(values)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def render(results: Results) -> str:
    """The section as Markdown, without the marks."""
    found = Figures(results)
    times = _times(results)
    exception = ", but for the time of some trainings: [see there](#how-it-was-measured)" if times else ""
    lines = [
        "Each figure is a mean over seeds ± their standard deviation (n seeds); `n=1` where nothing depends on a seed,",
        "or where only one is measured so far. Models are what `intent-tracking evaluate` gives with its defaults on",
        f"the files of `intent-tracking datasets export`{exception}.",
        "`make bench-quality ARGS=--list` names the units; each result in `benchmarks/quality/results` says its",
        "command, machine and commit.",
        "",
        "### Intent, English",
        *_intent(found),
        "### Intent and key information in dialogue: MultiDoGO",
        *_multidogo(found),
        "### Scenes: the six domains of MultiDoGO in one model",
        *_scenes(found),
        "### Intent, Chinese: CrossWOZ user acts",
        *_crosswoz(found),
        "### Purchase from session aggregates: Online Shoppers",
        *_shoppers(found),
        "### Trees: Universal Dependencies",
        *_trees(found),
        "### Explanations, int8 and a smaller student",
        *_kept(found),
        "### How it was measured",
        *_origin(results),
        *times,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _intent(found: Figures) -> list[str]:
    ours, svm = "evaluate", "svm"
    rows = [
        (
            "CLINC150, in-scope accuracy, a rejection is wrong",
            found.percent("clinc150", ours, "in_scope_accuracy"),
            "no rejection",
            "97.0",
            "96.9 / 96.2 BERT",
        ),
        (
            "CLINC150, out-of-scope recall at the same threshold",
            found.percent("clinc150", ours, "oos_recall"),
            "none",
            "65",
            "40.3 / 52.3 BERT",
        ),
        (
            "CLINC150, in-scope accuracy without rejection",
            found.percent("clinc150", ours, "in_scope_accuracy_plain"),
            found.percent("clinc150", svm, "accuracy"),
            "",
            "",
        ),
        (
            "CLINC150, in-scope accuracy without the 2 test texts that stand in train",
            found.percent("clinc150", ours, "in_scope_accuracy_unseen"),
            "no rejection",
            "",
            "",
        ),
    ]
    for name, title, target, published in (
        ("banking77", "Banking77, accuracy", "94.8", "93.5 RoBERTa"),
        ("banking77-10shot", "Banking77, 10 texts a label", "88", "87.2 CPFT"),
        ("banking77-5shot", "Banking77, 5 texts a label", "82", "80.9 CPFT"),
    ):
        rows.append(
            (
                title,
                found.percent(name, ours, "accuracy"),
                found.percent(name, svm, "accuracy"),
                target,
                published,
            )
        )
    rows.append(
        (
            "Banking77, accuracy without the 6 test texts that stand in train",
            found.percent("banking77", ours, "accuracy_unseen"),
            found.percent("banking77", svm, "accuracy_unseen"),
            "",
            "",
        )
    )
    head = ("figure, in percent", "this model", "TF-IDF + linear SVM", "target", "published")
    return [
        *_table(head, rows),
        "CLINC150: 15,000 queries and 100 out-of-scope ones train, the threshold is chosen on validation; BERT of",
        "Larson et al. 2019, trained on out-of-scope queries / with a threshold. Banking77 has no validation split:",
        "500 texts of train are held back where labels have enough of them. Few-shot subsets are drawn by the seed.",
        "",
    ]


def _multidogo(found: Figures) -> list[str]:
    rows, gains = [], []
    for domain in MULTIDOGO_DOMAINS:
        name = f"multidogo-{domain}"
        cells = [
            found.percent(name, variant, figure)
            for figure in ("accuracy", "macro_f1")
            for variant in ("evaluate", "svm")
        ]
        rows.append((domain, *cells, found.percent(name, "evaluate", "slot_f1")))
        ours, line = found.mean(name, "evaluate", "macro_f1"), found.mean(name, "svm", "macro_f1")
        if ours is not None and line is not None:
            gains.append(100 * (ours - line))
    head = ("domain", "accuracy", "SVM", "macro-F1", "SVM", "slot F1")
    gained = (
        f"Macro-F1 above the SVM, mean over {len(gains)} of 6 domains: {statistics.fmean(gains):+.1f} points "
        f"(target +3, above on each); least {min(gains):+.1f}."
        if gains
        else f"Macro-F1 above the SVM: {MISSING} (target +3 points on average, above on each)."
    )
    return [
        *_table(head, rows),
        gained,
        "",
        "Official turn-level splits; a turn with two intents is a label of its own; empty turns are left out (77 of",
        "116,597). Half the turns are greetings or `contentonly`, so macro-F1 is what counts. Slots: exact spans.",
        "",
        *_label_sets(found),
    ]


def _label_sets(found: Figures) -> list[str]:
    sets = ("multidogo-airline", "label_sets")
    equal, two, micro, macro = (
        found.percent(*sets, figure) for figure in ("accuracy", "accuracy_of_two", "micro_f1", "macro_f1")
    )
    return [
        "A turn with two intents as a set of labels instead, one decision each (airline): the whole set is found for",
        f"{equal} percent of the turns, for {two} of those with two; micro-F1 {micro}, macro-F1 {macro}.",
        "",
    ]


def _scenes(found: Figures) -> list[str]:
    name = "multidogo-scenes"
    head = ("training", "macro-F1 over its intents", "macro-F1", "same answer in another scene", "cosine")
    rows = [
        (
            title,
            found.percent(name, variant, "macro_f1_own"),
            found.percent(name, variant, "macro_f1"),
            *(
                found.percent(name, variant, figure) if variant != "apart" else "none"
                for figure in ("same_answer_elsewhere", "cosine_elsewhere")
            ),
        )
        for title, variant in (
            ("all scenes, adapters and consistency", "together"),
            ("all scenes, adapters", "no_consistency"),
            ("all scenes, neither", "no_adapters"),
            ("one model a scene", "apart"),
        )
    ]
    return [
        *_table(head, rows),
        "A few hundred texts of each scene and the same number of passes for every row, so the figures are not those",
        "of the table above. Macro-F1 is the mean over the scenes; cosine is that of the pooled texts, in percent. One",
        "text of 1,500 that gets an intent of another scene adds a class of F1 0 to macro-F1; a model of one scene has",
        "no such intent to give, so the first column, over the intents of the scene's test texts, compares the rows.",
        "",
        *_added_scene(found),
    ]


def _added_scene(found: Figures) -> list[str]:
    added = ("multidogo-scenes", "added")
    head = (
        "labels of a scene that is added later",
        "accuracy",
        "of all",
        "macro-F1 over its intents",
        "of all",
        "target",
    )
    rows = [
        ("all", *_percent_or_all(found, "whole"), ""),
        ("5%, as they come", *_percent_or_all(found, "few"), "95"),
        ("5%, five of each intent first", *_percent_or_all(found, "of_each"), "95"),
    ]
    intents = found.plain(*added, "few_intents_unseen", 0)
    texts, before, after = (
        found.percent(*added, figure) for figure in ("few_texts_unseen", "known_before", "few_known_after")
    )
    return [
        *_table(head, rows),
        f"Of 5% as they come {intents} intents, with {texts} percent of the test texts, have no text: each counts in",
        f"macro-F1 as much as any other. The five scenes that were there: {before} before, {after} after.",
        "",
    ]


def _percent_or_all(found: Figures, labels: str) -> tuple[str, str, str, str]:
    """Accuracy and macro-F1 of the added scene with these `labels`, each followed by its share of that with all."""
    accuracy, own = (
        found.percent("multidogo-scenes", "added", f"{labels}_{figure}") for figure in ("accuracy", "macro_f1_own")
    )
    if labels == "whole":
        return accuracy, "100", own, "100"
    of_accuracy, of_own = (
        found.percent("multidogo-scenes", "added", f"{labels}_{figure}_share")
        for figure in ("accuracy", "macro_f1_own")
    )
    return accuracy, of_accuracy, own, of_own


def _crosswoz(found: Figures) -> list[str]:
    head = ("model", "accuracy", "macro-F1", "slot F1")
    rows = [
        (
            title,
            found.percent("crosswoz", variant, "accuracy"),
            found.percent("crosswoz", variant, "macro_f1"),
            found.percent("crosswoz", variant, "slot_f1") if variant != "svm" else "none",
        )
        for title, variant in (
            ("TF-IDF of 1- to 3-grams of characters + linear SVM", "svm"),
            ("this model", "evaluate"),
            ("this model after domain-adaptive pretraining", "adapted"),
        )
    ]
    return [
        *_table(head, rows),
        "The 1,000 published validation and test dialogues, split by dialogue into 800, 100 and 100 (seed 0): 6,808,",
        "807 and 813 user turns; 39 without an act are left out. The label is the turn's main act with its domain (15",
        "labels, `intent_tracking/datasets/dialogues.py`). Pretraining reads both sides of the training dialogues.",
        "",
    ]


def _shoppers(found: Figures) -> list[str]:
    head = ("columns", "boosting ensemble", "gradient boosting, defaults", "target", "published")
    rows = [
        (
            title,
            found.plain(name, "boosting_ensemble", "auc", 4),
            found.plain(name, "boosting", "auc", 4),
            target,
            published,
        )
        for title, name, target, published in (
            ("with `PageValues`", "online_shoppers", "0.937", "0.937 XGBoost"),
            ("without", "online_shoppers-no_page_values", "0.79", ""),
        )
    ]
    return [
        *_table(head, rows),
        "AUC, mean of 10 folds, shuffled by the seed. `PageValues` is worked out from purchases: it leaks the outcome.",
        "These sessions have no text, so this is a model of tables (`benchmarks/quality/shoppers.py`), not the outcome",
        "head; its settings were chosen on another folding of the same sessions.",
        "",
    ]


def _trees(found: Figures) -> list[str]:
    head = ("test part, gold words", "UPOS", "UAS", "LAS", "words from text, F1", "target", "published")
    rows = [
        (
            title,
            *(found.percent(name, "pipeline", figure) for figure in ("upos", "uas", "las", "word_f1_from_text")),
            target,
            published,
        )
        for title, name, target, published in (
            (
                "English EWT",
                "ud-english-ewt",
                "96 / 88 / 85",
                "97.5 / 93.0 / 91.0 UDPipe 2; 96.9 / 91.9 / 89.4 spaCy transformer",
            ),
            ("Chinese GSDSimp", "ud-chinese-gsdsimp", "compared", "96.1 / 87.1 / 84.0 UDPipe 2"),
        )
    ]
    return [
        *_table(head, rows),
        "The scores of the shipped pipelines are in [linguistics](linguistics.md). Here: those of `make linguistics`",
        "from several seeds, scored as they are stored, counted as CoNLL 2018 counts.",
        "UDPipe 2 had the train part of GSDSimp; ours had 400 sentences of its dev part and other treebanks.",
        "",
    ]


def _kept(found: Figures) -> list[str]:
    ratio = found.plain("clinc150", "explanations", "area_ratio", 2)
    rows = [("deletion test: drop over that of random removal, CLINC150", ratio, "2")]
    for name, title in (("clinc150", "CLINC150"), ("banking77", "Banking77")):
        rows.append((f"int8: points of accuracy lost, {title}", found.percent(name, "int8", "loss"), "0.5"))
        rows.append((f"int8: same answers, percent, {title}", found.percent(name, "int8", "same_answers"), ""))
    student = ("banking77", "student")
    rows += [
        (title, cell, "")
        for title, cell in (
            ("student of half the layers: accuracy, Banking77", found.percent(*student, "accuracy")),
            ("the same: accuracy of its teacher", found.percent(*student, "teacher_accuracy")),
            ("the same: texts a second over its teacher's", found.plain(*student, "speed_up", 2)),
        )
    ]
    return _table(("figure", "measured", "target"), rows)


def _origin(results: Results) -> list[str]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault(result["machine"], []).append(result)
    rows = [
        (
            machine,
            str(len(group)),
            f"{sum(entry['seconds'] for entry in group) / 60:,.0f}",
            ", ".join(f"`{version}`" for version in sorted({entry["code_version"] for entry in group})),
        )
        for machine, group in sorted(groups.items())
    ]
    return [
        *_table(("machine", "units", "minutes", "commits (`+`: with changes)"), rows),
        "Seconds of units that ran beside other work say nothing about speed; see `make bench-training` for that.",
        "",
    ]


def _times(results: Results) -> list[str]:
    rows, untold = other_times(results)
    if not rows:
        return []
    head = ("training, in seconds", "was given", "took", "`evaluate` gives itself")
    return [
        "These trainings were given another time than `evaluate` gives itself on a CPU (`--max-seconds`, for machines",
        "that do other work too), or took more than that, which tells the same. Left to itself it plans fewer passes",
        "on such a machine, or ends them earlier. Int8, explanations and students stand on the models of their set.",
        "",
        *_table(head, rows),
        *([f"{untold} more took no longer than that; what they were given is not recorded.", ""] if untold else []),
    ]


def write_section(page: Path, results: Results) -> bool:
    """Put the section into `page` between its marks; whether that changed anything.

    Raises:
        ValueError: the page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{page}: needs the lines {BEGIN!r} and {END!r}, once each and in this order")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    new = f"{head}{BEGIN}\n{render(results)}{END}{tail}"
    if new == text:
        return False
    atomic_write_text(page, new)
    return True
