"""Which labelled texts judge a training where no validation file is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL

# Where most texts have a label with fewer, holding some back for validation costs more than it tells.
_ENOUGH_FOR_VALIDATION = 20
# A label with fewer needs each of them.
_FEWEST_OF_A_LABEL = 5
_VALIDATION_SHARE = 0.1
# More than this tells little more, and would be missed in training.
_MOST_VALIDATION_TEXTS = 500


def hold_back(rows: Sequence[LabelledText], seed: int) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training and validation rows: about a tenth of each label, or nothing where most rows have a rare one.

    Rare labels give one text of several such labels, drawn evenly: without them the frequent ones alone would choose
    what all are judged by. A text of several labels counts for each of them. Rows of the same words stand on one side,
    whatever their labels: what was learned by heart would judge itself.
    """
    from intent_tracking.modeling.multi_label import names_in
    from intent_tracking.modeling.splits import share, wording
    from intent_tracking.sessions.render import free_text

    # A text without any label is one of those that are out of scope.
    names = [names_in(row.intent) or (OUT_OF_SCOPE_LABEL,) for row in rows]
    had = Counter(name for each in names for name in each)
    spare = [all(had[name] >= _ENOUGH_FOR_VALIDATION for name in each) for each in names]
    if 2 * sum(spare) < len(rows):
        return list(rows), []
    part = min(_VALIDATION_SHARE, _MOST_VALIDATION_TEXTS / len(rows))
    # Rounded as a running sum: of very many labels each wants less than one text, and all together hundreds.
    enough = sorted(name for name, count in had.items() if count >= _FEWEST_OF_A_LABEL)
    sums = [0, *(round(total * part) for total in accumulate(had[name] for name in enough))]
    wanted = Counter({name: after - before for name, before, after in zip(enough, sums, sums[1:], strict=False)})
    # As the model reads them: two letters that differ in a telephone number are one.
    words = [wording(free_text(row.text)) for row in rows]
    together: dict[str, Counter[str]] = {}
    for text, each in zip(words, names, strict=True):
        together.setdefault(text, Counter()).update(each)
    held: set[str] = set()
    taken: Counter[str] = Counter()
    for text in sorted(together, key=lambda text: share(seed, "held back", text)):
        # Up to half of a text's rows too many, so at most twice what is wanted: a label is never all held back.
        if all(taken[name] + count / 2 <= wanted[name] for name, count in together[text].items()):
            held.add(text)
            taken.update(together[text])
    return (
        [row for row, text in zip(rows, words, strict=True) if text not in held],
        [row for row, text in zip(rows, words, strict=True) if text in held],
    )
