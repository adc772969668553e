"""The search for a better recipe than the data alone suggests."""

import dagster as dg
from pydantic import Field

from dagster_project.defs.training.assets import OWNERS, tokenized_sessions
from dagster_project.defs.training.progress import EveryFewSeconds
from dagster_project.metadata import picture, rows_as_markdown
from intent_tracking.settings import Settings

STATES = ("complete", "pruned", "failed", "interrupted")


class SearchConfig(dg.Config):
    """How long to search, and from which draw."""

    max_trials: int = Field(default=20, ge=1, description="Recipes to try, over all runs on the same data.")
    max_seconds: float | None = Field(
        default=4 * 3600.0,
        gt=0,
        description="Training time over all runs on the same data; the default recipe is measured in any case.",
    )
    seed: int = Field(default=0, description="Of the draws and of each training; another seed is another study.")


@dg.asset(
    deps=[tokenized_sessions],
    group_name="training",
    kinds={"optuna", "pytorch"},
    owners=OWNERS,
    pool="gpu",
    # A search that died goes on with its study.
    retry_policy=dg.RetryPolicy(max_retries=1, delay=10),
)
def recipe_search(
    context: dg.AssetExecutionContext, config: SearchConfig, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The best training recipe for `tokenized_sessions` by trials on its validation split: `training/recipe.json`.

    Trial 0 is the recipe that a training takes by itself, so the result is no worse than that on validation. The study
    is in `search/<study>`. A training uses it where `intent_model` is configured with `searched_recipe: true`.
    """
    from dagster_project.defs.training.examples import recipe_path, tokenized_path
    from intent_tracking.evaluation.search_plots import search_pictures
    from intent_tracking.modeling.dataset import TokenizedDataset
    from intent_tracking.modeling.search import search_recipe, study_name
    from intent_tracking.tables import atomic_write_text

    dataset = TokenizedDataset.load(tokenized_path(settings))
    folder = settings.search / study_name(dataset, config.seed)
    result = search_recipe(
        dataset,
        folder,
        champion=settings.models / dataset.info.parent if dataset.info.parent else None,
        seed=config.seed,
        device=settings.device,
        max_trials=config.max_trials,
        max_seconds=config.max_seconds,
        progress=EveryFewSeconds(context.log.info).of_search,
    )
    atomic_write_text(recipe_path(settings), result.found.model_dump_json(indent=2) + "\n")
    pictures = search_pictures(folder, result.trials, result.importances)
    found = result.found
    return dg.MaterializeResult(
        metadata={
            "score": found.score,
            "default_score": found.default_score,
            "best_trial": result.best.number,
            "study": dg.MetadataValue.path(folder),
            "recipe": found.recipe.model_dump(),
            "base_encoder": found.base_encoder,
            "dataset_fingerprint": found.dataset_fingerprint,
            **{f"trials/{state}": sum(t.state == state for t in result.trials) for state in STATES},
            "trials": rows_as_markdown(
                [
                    {
                        "trial": trial.number,
                        "state": trial.error or trial.state,
                        "score": "" if trial.score is None else f"{trial.score:.4f}",
                        "passes": trial.passes,
                        "seconds": f"{trial.seconds:.0f}",
                        **{name: f"{value:.3g}" for name, value in trial.choices.items()},
                    }
                    for trial in result.trials
                ]
            ),
            **{name.removesuffix(".png"): picture(folder / name) for name in pictures},
        }
    )
