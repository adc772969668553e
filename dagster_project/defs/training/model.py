"""One training run: its version, its working folder, and what came out."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dagster_project.defs.training.examples import read_examples, tokenized_path, trained_until
from dagster_project.resources.feature_store import FeastStore
from intent_tracking.artifact import INTENT_MODEL, Manifest, verify
from intent_tracking.evaluation import plots, style
from intent_tracking.modeling.dataset import DatasetInfo, TokenizedDataset, fingerprint
from intent_tracking.modeling.export import TrainedArtifact, train_artifact
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.search_result import FoundRecipe
from intent_tracking.modeling.training_result import Progress
from intent_tracking.settings import Settings
from intent_tracking.tables import atomic_write_text

HISTORY_FILE = "history.json"


class StaleTokensError(RuntimeError):
    """tokenized_sessions was not made from the training_examples that are there now."""


@dataclass(frozen=True, eq=False)
class TrainedVersion:
    """An artifact, and the training that made it; `trained` is None where the artifact was there already.

    `recipe_from` says in words where the recipe comes from.
    """

    manifest: Manifest
    directory: Path
    work: Path
    trained: TrainedArtifact | None
    learning_curve: Path | None
    recipe_from: str


def version_name(
    until: datetime, info: DatasetInfo, seed: int, max_seconds: float | None, recipe: Recipe | None = None
) -> str:
    """Name of what this training gives: the last day that it saw, which ends at `until`, and a hash of what decides it.

    The same data and choices have the same name, so that a run that was killed finds its checkpoint again.
    """
    decides = [info.model_dump(mode="json"), seed, max_seconds]
    if recipe is not None:
        decides.append(recipe.identity())
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"{until - timedelta(days=1):%Y%m%d}-{digest[:8]}"


def train_version(
    settings: Settings,
    feature_store: FeastStore,
    *,
    seed: int,
    max_seconds: float | None,
    found: FoundRecipe | None = None,
    progress: Callable[[Progress], None],
) -> TrainedVersion:
    """Train on `tokenized_sessions` and write the artifact to `models/<version>`.

    A version that exists is not trained again: what is live must not change under the service.

    Args:
        found: recipe of a search to train by; None: chosen from the data.

    Raises:
        SearchError: the recipe was found for another base encoder.
        FileNotFoundError: an input is missing.
        StaleTokensError: the inputs do not belong together.
        ArtifactError: the version exists and is damaged, or the model that the training starts from is.
    """
    examples = read_examples(settings)
    dataset = TokenizedDataset.load(tokenized_path(settings))
    if dataset.info.fingerprint != fingerprint(examples):
        raise StaleTokensError(
            "tokenized_sessions was made from other training_examples than those on disk: materialize it again"
        )
    until = trained_until(examples)
    recipe = None if found is None else found.recipe_for(dataset.info, settings.device)
    version = version_name(until, dataset.info, seed, max_seconds, recipe)
    origin = _origin(found, dataset.info)
    directory, work = settings.models / version, settings.models / ".work" / version
    if directory.exists():
        return TrainedVersion(verify(directory, kind=INTENT_MODEL), directory, work, None, None, origin)
    trained = train_artifact(
        examples,
        directory,
        version=version,
        work_dir=work,
        base_encoder=settings.base_encoder,
        dataset=dataset,
        champion=settings.models / dataset.info.parent if dataset.info.parent else None,
        recipe=recipe,
        seed=seed,
        device=settings.device,
        max_seconds=max_seconds,
        trained_until=until,
        feature_service=feature_store.feature_service(version) if dataset.info.features else None,
        progress=progress,
    )
    for of_run in work.glob("checkpoints*"):
        shutil.rmtree(of_run, ignore_errors=True)  # TensorBoard's files stay
    return TrainedVersion(trained.manifest, directory, work, trained, _learning_curve(trained, work), origin)


def _origin(found: FoundRecipe | None, info: DatasetInfo) -> str:
    if found is None:
        return "chosen from the data"
    differs = found.differences(info)
    return f"search {found.study}, " + (f"where {', '.join(differs)} differed" if differs else "on this data")


@dataclass(frozen=True)
class LearningHistory:
    """The passes of a training.

    Attributes:
        passes: as `TrainingResult.learning_curve`; empty where the training left none.
        kept: number of the pass whose weights the model has; None: they are a mean of several runs, or nobody knows.
    """

    passes: tuple[tuple[float, float, float], ...] = ()
    kept: int | None = None


def learning_history(work: Path) -> LearningHistory:
    """That of the training in `work`."""
    file = work / HISTORY_FILE
    if not file.is_file():
        return LearningHistory()
    found = json.loads(file.read_text(encoding="utf-8"))
    # Trainings of before did not say which pass is kept.
    passes, kept = (found["passes"], found["kept"]) if isinstance(found, dict) else (found, None)
    return LearningHistory(
        tuple((number, *(math.nan if value is None else value for value in figures)) for number, *figures in passes),
        kept,
    )


def _learning_curve(trained: TrainedArtifact, folder: Path) -> Path | None:
    history = LearningHistory(trained.training.learning_curve, trained.training.kept_pass)
    passes = [[None if math.isnan(value) else value for value in row] for row in history.passes]
    atomic_write_text(folder / HISTORY_FILE, json.dumps({"passes": passes, "kept": history.kept}) + "\n")
    if not history.passes:
        return None
    return folder / style.save(plots.learning_curve(history.passes, history.kept), folder, "learning_curve")
