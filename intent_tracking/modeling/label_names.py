"""Where labelled texts are few, the name of a label is one more text of it: `card_arrival` says what it means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.sessions.render import render_utterance

# From here on names add nothing: at 100 texts a label they moved accuracy by less than its noise.
FEW_TEXTS = 50
_WORDS = re.compile(r"[^\W\d_]{3,}|[\u4e00-\u9fff]{2,}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def words_of(name: str) -> str | None:
    """The name of a label as a text, `order_status` -> `order status`; None where it is only a code such as `c17`."""
    words = " ".join(re.split(r"[_\W]+", _CAMEL.sub(" ", name))).strip()
    return words if _WORDS.search(words) else None


def name_examples(train: pa.Table, intents: Sequence[str]) -> pa.Table:
    """Rows of the schema of `train` for the names of `intents`; none where labels have `FEW_TEXTS` or more on average.

    They stand in the scene that most of `train` stands in, teach the intent alone, and are weighted like any text.
    Names that differ by a number alone, `label_1` and `label_2`, say nothing and are left out.
    """
    # What is none of these says nothing about them, whether or not there is much of it.
    labelled = sum(intent not in (None, OUT_OF_SCOPE_LABEL) for intent in train["intent"].to_pylist())
    if not intents or labelled >= FEW_TEXTS * len(intents):
        return train.schema.empty_table()
    [(scene, _)] = Counter(train["scene"].to_pylist()).most_common(1)
    moment = train["time"][0].as_py()
    said = {name: words for name in intents if (words := words_of(name)) is not None}
    alike = Counter(map(_without_numbers, said.values()))
    rows = []
    for name, words in said.items():
        if alike[_without_numbers(words)] > 1:
            continue
        shown = render_utterance(words, scene)
        rows.append(
            {
                "example_id": f"label-name-{name}",
                "text": shown.text,
                "scene": scene,
                "language": shown.language,
                "intent": name,
                "weight": 1.0,
                "kind": "utterance",
                "split": "train",
                "time": moment,
                "utterance_start": shown.utterance_start,
                "utterance_end": shown.utterance_end,
            }
        )
    return pa.Table.from_pylist(rows, schema=train.schema)


def _without_numbers(words: str) -> str:
    return " ".join(re.sub(r"\d+", " ", words).lower().split())
