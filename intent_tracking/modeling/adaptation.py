"""What an encoder that read unlabelled texts came from, and where the reading stands; `pretraining.py` does it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from intent_tracking.modeling.splits import share

# Two cores of 2024 read about as many short texts in eight minutes, once.
MOST_TEXTS = 20_000


class AdaptationRecipe(BaseModel):
    """All choices of one adaptation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=2e-4, gt=0)
    rows_rate: float = Field(default=5e-3, gt=0, description="Of the added rows, which know nothing yet.")
    frozen_share: float = Field(default=0.3, ge=0, le=1, description="Share of the steps that train new rows alone.")
    mask_rate: float = Field(default=0.15, gt=0, lt=1)
    contrast_weight: float = Field(default=0.2, ge=0, description="Of the contrastive loss beside the masked one.")
    temperature: float = Field(default=0.05, gt=0)
    weight_decay: float = 0.01
    warmup_share: float = 0.06
    clip_norm: float = 1.0


class Adaptation(BaseModel):
    """Where an adapted encoder comes from; the content of `adaptation.json` beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_encoder: str
    trained_from: int = Field(description="Rows of the word table from here on were added and keep being trained.")
    texts: int
    fingerprint: str = Field(description="sha256 of the texts in their order.")
    seed: int
    recipe: AdaptationRecipe
    steps: int
    tokens: int
    seconds: float
    first_loss: float = Field(description="Mean masked loss of the first tenth of the steps, nats a token.")
    last_loss: float = Field(description="Mean masked loss of the last tenth of the steps, nats a token.")
    stopped: Literal["finished", "time"]


@dataclass(frozen=True)
class AdaptationProgress:
    """Where an adaptation stands; losses of the last step, in nats."""

    step: int
    steps: int
    masked_loss: float
    contrast_loss: float
    seconds: float


@dataclass(frozen=True)
class AdaptedEncoder:
    """An adapted encoder on disk; `str(folder)` is a base encoder for `find_encoder`."""

    folder: Path
    adaptation: Adaptation


def drawn_texts(texts: Iterable[str], most: int, seed: int) -> tuple[list[str], int]:
    """At most `most` different ones of `texts`, in their order, and how many entries have a text that is none of them.

    Each text is as likely as the others, however often it occurs; those of the smallest hashes are kept (Cohen and
    Kaplan 2007, bottom-k), so no more than `most` are held at a time. Blank ones do not count.
    """
    entries: dict[str, int] = {}
    largest: list[tuple[float, str]] = []
    left_out = 0
    for text in texts:
        if text in entries:
            entries[text] += 1
        elif text.strip():
            entries[text] = 1
            heapq.heappush(largest, (-share(seed, "adapt", text), text))
            if len(largest) > most:
                left_out += entries.pop(heapq.heappop(largest)[1])
    return list(entries), left_out
