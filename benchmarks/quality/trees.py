"""Universal Dependencies: the shipped pipelines, and those that `make linguistics` trains from other seeds."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Literal

from benchmarks.quality.unit import Measured, Workplace

_SCORES = ("upos", "uas", "las", "las_universal", "word_f1_from_text")


def pipeline_scores(workplace: Workplace, seed: int, *, language: Literal["en", "zh"]) -> Measured:
    """Shares in 0..1 of the treebank's test part, trees on gold words, scored as stored.

    The pipeline that is shipped is scored for the seed that it was made from; of another seed one is trained.
    """
    from intent_tracking.text.linguistics import SHIPPED
    from intent_tracking.text.make_pipelines import CARD_FILE, PLANS, SEED, make_pipeline, scores
    from intent_tracking.text.treebank import read_treebank

    data = workplace.data.require("ud").parent
    plan = PLANS[language]
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as temporary:
        folder = SHIPPED / language
        if seed != SEED:
            folder = Path(temporary) / language
            make_pipeline(language, data, folder, workplace.say, seed=seed)
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        found = scores(language, folder, read_treebank(data / "ud" / plan.test))
    if card["seed"] != seed:
        raise ValueError(f"{folder} was made from seed {card['seed']}, not {seed}")
    figures = {name: found[name] / 100 for name in _SCORES}
    return Measured(figures, {"words": found["words"], "bytes": card["bytes"], "test": card["test"]["file"]})
