"""A model version against the held-out days, its behavioural tests, and the champion on the same examples."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.defs.evaluation.acceptance import DECISION_FILE
from dagster_project.defs.training.examples import read_examples
from dagster_project.defs.training.model import learning_history
from dagster_project.versions import champion_directory
from intent_tracking.artifact import Manifest
from intent_tracking.evaluation import behaviour_cases, behavioural
from intent_tracking.evaluation.behavioural import BehaviouralReport
from intent_tracking.evaluation.faithfulness import Faithfulness, deletion_curves, deletion_test
from intent_tracking.evaluation.gate import GateDecision, GatePolicy, decide
from intent_tracking.evaluation.metrics import EvaluationError
from intent_tracking.evaluation.model_card import CardFacts, write_model_card
from intent_tracking.evaluation.predict import scene_for
from intent_tracking.evaluation.report import EvaluationReport, evaluate_predictions, write_report
from intent_tracking.inference import IntentPredictor
from intent_tracking.modeling.dataset import fingerprint
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA, judged_by_people, model_inputs
from intent_tracking.modeling.loading import load_config, load_tokenizer
from intent_tracking.modeling.prediction import Prediction
from intent_tracking.sessions.render import render_utterance
from intent_tracking.settings import Settings

BEHAVIOUR_FILE = "behaviour.json"
FAITHFULNESS_FILE = "faithfulness.json"


class StaleExamplesError(RuntimeError):
    """The version was not trained on the examples that it would be judged by, so that it may have learned them."""


@dataclass(frozen=True)
class Comparison:
    """All that the gate and a person want to know of a version."""

    version: str
    champion: str | None
    folder: Path
    report: EvaluationReport
    behaviour: BehaviouralReport
    faithfulness: Faithfulness | None
    decision: GateDecision


def predict_examples(predictor: IntentPredictor, examples: pa.Table) -> list[Prediction]:
    """The predictor's answer to each example, with the user features that the example carries."""
    names = [name for name in examples.column_names if name not in EXAMPLE_SCHEMA.names]
    features = examples.select(names).to_pylist() if names else None
    return predictor.predict(model_inputs(examples), features)


def cases_for(
    labels: list[str], examples: pa.Table, own: Path, tokens: Callable[[str], Hashable]
) -> list[behavioural.Case]:
    """The packaged cases in the languages of the examples; for other label sets the shop's own, and label-free ones.

    A model that shares a name or two with the packaged intents, such as `cancel_order`, does not mean the same by it:
    those cases count where it knows at least half of their intents.

    Args:
        labels: of the model.
        examples: whose texts make the label-free cases.
        own: the shop's `behaviour_cases.yaml`, which may be missing.
        tokens: what the model reads of an utterance.

    Raises:
        BehaviourCasesError: the shop's file is not as described.
    """
    packaged = behaviour_cases.shop_cases()
    intents = {case.intent for case in packaged}
    written = behaviour_cases.own_cases(own) if own.is_file() else []
    if 2 * len(intents & set(labels)) >= len(intents):
        languages = set(examples["language"].to_pylist())
        return [case for case in packaged if case.language in languages] + written
    inputs = model_inputs(examples)
    texts = [(given.text[given.utterance_start : given.utterance_end], given.language) for given in inputs]
    return written + behavioural.label_free_cases(((t, language) for t, language in texts if t), tokens=tokens)


def reader(directory: Path, scene: str) -> Callable[[str], tuple[int, ...]]:
    """What the model in `directory` reads of an utterance in `scene`, as token ids."""
    tokenizer = load_tokenizer(directory, load_config(directory).max_tokens)
    return lambda text: tuple(tokenizer.encode([render_utterance(text, scene).text])[0].ids)


