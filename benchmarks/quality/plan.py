"""Every unit of the benchmark, the most telling first; `make bench-quality ARGS=--list` prints it with its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.quality.adaptation import adapted_crosswoz
from benchmarks.quality.kept_models import evaluate_and_keep, explanations, int8_loss
from benchmarks.quality.label_sets import evaluate_label_sets
from benchmarks.quality.scenes import added_scene, apart, together
from benchmarks.quality.shoppers import boosting_baseline, boosting_ensemble
from benchmarks.quality.students import student
from benchmarks.quality.texts import evaluate_task, linear_svm
from benchmarks.quality.trees import pipeline_scores
from benchmarks.quality.unit import MODEL_CODE, Measured, Unit, Workplace
from intent_tracking.datasets.dialogues import MULTIDOGO_DOMAINS

SEEDS: Final = (0, 1, 2)
Run = Callable[[Workplace, int], Measured]
_EVALUATE: Final = (*MODEL_CODE, "benchmarks/quality/texts.py")
_SVM: Final = ("intent_tracking/datasets", "benchmarks/quality/texts.py")
_SHOPPERS: Final = ("intent_tracking/datasets/shoppers.py",)
# The card of a shipped pipeline names its networks by their checksums.
_TREES: Final = ("intent_tracking/text", *(f"intent_tracking/text/pipelines/{name}/card.json" for name in ("en", "zh")))


@dataclass(frozen=True)
class _Entry:
    """One (set, variant). `seconds`: on 2 CPU cores. `once`: nothing in it depends on the seed.

    `code` decides its figures, beside the module of `run`.
    """

    set: str
    variant: str
    seconds: float
    run: Run
    once: bool = False
    code: tuple[str, ...] = _EVALUATE

    def unit(self, seed: int) -> Unit:
        """This entry with a seed."""
        function = self.run.func if isinstance(self.run, partial) else self.run
        module = f"{function.__module__.replace('.', '/')}.py"
        code = tuple(sorted({*self.code, module}))
        return Unit(self.set, self.variant, seed, self.seconds, self.run, code)


def _shoppers(page_values: bool) -> tuple[_Entry, _Entry]:
    name = "online_shoppers" if page_values else "online_shoppers-no_page_values"
    return (
        _Entry(name, "boosting_ensemble", 150, partial(boosting_ensemble, page_values=page_values), code=_SHOPPERS),
        _Entry(name, "boosting", 30, partial(boosting_baseline, page_values=page_values), code=_SHOPPERS),
    )


# Mean of six scenes; 600 texts of each.
_SCENES: Final = (
    _Entry("multidogo-scenes", "together", 130, together),
    _Entry("multidogo-scenes", "no_consistency", 100, partial(together, consistency_weight=0.0)),
    _Entry("multidogo-scenes", "no_adapters", 100, partial(together, consistency_weight=0.0, adapter_width=0)),
    _Entry("multidogo-scenes", "apart", 120, apart),
    _Entry("multidogo-scenes", "added", 800, added_scene),
)

_ENTRIES: Final = (
    # Cheap lines to beat first: a wrong reader or split shows at once.
    _Entry("clinc150", "svm", 60, partial(linear_svm, name="clinc150"), code=_SVM, once=True),
    _Entry("banking77", "svm", 40, partial(linear_svm, name="banking77"), code=_SVM, once=True),
    _Entry("banking77-10shot", "svm", 5, partial(linear_svm, name="banking77", shots=10), code=_SVM),
    _Entry("banking77-5shot", "svm", 5, partial(linear_svm, name="banking77", shots=5), code=_SVM),
    _Entry("crosswoz", "svm", 5, partial(linear_svm, name="crosswoz"), code=_SVM, once=True),
    *(
        _Entry(f"multidogo-{domain}", "svm", 20, partial(linear_svm, name=f"multidogo-{domain}"), code=_SVM, once=True)
        for domain in MULTIDOGO_DOMAINS
    ),
    *_shoppers(page_values=True),
    *_shoppers(page_values=False),
    _Entry("banking77-10shot", "evaluate", 180, partial(evaluate_task, name="banking77", shots=10)),
    _Entry("banking77-5shot", "evaluate", 150, partial(evaluate_task, name="banking77", shots=5)),
    _Entry("banking77", "evaluate", 480, partial(evaluate_and_keep, name="banking77")),
    _Entry("clinc150", "evaluate", 480, partial(evaluate_and_keep, name="clinc150")),
    _Entry("clinc150", "explanations", 60, partial(explanations, name="clinc150")),
    _Entry("clinc150", "int8", 60, partial(int8_loss, name="clinc150")),
    _Entry("banking77", "int8", 60, partial(int8_loss, name="banking77")),
    _Entry("banking77", "student", 300, partial(student, name="banking77")),
    _Entry("ud-english-ewt", "pipeline", 900, partial(pipeline_scores, language="en"), code=_TREES),
    _Entry("ud-chinese-gsdsimp", "pipeline", 400, partial(pipeline_scores, language="zh"), code=_TREES),
    _Entry("crosswoz", "evaluate", 480, partial(evaluate_task, name="crosswoz")),
    _Entry("crosswoz", "adapted", 540, adapted_crosswoz),
    *(
        _Entry(f"multidogo-{domain}", "evaluate", 540, partial(evaluate_task, name=f"multidogo-{domain}"))
        for domain in MULTIDOGO_DOMAINS
    ),
    *_SCENES,
    _Entry("multidogo-airline", "label_sets", 540, partial(evaluate_label_sets, name="multidogo-airline")),
)


def units(seeds: Sequence[int] = SEEDS) -> list[Unit]:
    """All units: everything once with the first seed, then with the next, so that each table fills evenly."""
    return [entry.unit(seed) for place, seed in enumerate(seeds) for entry in _ENTRIES if place == 0 or not entry.once]
