"""Universal Dependencies: the pipelines that `make linguistics` trains, from several seeds, scored as stored."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from benchmarks.quality.unit import Measured, Workplace

_SCORES = ("upos", "uas", "las", "las_universal", "word_f1_from_text")


def trained_pipeline(workplace: Workplace, seed: int, *, language: Literal["en", "zh"]) -> Measured:
    """Train the pipeline of `language` from `seed`; shares in 0..1 of the treebank's test part, trees on gold words."""
    from intent_tracking.text.make_pipelines import make_pipeline

    with tempfile.TemporaryDirectory(prefix="bench-quality-") as temporary:
        data = workplace.data.require("ud").parent
        card = make_pipeline(language, data, Path(temporary) / language, workplace.say, seed=seed)
    found = card["scores"]["test"]
    figures = {name: found[name] / 100 for name in _SCORES}
    return Measured(figures, {"words": found["words"], "bytes": card["bytes"], "test": card["test"]["file"]})
