"""The tables of scenes: all in one model or one model each, and one that is added later."""

from __future__ import annotations

from typing import Final

from benchmarks.quality.figures import MISSING, Figures, table

_SET: Final = "multidogo-scenes"
_SHARE_OF_ALL: Final = 0.95
_ROWS: Final = {
    "together": "all scenes, adapters and consistency",
    "no_consistency": "all scenes, adapters",
    "no_adapters": "all scenes, neither",
    "apart": "one model a scene",
}


def scenes(found: Figures) -> list[str]:
    """One model of all scenes beside one model each, what that says of the target, and the scene added later."""
    head = ("training", "macro-F1 over its intents", "macro-F1", "same answer in another scene", "cosine")
    rows = [
        (
            title,
            found.percent(_SET, variant, "macro_f1_own"),
            found.percent(_SET, variant, "macro_f1"),
            *(
                found.percent(_SET, variant, figure) if variant != "apart" else "none"
                for figure in ("same_answer_elsewhere", "cosine_elsewhere")
            ),
        )
        for variant, title in _ROWS.items()
    ]
    return [
        *table(head, rows),
        f"Target: what is trained on all scenes, with adapters and consistency as by default, beats {_ROWS['apart']}.",
        _verdict(found, "macro_f1_own", "Over the scene's intents"),
        _verdict(found, "macro_f1", "By macro-F1 as everywhere else on this page"),
        "",
        "The two differ in what one text of 1,500 costs that gets an intent of another scene: a class of F1 0 in",
        "macro-F1, an error like any other over the intents of the scene's test texts. A model of one scene has no",
        "such intent to give. Both are means over the scenes; cosine is that of the pooled texts, in percent. A few",
        "hundred texts of each scene and one recipe for every row (12 passes at 2e-4, no smoothing, no lexical head),",
        "so the figures are not those of the table above. Consistency teaches that words mean the same in scenes",
        "where nobody labelled them so, which is wanted of a shop's scenes; domains that share few intents, as these,",
        "pay for it in the first kind of macro-F1.",
        "",
        *_added_scene(found),
    ]


def _verdict(found: Figures, figure: str, counted: str) -> str:
    """Whether one model of all scenes beats one model each by `figure`, and which row is best."""
    means = {variant: mean for variant in _ROWS if (mean := found.mean(_SET, variant, figure)) is not None}
    if not {"together", "apart"} <= means.keys():
        return f"{counted}: {MISSING}."
    ours, each = means["together"], means["apart"]
    best = max(means, key=lambda variant: means[variant])
    one, other = (found.by_seed(_SET, variant, figure) for variant in ("together", "apart"))
    apart = [f"{100 * (one[seed] - other[seed]):+.1f}" for seed in sorted(one.keys() & other.keys())]
    by_seed = f" ({', '.join(apart)} by the seeds)" if len(apart) > 1 else ""
    return (
        f"{counted} it {'does' if ours > each else 'does not'}: {100 * ours:.1f} against {100 * each:.1f}{by_seed}; "
        f'the best row is "{_ROWS[best]}", {100 * means[best]:.1f}.'
    )


def _added_scene(found: Figures) -> list[str]:
    added = (_SET, "added")
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
        ("5%, as they come", *_percent_or_all(found, "few"), _aim(found, "few")),
        ("5%, five of each intent first", *_percent_or_all(found, "of_each"), _aim(found, "of_each")),
    ]
    intents = found.plain(*added, "few_intents_unseen", 0)
    texts, before, after = (
        found.percent(*added, figure) for figure in ("few_texts_unseen", "known_before", "few_known_after")
    )
    return [
        *table(head, rows),
        f"Of 5% as they come {intents} intents, with {texts} percent of the test texts, have no text: each counts in",
        f"macro-F1 as much as any other. The five scenes that were there: {before} before, {after} after.",
        "",
    ]


def _aim(found: Figures, labels: str) -> str:
    """The target, and which of the two shares misses it."""
    figures = {"accuracy": "accuracy", "macro-F1": "macro_f1_own"}
    means = {name: found.mean(_SET, "added", f"{labels}_{figure}_share") for name, figure in figures.items()}
    missed = [name for name, mean in means.items() if mean is not None and mean < _SHARE_OF_ALL]
    return f"{_SHARE_OF_ALL:.0%}" + (f", **missed** by {' and '.join(missed)}" if missed else "")


def _percent_or_all(found: Figures, labels: str) -> tuple[str, str, str, str]:
    """Accuracy and macro-F1 of the added scene with these `labels`, each followed by its share of that with all."""
    accuracy, own = (found.percent(_SET, "added", f"{labels}_{figure}") for figure in ("accuracy", "macro_f1_own"))
    if labels == "whole":
        return accuracy, "100", own, "100"
    of_accuracy, of_own = (
        found.percent(_SET, "added", f"{labels}_{figure}_share") for figure in ("accuracy", "macro_f1_own")
    )
    return accuracy, of_accuracy, own, of_own
