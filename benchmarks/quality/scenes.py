"""What scenes are worth: the six domains of MultiDoGO as six scenes, intents shared where their names agree."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.datasets.dialogues import MULTIDOGO_DOMAINS, read_multidogo
from intent_tracking.datasets.rows import Utterance

if TYPE_CHECKING:
    from intent_tracking.inference import IntentPredictor

# The scene that is added later: the last by name, fixed before any figure was seen.
NEW_SCENE = MULTIDOGO_DOMAINS[-1]
_OF_EACH = 5
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sizes:
    """Texts drawn by the seed from each scene, and passes over them; `new` is the whole of the scene added later.

    Of the few labels of that scene a fifth is for validation, as is of the many of the others.
    """

    train: int = 600
    dev: int = 150
    test: int = 1500
    new: int = 4000
    epochs: int = 12


@dataclass(frozen=True)
class _Drawn:
    train: dict[str, list[Utterance]]
    dev: dict[str, list[Utterance]]
    test: dict[str, list[Utterance]]


def _draw(workplace: Workplace, sizes: Sizes, seed: int, new: int | None = None, of_each: int = 0) -> _Drawn:
    """Rows of each scene; of the scene that is added later `new` labelled ones, validation included, where given.

    Those for training begin with `of_each` of each intent that has so many among the whole of that scene.
    """
    found = read_multidogo(workplace.data.require("multidogo"))

    def of(rows: Sequence[Utterance], wanted: int) -> dict[str, list[Utterance]]:
        drawn: dict[str, list[Utterance]] = {}
        for scene in MULTIDOGO_DOMAINS:
            own = [row for row in rows if row.scene == scene]
            Random(seed).shuffle(own)
            drawn[scene] = own[:wanted]
        return drawn

    drawn = _Drawn(of(found.train, sizes.train), of(found.dev, sizes.dev), of(found.test, sizes.test))
    if new is not None:
        # What tells when to stop is labelled too: it is part of the labels that the new scene has.
        validating = min(sizes.dev, new // 5)
        drawn.dev[NEW_SCENE] = drawn.dev[NEW_SCENE][:validating]
        whole = of(found.train, max(new, sizes.new) - validating)[NEW_SCENE]
        drawn.train[NEW_SCENE] = _first_of_each(whole, of_each)[: new - validating]
    return drawn


def _first_of_each(rows: Sequence[Utterance], count: int) -> list[Utterance]:
    """The rows, the first `count` of each intent before the others."""
    met: Counter[str] = Counter()
    first: list[Utterance] = []
    others: list[Utterance] = []
    for row in rows:
        (first if met[row.intent] < count else others).append(row)
        met[row.intent] += 1
    return [*first, *others]


def _examples(drawn: _Drawn, scenes: Sequence[str]) -> Any:
    import pyarrow as pa

    from intent_tracking.modeling.annotations import LabelledText
    from intent_tracking.modeling.examples import examples_from_labelled

    def labelled(rows: dict[str, list[Utterance]]) -> list[LabelledText]:
        return [
            LabelledText(text=row.text, intent=row.intent, scene=scene, language="en")
            for scene in scenes
            for row in rows[scene]
        ]

    return pa.concat_tables(
        [
            examples_from_labelled(labelled(drawn.train), "train", _NO_TIME),
            examples_from_labelled(labelled(drawn.dev), "validation", _NO_TIME),
        ]
    )


def _train(
    workplace: Workplace,
    folder: Path,
    drawn: _Drawn,
    scenes: Sequence[str],
    seed: int,
    sizes: Sizes,
    *,
    champion: Path | None = None,
    **choices: Any,
) -> IntentPredictor:
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.modeling.export import train_artifact
    from intent_tracking.modeling.hardware import choose_device, has_fast_bf16
    from intent_tracking.modeling.recipe import Recipe
    from intent_tracking.modeling.training_result import Progress

    def progress(at: Progress) -> None:
        workplace.say(f"{folder.name}: step {at.step}/{at.steps}")

    fast = has_fast_bf16(choose_device(workplace.device))
    # Without a lexical head, which needs more validation texts than one scene has: all variants are of one kind.
    recipe = Recipe(epochs=sizes.epochs, batch_size=16, learning_rate=2e-4, bf16=fast, lexical_head=False)
    recipe = recipe.model_copy(update=choices)
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as work:
        train_artifact(
            _examples(drawn, scenes),
            folder,
            version=folder.name,
            work_dir=Path(work),
            base_encoder=workplace.base_encoder,
            champion=champion,
            recipe=recipe,
            seed=seed,
            device=workplace.device,
            progress=progress,
        )
    return IntentPredictor.load(folder, workplace.device)


def _best(predictor: IntentPredictor, rows: Sequence[Utterance], scene: str) -> tuple[list[str], Any]:
    """The most probable intent of each row shown in `scene`, and its pooled vectors [N, H]."""
    from intent_tracking.sessions.render import render_utterance

    answers = predictor.predict([render_utterance(row.text, scene) for row in rows], top_k=1)
    return [answer.intents[0].name for answer in answers], np.stack([answer.embedding for answer in answers])


class _Scores(NamedTuple):
    """Macro-F1 as everywhere, as the mean over the intents that the texts have alone, and accuracy.

    By the first, one text that gets an intent of another scene adds a class that counts 0. A model of one scene has no
    such intent to give, so models are compared by the second, where the text is an error like any other.
    """

    macro_f1: float
    macro_f1_own: float
    accuracy: float


def _scores(predictor: IntentPredictor, rows: Sequence[Utterance], scene: str) -> _Scores:
    from intent_tracking.modeling.scores import macro_f1

    truth = [row.intent for row in rows]
    guessed, _ = _best(predictor, rows, scene)
    places = {name: place for place, name in enumerate(sorted({*truth, *guessed}))}
    over_all = macro_f1(np.array([places[name] for name in truth]), np.array([places[name] for name in guessed]))
    right = float(np.mean([one == two for one, two in zip(truth, guessed, strict=True)]))
    return _Scores(over_all, over_all * len(places) / len(set(truth)), right)


def _elsewhere(predictor: IntentPredictor, test: dict[str, list[Utterance]]) -> dict[str, float]:
    """Each test text in its own scene and in the next one by name: equal answers, cosine of the pooled vectors."""
    equal: list[bool] = []
    cosines: list[float] = []
    for scene, other in zip(MULTIDOGO_DOMAINS, (*MULTIDOGO_DOMAINS[1:], MULTIDOGO_DOMAINS[0]), strict=True):
        here, own = _best(predictor, test[scene], scene)
        there, moved = _best(predictor, test[scene], other)
        equal += [one == two for one, two in zip(here, there, strict=True)]
        lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(moved, axis=1)
        cosines += ((own * moved).sum(axis=1) / lengths).tolist()
    return {"same_answer_elsewhere": float(np.mean(equal)), "cosine_elsewhere": float(np.mean(cosines))}


def together(workplace: Workplace, seed: int, *, sizes: Sizes = Sizes(), **choices: Any) -> Measured:
    """One model of all scenes; `choices` replace fields of the recipe (`adapter_width`, `consistency_weight`)."""
    drawn = _draw(workplace, sizes, seed)
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as folder:
        predictor = _train(workplace, Path(folder) / "together", drawn, MULTIDOGO_DOMAINS, seed, sizes, **choices)
        scores = {scene: _scores(predictor, drawn.test[scene], scene) for scene in MULTIDOGO_DOMAINS}
        figures = {**_means(scores), **_elsewhere(predictor, drawn.test)}
    return Measured(
        figures, {"by_scene": {scene: found._asdict() for scene, found in scores.items()}, **vars(sizes), **choices}
    )


def apart(workplace: Workplace, seed: int, *, sizes: Sizes = Sizes()) -> Measured:
    """One model for each scene, with the same texts and as many passes over them."""
    drawn = _draw(workplace, sizes, seed)
    scores: dict[str, _Scores] = {}
    for scene in MULTIDOGO_DOMAINS:
        with tempfile.TemporaryDirectory(prefix="bench-quality-") as folder:
            predictor = _train(workplace, Path(folder) / scene, drawn, [scene], seed, sizes)
            scores[scene] = _scores(predictor, drawn.test[scene], scene)
    return Measured(
        _means(scores), {"by_scene": {scene: found._asdict() for scene, found in scores.items()}, **vars(sizes)}
    )


def _means(scores: dict[str, _Scores]) -> dict[str, float]:
    return {
        name: float(value) for name, value in zip(_Scores._fields, np.mean(list(scores.values()), axis=0), strict=True)
    }


def added_scene(workplace: Workplace, seed: int, *, sizes: Sizes = Sizes()) -> Measured:
    """A model of five scenes grows the sixth from 5% of its labels; compared with a model that had all of them.

    Twice: with `few` texts as they come, and with as many of which the first are some `of_each` intent, as whoever sets
    up a scene writes them. Intents that none of the few texts has cannot be learned from them: `unseen` counts them,
    and their test texts. Each counts as much as any other in macro-F1, and next to nothing in accuracy.
    """
    known = [scene for scene in MULTIDOGO_DOMAINS if scene != NEW_SCENE]
    count = sizes.new // 20
    draws = {
        "few": _draw(workplace, sizes, seed, count),
        "of_each": _draw(workplace, sizes, seed, count, of_each=_OF_EACH),
    }
    whole = _draw(workplace, sizes, seed, sizes.new)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as folder:
        five, full = Path(folder) / "five", Path(folder) / "full"
        complete = _train(workplace, full, whole, MULTIDOGO_DOMAINS, seed, sizes)
        wanted = _scores(complete, whole.test[NEW_SCENE], NEW_SCENE)
        figures |= {f"whole_{figure}": value for figure, value in wanted._asdict().items()}
        before = _train(workplace, five, whole, known, seed, sizes)
        figures["known_before"] = _mean_own(before, whole, known)
        for name, drawn in draws.items():
            after = _train(workplace, Path(folder) / name, drawn, MULTIDOGO_DOMAINS, seed, sizes, champion=five)
            reached = _scores(after, drawn.test[NEW_SCENE], NEW_SCENE)
            learned = {row.intent for row in drawn.train[NEW_SCENE]}
            unseen = [row.intent for row in drawn.test[NEW_SCENE] if row.intent not in learned]
            for figure, value in reached._asdict().items():
                figures |= {f"{name}_{figure}": value, f"{name}_{figure}_share": value / getattr(wanted, figure)}
            figures |= {
                f"{name}_intents_unseen": len(set(unseen)),
                f"{name}_texts_unseen": len(unseen) / len(drawn.test[NEW_SCENE]),
                f"{name}_known_after": _mean_own(after, drawn, known),
            }
    return Measured(figures, {"scene": NEW_SCENE, "labels_few": count, "of_each": _OF_EACH, **vars(sizes)})


def _mean_own(predictor: IntentPredictor, drawn: _Drawn, scenes: Sequence[str]) -> float:
    return float(np.mean([_scores(predictor, drawn.test[scene], scene).macro_f1_own for scene in scenes]))
