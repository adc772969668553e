"""CrossWOZ with domain-adaptive pretraining: the encoder first reads the dialogues of the training split unlabelled."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.quality.texts import evaluate_task, rows_of
from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.datasets.dialogues import crosswoz_texts


def adapted_crosswoz(workplace: Workplace, seed: int) -> Measured:
    """As `evaluate_task`, from an encoder adapted on both sides of the training dialogues, without their labels."""
    with TemporaryDirectory(prefix="bench-quality-") as folder:
        encoder = adapted_encoder(workplace, seed, Path(folder) / "encoder")
        return evaluate_task(workplace, seed, name="crosswoz", base_encoder=str(encoder))


def adapted_encoder(workplace: Workplace, seed: int, target: Path) -> Path:
    """The encoder after the training dialogues; made anew each time, since one of older code would be measured else."""
    from intent_tracking.modeling.adaptation import AdaptationProgress
    from intent_tracking.modeling.pretraining import adapt_encoder
    from intent_tracking.sessions.render import render_utterance

    known = {row.dialogue for row in rows_of(workplace, "crosswoz", None, seed).train if row.dialogue is not None}
    texts = crosswoz_texts(workplace.data.require("crosswoz"), known)

    def adapted(progress: AdaptationProgress) -> None:
        workplace.say(f"adapting the encoder, step {progress.step}/{progress.steps}")

    made = adapt_encoder(
        [render_utterance(text).text for text in texts],
        workplace.base_encoder,
        target,
        seed=seed,
        device=workplace.device,
        progress=adapted,
    )
    workplace.say(f"adapted in {made.adaptation.seconds:.0f} s")
    return target
