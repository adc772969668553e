"""The tables of `docs/model.md`, made from the results and written between two marks."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.quality.figures import MISSING, Figures, Results, table
from benchmarks.quality.scene_tables import scenes
from benchmarks.quality.training_times import other_times
from intent_tracking.datasets.dialogues import MULTIDOGO_DOMAINS
from intent_tracking.tables import atomic_write_text

BEGIN: Final = "<!-- bench-quality begins: written by `make bench-quality`, not by hand -->"
END: Final = "<!-- bench-quality ends -->"


def render(results: Results) -> str:
    """The section as Markdown, without the marks."""
    found = Figures(results)
    times = _times(results)
    exception = ", but for the time of some trainings: [see there](#how-it-was-measured)" if times else ""
    lines = [
        "Each figure is a mean over seeds ± their standard deviation (n seeds); `n=1` where nothing depends on a seed,",
        "or where only one is measured so far. Models are what `intent-tracking evaluate` gives with its defaults on",
        f"the files of `intent-tracking datasets export`, those of scenes excepted{exception}.",
        "`make bench-quality ARGS=--list` names the units; each result in `benchmarks/quality/results` says its",
        "command, machine and commit.",
        "",
        "### Intent, English",
        *_intent(found),
        "### Intent and key information in dialogue: MultiDoGO",
        *_multidogo(found),
        "### Scenes: the six domains of MultiDoGO in one model",
        *scenes(found),
        "### Intent, Chinese: CrossWOZ user acts",
        *_crosswoz(found),
        "### Purchase from session aggregates: Online Shoppers",
        *_shoppers(found),
        "### Trees: Universal Dependencies",
        *_trees(found),
        "### Probabilities and rejection",
        *_trust(found),
        "### From start to report",
        *_seconds(found, results),
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
            found.against("clinc150", ours, "in_scope_accuracy", "97.0"),
            "96.9 / 96.2 BERT",
        ),
        (
            "CLINC150, out-of-scope recall at the same threshold",
            found.percent("clinc150", ours, "oos_recall"),
            "none",
            found.against("clinc150", ours, "oos_recall", "65"),
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
                found.against(name, ours, "accuracy", target),
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
        *table(head, rows),
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
        *table(head, rows),
        gained,
        "",
        "Official turn-level splits; a turn with two intents is a label of its own; empty turns are left out (77 of",
        "116,597). Half the turns are greetings or `contentonly`, so macro-F1 is what counts. Slots: exact spans.",
        "",
        *_label_sets(found),
    ]


def _label_sets(found: Figures) -> list[str]:
    sets = ("multidogo-airline", "label_sets")
    equal, micro, macro = (found.percent(*sets, figure) for figure in ("accuracy", "micro_f1", "macro_f1"))
    return [
        "A turn with two intents as a set of labels instead, one decision each (airline): the whole set is found for",
        f"{equal} percent of the turns; micro-F1 {micro}, macro-F1 {macro}. One turn of the test alone has two.",
        "",
    ]


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
        *table(head, rows),
        "The 1,000 published validation and test dialogues, split by dialogue into 800, 100 and 100 (seed 0): 6,808,",
        "807 and 813 user turns; 39 without an act are left out. The label is the turn's main act with its domain (15",
        "labels, `intent_tracking/datasets/dialogues.py`). Pretraining is that of `evaluate --unlabelled`: it reads",
        "both sides of the training dialogues, in a time of its own, as long as that of the training.",
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
        "Neither model is part of the product, the boosting ensemble no more than the other: both are in",
        "`benchmarks/quality/shoppers.py` alone, to know what a session's aggregates are worth.",
        "",
        *table(head, rows),
        "AUC, mean of 10 folds, shuffled by the seed. `PageValues` is worked out from purchases: it leaks the outcome.",
        "These sessions have no text, so this is a model of tables, not the outcome head; its settings were chosen on",
        "another folding of the same sessions.",
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
        *table(head, rows),
        "Seed 0 is the [shipped pipeline](linguistics.md); from each other seed one is trained. Scored as they are",
        "stored, counted as CoNLL 2018 counts.",
        "UDPipe 2 had the train part of GSDSimp; ours had 400 sentences of its dev part and other treebanks.",
        "",
    ]


def _trust(found: Figures) -> list[str]:
    head = ("test texts, in percent", "calibration error before", "after", "risk-coverage area", "answered")
    names = ("ece_before", "ece_after", "risk_coverage_area", "answered")
    rows = [
        (title, *(found.percent(data, "evaluate", figure) for figure in names))
        for data, title in (("clinc150", "CLINC150"), ("banking77", "Banking77"), ("crosswoz", "CrossWOZ"))
    ]
    return [
        *table(head, rows),
        "Calibration error: expected, 15 bins, over the in-scope texts, without and with the temperature that",
        "validation chose. Risk-coverage area: the mean share of wrong answers over all coverages, the least familiar",
        "texts withheld first (Geifman and El-Yaniv 2017); no answer to an out-of-scope text is right. Answered: the",
        "share of all texts, out-of-scope ones included (CLINC150: 1,000 of 5,500), that the artifact does not reject.",
        "",
    ]


def _seconds(found: Figures, results: Results) -> list[str]:
    rows = []
    for data in ("banking77", "clinc150", "crosswoz", *(f"multidogo-{domain}" for domain in MULTIDOGO_DOMAINS)):
        of_set = [r for r in results if (r["set"], r["variant"]) == (data, "evaluate") and "seconds" in r["figures"]]
        counts = {result["details"]["examples"]["train"] for result in of_set}
        texts = " to ".join(f"{count:,}" for count in sorted(counts)) or MISSING
        rows.append((data, texts, found.plain(data, "evaluate", "seconds", 0), "600" if data == "banking77" else ""))
    return [
        *table(("set", "texts trained on", "seconds from start to report", "target"), rows),
        "Target: 600 s for 10,000 short texts. Reading, training, calibration, export, the test and its pictures, on",
        "the machines below. `evaluate` trains for 8 minutes, 48 ms a text or 3 ms a token, whichever is most.",
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
    return table(("figure", "measured", "target"), rows)


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
        *table(("machine", "units", "minutes", "commits (`+`: with changes)"), rows),
        f"{_of_older_code(results)} of {len(results)} results are of older code than the newest that rests on the same "
        "files, or do not say of which (`make bench-quality ARGS=--older` measures again what other code made).",
        "",
        "Seconds of units that ran beside other work say nothing about speed; see `make bench-training` for that.",
        "",
    ]


def _of_older_code(results: Results) -> int:
    """Results that other code has made than the newest of those that the same files decide; all that do not say."""
    newest: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for result in sorted((entry for entry in results if "code" in entry), key=lambda entry: entry["measured"]):
        newest[tuple(result["code"]["paths"])] = result["code"]
    return sum("code" not in result or result["code"] != newest[tuple(result["code"]["paths"])] for result in results)


def _times(results: Results) -> list[str]:
    rows, untold = other_times(results)
    if not rows:
        return []
    head = ("training, in seconds", "was given", "took", "`evaluate` gives itself")
    return [
        "These trainings were given another time than `evaluate` gives itself on a CPU (`--max-seconds`, for machines",
        "that do other work too), or took more than that, which tells the same. Left to itself it ends earlier",
        "on such a machine. Int8, explanations and students stand on the models of their set.",
        "",
        *table(head, rows),
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
