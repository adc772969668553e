"""The time that `evaluate` gives a training on a CPU, and what it says of one that had too little."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# On a CPU ten thousand texts of 16 tokens are learned within eight minutes, and more or longer ones in as many times
# that.
_LEAST_BUDGET, _SECONDS_A_TEXT, _SECONDS_A_TOKEN = 480.0, 0.048, 0.003
# Of a text that is not Chinese, blanks included.
_CHARACTERS_A_TOKEN = 4


def default_seconds(texts: int, tokens: float = 0.0) -> float:
    """Training time that `evaluate` gives itself on a CPU.

    Args:
        texts: that people labelled for training.
        tokens: of all that a pass reads, copies and what a teacher labels among it, by `about_tokens`.
    """
    return max(_LEAST_BUDGET, _SECONDS_A_TEXT * texts, _SECONDS_A_TOKEN * tokens)


def about_tokens(texts: Iterable[str]) -> float:
    """About how many tokens a model reads of `texts`: one a Chinese character, one for four others.

    Of a long text it reads no more than it can. This is known before there is a vocabulary: the base encoder may still
    have to be adapted, within the time that is worked out here.
    """
    from intent_tracking.modeling.dataset import MOST_TOKENS

    tokens = 0.0
    for text in texts:
        chinese = 0 if text.isascii() else sum("\u3400" <= character <= "\u9fff" for character in text)
        tokens += min(MOST_TOKENS, chinese + (len(text) - chinese) / _CHARACTERS_A_TOKEN)
    return tokens


def cut_short(training: Mapping[str, Any]) -> str | None:
    """What to tell of a training that had no time for one whole pass; None: it had.

    Args:
        training: `stopped`, `passes` and `max_seconds` of `evaluate`'s report.
    """
    if training["stopped"] != "time" or training["passes"] >= 1:
        return None
    seconds, passes = training["max_seconds"], training["passes"]
    return (
        f"training saw {passes:.0%} of its texts when its {seconds:,.0f} s were over, and none twice: "
        f"give it more by --max-seconds; once through all of them takes about {seconds / passes:,.0f} s"
    )
