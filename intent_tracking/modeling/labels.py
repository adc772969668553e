"""The label set of a model: intents and kinds of key information, and their places in the heads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from pydantic import BaseModel, ConfigDict

from intent_tracking.modeling.multi_label import is_multi_label, names_in
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL

IGNORED = -100


class LabelSet(BaseModel):
    """The content of `labels.json`.

    Attributes:
        intents: known labels, in the order of the intent head.
        out_of_scope_class: the head has one more class, "none of these", learned from examples labelled `oos`.
        multi_label: a text may have several intents, or none of them; then there is no out-of-scope class.
        key_information: slot names; tag 0 is O, tags 2i+1 and 2i+2 are B and I of slot i.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intents: tuple[str, ...]
    out_of_scope_class: bool = False
    multi_label: bool = False
    key_information: tuple[str, ...] = ()

    @classmethod
    def of(cls, intents: Iterable[str], key_information: Iterable[str], *, multi_label: bool = False) -> LabelSet:
        """The label set of the names seen in training; `oos` becomes the out-of-scope class.

        One text with two labels, written `a|b`, makes it a multi-label set, as does `multi_label`.
        """
        names = set(intents)
        if multi_label or is_multi_label(names):
            return cls(
                intents=tuple(sorted({name for intent in names for name in names_in(intent)})),
                multi_label=True,
                key_information=tuple(sorted(set(key_information))),
            )
        return cls(
            intents=tuple(sorted(names - {OUT_OF_SCOPE_LABEL})),
            out_of_scope_class=OUT_OF_SCOPE_LABEL in names,
            key_information=tuple(sorted(set(key_information))),
        )

    @property
    def intent_classes(self) -> int:
        """Logits of the intent head; a single class cannot be learned, so then there is no head."""
        classes = len(self.intents) + self.out_of_scope_class
        return classes if classes > 1 else 0

    @property
    def set_size(self) -> int:
        """Labels of a multi-label set, 0 where a text has one intent."""
        return self.intent_classes if self.multi_label else 0

    @property
    def tag_count(self) -> int:
        """Logits per token of the key-information head, 0 without slots."""
        return 1 + 2 * len(self.key_information) if self.key_information else 0

    def intent_id(self, name: str | None) -> int:
        """Class of an intent; `IGNORED` where there is no label or the model does not know it."""
        if name == OUT_OF_SCOPE_LABEL and self.out_of_scope_class:
            return len(self.intents)
        return self.intents.index(name) if name in self.intents else IGNORED

    def label_set(self, intent: str | None) -> list[int] | None:
        """Places of the labels of `a|b` in a multi-label set, unknown ones left out; None where nobody labelled."""
        if intent is None or not self.multi_label:
            return None
        return [self.intents.index(name) for name in names_in(intent) if name in self.intents]

    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the intent head."""
        return (*self.intents, OUT_OF_SCOPE_LABEL) if self.out_of_scope_class else self.intents

    def tag_ids(
        self,
        spans: Sequence[tuple[int, int]],
        word_starts: Sequence[bool],
        slots: Iterable[tuple[str, int, int]] | None,
        utterance: tuple[int, int],
        stretches: Sequence[range] | None = None,
    ) -> list[int]:
        """BIO tag of the first token of each word of the utterance; `IGNORED` for the others.

        Args:
            spans: character offsets of the tokens.
            word_starts: whether a token begins a word.
            slots: (name, start, end) in characters; a word belongs to the slot that its first token overlaps, and a
                word within which a slot begins teaches nothing. None: nobody has marked this text, so that all of it
                teaches nothing.
            utterance: what was marked, (start, end) in characters: earlier words of a session were not looked at.
            stretches: places of the tokens that are one piece of the text each; a slot begins anew in each, and a token
                in none, of a word that was cut through, is ignored. None: all are one.
        """
        first, last = utterance
        pieces = [range(len(spans))] if stretches is None else stretches
        tags = [IGNORED] * len(spans)
        for place in chain.from_iterable(pieces):
            if word_starts[place] and slots is not None and first <= spans[place][0] < last:
                tags[place] = 0
        for name, start, end in slots or ():
            if name not in self.key_information:
                continue
            begin = 2 * self.key_information.index(name) + 1
            for stretch in pieces:
                inside, word = False, None
                for place in stretch:
                    left, right = spans[place]
                    word = place if word_starts[place] else word
                    if not (left < end and right > start):
                        continue
                    if tags[place] != IGNORED:
                        tags[place] = begin + 1 if inside else begin
                        inside = True
                    elif word is not None and tags[word] == 0:
                        # It begins within a word, which is no slot and not free of one either.
                        tags[word] = IGNORED
        return tags
