"""Examples, their tokens, and the model that learns from them."""

from datetime import date

import dagster as dg
import pyarrow.compute as pc
from pydantic import Field

from dagster_project.defs.training.progress import EveryFewSeconds
from dagster_project.metadata import counts, picture, rows_as_markdown, sample
from dagster_project.partitions import TABLES_POOL
from dagster_project.resources.feature_store import FeastStore
from dagster_project.resources.tables import Tables
from dagster_project.versions import MODEL_VERSION, champion_directory
from intent_tracking.modeling.augmentation import EDITS, chosen_edits
from intent_tracking.modeling.splits import MOST_BEHAVIOUR, MOST_HELD_OUT
from intent_tracking.settings import Settings

OWNERS = ["team:machine-learning"]


class ExamplesConfig(dg.Config):
    """Which days to learn from, and how to hold some of them out."""

    until: str | None = Field(
        default=None, description="Last day, YYYY-MM-DD; by default the newest one that no late event can change."
    )
    window_days: int = Field(default=60, ge=3, description="Days that the training set covers.")
    validation_days: int = Field(default=2, ge=1, description="Days before the test days, for early stopping.")
    test_days: int = Field(default=2, ge=1, description="The last days: the gate compares the models on them.")
    most_behaviour: int = Field(
        default=MOST_BEHAVIOUR,
        ge=0,
        description="Sessions labelled by behaviour alone to train on, drawn over the whole window.",
    )
    most_held_out: int = Field(
        default=MOST_HELD_OUT, ge=1, description="About how many examples validation and test take each."
    )
    seed: int = Field(default=0, description="Of every choice that is drawn.")


@dg.asset(
    deps=["sessions", "session_texts", "user_features", "online_features"],
    group_name="training",
    kinds={"python", "feast", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def training_examples(
    config: ExamplesConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
    feature_store: dg.ResourceParam[FeastStore],
) -> dg.MaterializeResult:
    """What the model learns from: one row an example, split by time and by shopper.

    Sessions of `session_texts` labelled by behaviour, sessions, messages and utterances labelled by people
    (`annotations/`), and the features of each shopper as they were known at the cut-off of the session. `left_out` says
    where the other sessions went.
    """
    from dagster_project.defs.training.examples import training_window, write_examples
    from intent_tracking.modeling.annotations import read_annotations
    from intent_tracking.modeling.examples import build_examples

    until = date.fromisoformat(config.until) if config.until else None
    window = training_window(tables.session_texts.days(), until, config.window_days)
    built = build_examples(
        tables.session_texts.dataset(window.days),
        read_annotations(sorted(settings.annotations.glob("*.jsonl"))),
        feature_store.point_in_time,
        sessions=tables.sessions.dataset(window.days),
        until=window.end,
        validation_days=config.validation_days,
        test_days=config.test_days,
        seed=config.seed,
        most_behaviour=config.most_behaviour,
        most_held_out=config.most_held_out,
    )
    write_examples(settings, built.table, window)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": built.table.num_rows,
            "first_day": window.first.isoformat(),
            "trained_until": window.last.isoformat(),
            "by_split": counts(built.table, "split"),
            "by_kind": counts(built.table, "kind"),
            "by_intent": counts(built.table, "intent"),
            "left_out": built.counts,
            "sample": sample(built.table, ["split", "kind", "scene", "language", "intent", "outcome"]),
        }
    )


class TokenizedConfig(dg.Config):
    """What the training starts from, and in how many ways it reads each text."""

    from_champion: bool = Field(
        default=True, description="Go on from the live model where there is one: its vocabulary and labels are kept."
    )
    augment: int = Field(default=0, ge=0, description="How often each training text is written anew.")
    edits: list[str] = Field(
        default=[], description=f"By which edits: some of {', '.join(EDITS)}; none named: all but code_switch."
    )
    seed: int = Field(default=0, description="Of the edits.")


