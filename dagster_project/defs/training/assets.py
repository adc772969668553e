"""Examples, their tokens, and the model that learns from them."""

from datetime import date

import dagster as dg
from pydantic import Field

from dagster_project.metadata import counts, sample
from dagster_project.resources.feature_store import FeastStore
from dagster_project.resources.tables import Tables
from dagster_project.versions import champion_directory
from intent_tracking.settings import Settings

OWNERS = ["team:machine-learning"]


class ExamplesConfig(dg.Config):
    """Which days to learn from, and how to hold some of them out."""

    until: str | None = Field(
        default=None, description="Last day, YYYY-MM-DD; by default the newest one that no late event can change."
    )
    window_days: int = Field(default=60, ge=3, description="Days that the training set covers.")
    validation_days: int = Field(default=3, ge=1, description="Days before the test days, for early stopping.")
    test_days: int = Field(default=4, ge=1, description="The last days: the gate compares the models on them.")
    seed: int = Field(default=0, description="Of every choice that is drawn.")


@dg.asset(
    deps=["sessions", "session_texts", "user_features", "online_features"],
    group_name="training",
    kinds={"python", "feast", "parquet"},
    owners=OWNERS,
)
def training_examples(
    config: ExamplesConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
    feature_store: dg.ResourceParam[FeastStore],
) -> dg.MaterializeResult:
    """What the model learns from: one row an example, split by time and by shopper.

    Sessions of `session_texts` labelled by behaviour, sessions, messages and utterances labelled by people
    (`annotations/`), and the features of each shopper as they were known at the cut-off of the session.
    """
    import pyarrow.compute as pc

    from dagster_project.defs.training.examples import training_window, write_examples
    from intent_tracking.modeling.annotations import read_annotations
    from intent_tracking.modeling.examples import build_examples

    until = date.fromisoformat(config.until) if config.until else None
    window = training_window(tables.session_texts.days(), until, config.window_days)
    texts = tables.session_texts.read(window.days)
    texts = texts.filter(pc.equal(texts["kind"], "session"))
    points = texts.select(["session_id", "shopper_id", "cutoff_time"]).rename_columns(
        ["session_id", "shopper_id", "event_timestamp"]
    )
    built = build_examples(
        texts,
        read_annotations(sorted(settings.annotations.glob("*.jsonl"))),
        feature_store.point_in_time(points),
        sessions=tables.sessions.read(window.days),
        until=window.end,
        validation_days=config.validation_days,
        test_days=config.test_days,
        seed=config.seed,
    )
    write_examples(settings, built.table)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": built.table.num_rows,
            "first_day": window.first.isoformat(),
            "trained_until": window.last.isoformat(),
            "by_split": counts(built.table, "split"),
            "by_kind": counts(built.table, "kind"),
            "by_intent": counts(built.table, "intent"),
            "left_out": built.counts,
            "sample": sample(built.table, ["split", "kind", "scene", "language", "intent", "outcome", "text"]),
        }
    )


class TokenizedConfig(dg.Config):
    """What the training starts from."""

    from_champion: bool = Field(
        default=True, description="Go on from the live model where there is one: its vocabulary and labels are kept."
    )


@dg.asset(deps=[training_examples], group_name="training", kinds={"arrow", "huggingface"}, owners=OWNERS)
def tokenized_sessions(config: TokenizedConfig, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    """`training_examples` as token ids of dynamic length, with the tokenizer and the label set that give them meaning.

    The vocabulary of the base encoder is extended by the event tokens and by the characters that the logs hold.
    """
    from dagster_project.defs.training.examples import read_examples, tokenized_path
    from intent_tracking.modeling.dataset import prepare_dataset

    champion = champion_directory(settings.release_file) if config.from_champion else None
    dataset = prepare_dataset(read_examples(settings), settings.base_encoder, champion=champion)
    dataset.save(tokenized_path(settings))
    lengths = sorted(len(ids) for ids in dataset.table["input_ids"].to_pylist())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": dataset.table.num_rows,
            "intents": ", ".join(dataset.labels.class_names()),
            "key_information": ", ".join(dataset.labels.key_information),
            "parent": dataset.info.parent or "none",
            "fingerprint": dataset.info.fingerprint,
            "max_tokens": dataset.info.max_tokens,
            "median_tokens": lengths[len(lengths) // 2],
        }
    )
