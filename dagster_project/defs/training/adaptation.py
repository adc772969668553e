"""The encoder that has read the shop's own texts: made by its own job, used where `INTENT_BASE_ENCODER` asks for it."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg
from pydantic import Field

from dagster_project.defs.training.jobs import USES_GPU
from dagster_project.defs.training.progress import SECONDS_BETWEEN_LINES
from dagster_project.resources.tables import Tables
from intent_tracking.modeling.adaptation import MOST_TEXTS
from intent_tracking.settings import DOMAIN_ADAPTED, PACKAGED_ENCODER, Settings


class AdaptationConfig(dg.Config):
    """Which texts are read, and for how long."""

    until: str | None = Field(
        default=None, description="Last day to read, YYYY-MM-DD; by default the last before the days that a gate tests."
    )
    window_days: int = Field(default=60, ge=1, description="Days to read.")
    held_out_days: int = Field(default=4, ge=0, description="Settled days left out: validation and test stand on them.")
    base_encoder: str = Field(default=PACKAGED_ENCODER, description="What to start from: hub id, folder, packaged.")
    most_texts: int = Field(
        default=MOST_TEXTS, ge=32, description="Most different texts to read, drawn by hash over all of the days."
    )
    max_seconds: float = Field(
        default=600.0, gt=0, description="Reading stops after this time, of which its preparation is part."
    )
    seed: int = Field(default=0, description="Of every choice that is drawn.")


@dg.asset(
    deps=["session_texts"],
    group_name="training",
    kinds={"pytorch", "huggingface"},
    owners=["team:machine-learning"],
    pool="gpu",
)
def domain_adapted_encoder(
    context: dg.AssetExecutionContext,
    config: AdaptationConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
) -> dg.MaterializeResult:
    """A base encoder pretrained further on unlabelled session texts: masked words, and two readings drawn together.

    Off by default: `adaptation_job` makes it, and trainings without a champion start from the newest one while
    `INTENT_BASE_ENCODER` is `domain_adapted`. It is made anew only when somebody runs the job.
    """
    from dagster_project.defs.training.examples import training_window
    from intent_tracking.modeling.adaptation import AdaptationProgress, drawn_texts
    from intent_tracking.modeling.encoder import publish_adapted
    from intent_tracking.modeling.pretraining import adapt_encoder

    written = tables.session_texts.days()
    until = date.fromisoformat(config.until) if config.until else None
    window = training_window(written, until, config.window_days)
    days = window.days if until else window.days[: -config.held_out_days or None]
    if not days:
        raise ValueError(
            f"{len(window.days)} settled days and held_out_days={config.held_out_days}: nothing is left to read; "
            "ingest more days or hold fewer out"
        )
    texts, left_out = drawn_texts(_texts(tables, days), config.most_texts, config.seed)
    last = float("-inf")

    def report(progress: AdaptationProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            context.log.info(
                f"step {progress.step} of {progress.steps}, masked loss {progress.masked_loss:.3f}, "
                f"contrast {progress.contrast_loss:.3f}, {progress.seconds:.0f} s"
            )

    # Trainings find their encoder by this name: another reading must not take the place of the one they tokenized for.
    read = "\n".join([config.base_encoder, f"{config.max_seconds}", *texts])
    name = f"{days[-1]:%Y%m%d}-seed{config.seed}-{hashlib.sha256(read.encode()).hexdigest()[:8]}"
    made = adapt_encoder(
        texts,
        config.base_encoder,
        settings.encoders / name,
        seed=config.seed,
        max_seconds=config.max_seconds,
        device=settings.device,
        work_dir=settings.encoders / ".work" / name,
        progress=report,
    )
    publish_adapted(settings.encoders, name)
    figures = made.adaptation
    return dg.MaterializeResult(
        metadata={
            "encoder": dg.MetadataValue.path(made.folder),
            "chosen_by_settings": settings.base_encoder == DOMAIN_ADAPTED,
            "first_day": days[0].isoformat(),
            "last_day": days[-1].isoformat(),
            "base_encoder": figures.base_encoder,
            "texts": figures.texts,
            "texts_left_out": left_out,
            "tokens": figures.tokens,
            "steps": figures.steps,
            "stopped": figures.stopped,
            "seconds": figures.seconds,
            "masked_loss_at_first": figures.first_loss,
            "masked_loss_at_last": figures.last_loss,
            "tensorboard": dg.MetadataValue.path(settings.encoders / ".work" / name / "tensorboard"),
        }
    )


def _texts(tables: Tables, days: Sequence[date]) -> Iterator[str]:
    from intent_tracking.tables import streamed

    for batch in streamed(tables.session_texts.dataset(days), ["text"]):
        yield from batch.column("text").to_pylist()


adaptation_job = dg.define_asset_job(
    "adaptation_job",
    selection=dg.AssetSelection.assets("domain_adapted_encoder"),
    description=(
        "Pretrains the base encoder further on unlabelled session texts; trainings use it where INTENT_BASE_ENCODER "
        "is domain_adapted."
    ),
    tags={"dagster/max_runtime": "7200", "intent/exclusive": "adaptation", **USES_GPU},
)