def compare(settings: Settings, version: str, policy: GatePolicy) -> Comparison:
    """Evaluate `version` on the test split of `training_examples` and hold it against the live model.

    Writes `report.json` and its pictures, `behaviour.json`, `faithfulness.json`, `decision.json` and `model_card.md`
    into `evaluations/<version>/`.

    Raises:
        ArtifactError: an artifact is incomplete or damaged.
        FileNotFoundError: there are no training examples.
        EvaluationError: no held-out example is labelled.
        StaleExamplesError: the version was trained on other examples than those on disk.
    """
    challenger = IntentPredictor.load(settings.models / version, settings.device)
    labels = list(challenger.labels.class_names())
    examples = read_examples(settings)
    on_disk = fingerprint(examples)
    if challenger.manifest.dataset_fingerprint != on_disk:
        raise StaleExamplesError(
            f"{version} was trained on the examples {challenger.manifest.dataset_fingerprint[:12]}, but "
            f"training_examples are {on_disk[:12]} now: what it learned from may be among the held-out ones; run "
            "retrain_job, or materialize tokenized_sessions and intent_model again and evaluate what they give"
        )
    judges = judged_by_people(examples, "test", policy.min_examples)
    held_out = judges.filter(pc.equal(judges["split"], "test"))
    folder = settings.evaluations / version

    answers = predict_examples(challenger, held_out)
    history = learning_history(settings.models / ".work" / version)
    report = evaluate_predictions(
        held_out,
        answers,
        labels,
        folder,
        history=history.passes,
        kept=history.kept,
        calibration=challenger.calibration,
        multi_label=challenger.labels.multi_label,
    )
    scene = scene_for(None, challenger.scenes)
    read = reader(settings.models / version, scene)
    cases = cases_for(labels, held_out, settings.home / behaviour_cases.CASES_FILE, read)
    behaviour = behavioural.run(challenger, labels, cases, scene=scene, languages=held_out["language"].to_pylist())
    faithfulness = explanations_of(challenger, held_out)
    drawn = {"behaviour": behavioural.picture(folder, behaviour)}
    if faithfulness is not None:
        drawn["deletion"] = deletion_curves(folder, faithfulness)
        write_report(folder / FAITHFULNESS_FILE, faithfulness.to_dict())
    report = replace(report, pictures={**report.pictures, **drawn})

    directory = champion_directory(settings.release_file)
    champion = IntentPredictor.load(directory, settings.device) if directory else None
    champion_answers = predict_examples(champion, held_out) if champion else None

    rows = [row for row, intent in enumerate(held_out["intent"].to_pylist()) if intent is not None]
    decision = decide(
        held_out["intent"].take(pa.array(rows, pa.int64())).to_pylist(),
        [answers[row] for row in rows],
        [champion_answers[row] for row in rows] if champion_answers is not None else None,
        labels,
        behaviour,
        policy,
        multi_label=challenger.labels.multi_label,
    )
    if champion is not None and (unfair := seen_by_champion(champion.manifest, on_disk, held_out)):
        decision = replace(decision, promote=False, reasons=(*decision.reasons, f"refused: {unfair}"))
    write_report(folder / BEHAVIOUR_FILE, behaviour.to_dict())
    compared_with = champion.version if champion else None
    write_report(
        folder / DECISION_FILE,
        {**decision.to_dict(), "version": version, "champion": compared_with, "max_ece": policy.max_ece},
    )
    facts = _facts(challenger, examples, held_out)
    explained = faithfulness.summary() if faithfulness else "not measured: no held-out text is long enough"
    facts = replace(facts, details={**facts.details, "explanations": explained})
    write_model_card(folder, facts, report, behaviour, decision)
    return Comparison(version, compared_with, folder, report, behaviour, faithfulness, decision)


def explanations_of(predictor: IntentPredictor, held_out: pa.Table) -> Faithfulness | None:
    """The deletion test on held-out texts; None where none has enough words."""
    try:
        return deletion_test(predictor, model_inputs(held_out))
    except EvaluationError:
        return None


def seen_by_champion(champion: Manifest, on_disk: str, held_out: pa.Table) -> str | None:
    """Why the held-out examples cannot be put to the champion too; None where they can.

    Trained on the very examples on disk, of the fingerprint `on_disk`, it has the same ones held out. Otherwise nothing
    of its training window may be held out: it may have learned it, and would be harder to beat than it is. What belongs
    to no shopper is held out by its words, in every run.
    """
    if champion.dataset_fingerprint == on_disk or champion.trained_until is None:
        return None
    dated = held_out.filter(pc.is_valid(held_out["shopper_id"]))
    oldest, until = pc.min(dated["time"]).as_py(), datetime.fromisoformat(champion.trained_until)
    if oldest is None or until <= oldest:
        return None
    return (
        f"the champion {champion.version} was trained on what happened until {until:%Y-%m-%d %H:%M}, and the oldest "
        f"held-out example is of {oldest:%Y-%m-%d %H:%M}: build training_examples with later days"
    )


def _facts(challenger: IntentPredictor, examples: pa.Table, held_out: pa.Table) -> CardFacts:
    manifest = challenger.manifest
    learned = examples.filter(pc.equal(examples["split"], "train"))
    return CardFacts(
        version=manifest.version,
        base_encoder=manifest.base_encoder or "unknown",
        code_version=manifest.code_version,
        dataset_fingerprint=manifest.dataset_fingerprint,
        labels=manifest.labels,
        trained_on=_in_words(learned),
        evaluated_on=_in_words(held_out),
        details={
            "tested on": _who_is_tested(manifest.parent),
            "parent": manifest.parent or "none",
            "trained until": manifest.trained_until or "unknown",
        },
    )


def _who_is_tested(parent: str | None) -> str:
    tested = "later days, of shoppers that its training split does not hold"
    seen = f"; {parent}, which it starts from, may have learned from earlier sessions of theirs" if parent else ""
    return tested + seen


def _in_words(examples: pa.Table) -> str:
    days = pc.min_max(examples["time"]).as_py()
    return f"{examples.num_rows:,} examples, {days['min']:%Y-%m-%d} to {days['max']:%Y-%m-%d}"