@dg.asset(
    deps=[training_examples, "domain_adapted_encoder"],
    group_name="training",
    kinds={"arrow", "huggingface"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def tokenized_sessions(config: TokenizedConfig, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    """`training_examples` as token ids of dynamic length, with the tokenizer and the label set that give them meaning.

    The vocabulary of the base encoder is extended by the event tokens and by the characters that the logs hold.
    """
    from dagster_project.defs.training.examples import read_examples, tokenized_path
    from intent_tracking.modeling.dataset import prepare_dataset
    from intent_tracking.modeling.encoder import configured_encoder

    champion = champion_directory(settings.release_file) if config.from_champion else None
    dataset = prepare_dataset(
        read_examples(settings),
        configured_encoder(settings),
        champion=champion,
        augment=config.augment,
        augmentation=chosen_edits(config.edits, config.augment),
        seed=config.seed,
    )
    dataset.save(tokenized_path(settings))
    lengths = sorted(pc.list_value_length(dataset.table["input_ids"]).to_pylist())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": dataset.table.num_rows,
            "intents": ", ".join(dataset.labels.class_names()),
            "key_information": ", ".join(dataset.labels.key_information),
            "parent": dataset.info.parent or "none",
            "versions": dataset.info.versions,
            "base_encoder": dataset.info.base_encoder,
            "fingerprint": dataset.info.fingerprint,
            "max_tokens": dataset.info.max_tokens,
            "median_tokens": lengths[len(lengths) // 2],
        }
    )


class TrainingConfig(dg.Config):
    """How long to train, and from which draw."""

    max_seconds: float | None = Field(
        default=None, gt=0, description="What a training may take; by default as long as the recipe for the data says."
    )
    seed: int = Field(default=0, description="Another seed gives another version of the same data.")
    searched_recipe: bool = Field(
        default=False,
        description="Train by the recipe of the last `recipe_search`, also where it was found on other days of data.",
    )


@dg.asset(
    deps=[training_examples, tokenized_sessions, "recipe_search"],
    group_name="training",
    kinds={"pytorch", "huggingface"},
    owners=OWNERS,
    pool="gpu",
    # A training that died goes on from its checkpoint.
    retry_policy=dg.RetryPolicy(max_retries=1, delay=10),
)
def intent_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    settings: dg.ResourceParam[Settings],
    feature_store: dg.ResourceParam[FeastStore],
) -> dg.MaterializeResult:
    """A fine-tuned, calibrated model as an artifact, `models/<version>`: the challenger, until the gate has spoken.

    From `tokenized_sessions`; starts from the live model where there is one. TensorBoard reads
    `models/.work/<version>`.
    """
    from dagster_project.defs.training.examples import recipe_path
    from dagster_project.defs.training.model import train_version
    from intent_tracking.modeling.search_result import read_found_recipe

    made = train_version(
        settings,
        feature_store,
        seed=config.seed,
        max_seconds=config.max_seconds,
        found=read_found_recipe(recipe_path(settings)) if config.searched_recipe else None,
        progress=EveryFewSeconds(context.log.info),
    )
    manifest = made.manifest
    metadata: dict[str, dg.RawMetadataValue] = {
        MODEL_VERSION: manifest.version,
        "artifact": dg.MetadataValue.path(made.directory),
        "parent": manifest.parent or "none",
        "base_encoder": manifest.base_encoder or "unknown",
        "trained_until": manifest.trained_until or "unknown",
        "feature_service": manifest.feature_service or "none",
        "reused": made.trained is None,
        "recipe_from": made.recipe_from,
        **manifest.metrics,
    }
    if made.trained is not None:
        training = made.trained.training
        metadata |= {
            "seconds": training.seconds,
            "tokens_per_second": training.tokens_per_second,
            "steps": training.steps,
            "best_epoch": training.best_epoch,
            "stopped": training.stopped,
            "recipe": training.recipe.model_dump(),
            "tensorboard": dg.MetadataValue.path(made.work / "tensorboard"),
            "passes": rows_as_markdown(
                [{"pass": f.epoch, "loss": f"{f.loss:.4f}", **_rounded(f.scores)} for f in training.history]
            ),
        }
    if made.learning_curve is not None:
        metadata["learning_curve"] = picture(made.learning_curve)
    return dg.MaterializeResult(metadata=metadata)


def _rounded(scores: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in scores.items()}
