"""Readers of the sets of dialogues: MultiDoGO (English, six domains) and CrossWOZ (Chinese)."""

from __future__ import annotations

import json
import random
import zipfile
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from intent_tracking.datasets.rows import SPLITS, Span, Utterance, UtteranceSet
from intent_tracking.datasets.utterances import read_rows

MULTIDOGO_DOMAINS: Final = ("airline", "fastfood", "finance", "insurance", "media", "software")
_NO_SLOT = "O"

# The split of CrossWOZ by dialogue; the seed is part of its definition.
_CROSSWOZ_SEED = 0
_CROSSWOZ_TRAIN, _CROSSWOZ_DEV = 800, 100
# Which act of a turn says what the user is after, and which greeting word when there is no other act.
_MAIN_ACTS: Final = ("Select", "Request", "Inform")
_COURTESIES: Final = ("bye", "thank", "greet")


def read_multidogo(folder: Path, domains: Sequence[str] = MULTIDOGO_DOMAINS) -> UtteranceSet:
    """Customer turns of `domains` with intents and slots, official turn-level splits; the domain is the scene.

    A turn with two intents keeps both as one label, joined by `<div>` as in the files. Slots are marked word by word
    without a sign of where one begins, so neighbours of one name are one span. Empty turns are left out and counted.
    """
    left_out: Counter[str] = Counter()
    splits: dict[str, list[Utterance]] = {name: [] for name in SPLITS}
    for domain in domains:
        for name in SPLITS:
            for row in read_rows(folder / domain / f"{name}.tsv", "\t"):
                if not row["utterance"].strip():
                    left_out[f"{name}: empty turn"] += 1
                    continue
                splits[name].append(
                    Utterance(
                        row["utterance"],
                        row["intent"],
                        scene=domain,
                        spans=_word_spans(row["utterance"], row["slot-labels"].split(" ")),
                        dialogue=row["conversationId"],
                    )
                )
    return UtteranceSet(tuple(splits["train"]), tuple(splits["dev"]), tuple(splits["test"]), dict(left_out))


def _word_spans(text: str, labels: Sequence[str]) -> tuple[Span, ...]:
    """Spans from one label a word; words are what single blanks part, a line break is a word of its own."""
    spans: list[Span] = []
    position, before = 0, _NO_SLOT
    for word, label in zip(text.split(" "), labels, strict=True):
        if label != _NO_SLOT and label == before:
            spans[-1] = Span(label, spans[-1].start, position + len(word))
        elif label != _NO_SLOT and word:
            spans.append(Span(label, position, position + len(word)))
        before = label if word else _NO_SLOT
        position += len(word) + 1
    return tuple(spans)


def read_crosswoz(folder: Path) -> UtteranceSet:
    """User turns of the 1,000 validation and test dialogues, split by dialogue into 800, 100 and 100.

    The intent is the turn's main act with its domain: Select before Request before Inform, else the courtesy (bye
    before thank before greet); among domains the one with most acts, then the first by name. Spans are the informed
    values that stand in the text word for word. Turns without any act are left out and counted.
    """
    dialogues = _crosswoz_dialogues(folder)
    random.Random(_CROSSWOZ_SEED).shuffle(dialogues)
    edges = (0, _CROSSWOZ_TRAIN, _CROSSWOZ_TRAIN + _CROSSWOZ_DEV, len(dialogues))
    left_out: Counter[str] = Counter()
    splits: list[tuple[Utterance, ...]] = []
    for name, start, end in zip(SPLITS, edges, edges[1:], strict=False):
        rows: list[Utterance] = []
        for identity, dialogue in dialogues[start:end]:
            for turn in dialogue["messages"]:
                if turn["role"] != "usr":
                    continue
                if not turn["dialog_act"]:
                    left_out[f"{name}: turn without an act"] += 1
                    continue
                text, acts = turn["content"], turn["dialog_act"]
                rows.append(Utterance(text, main_act(acts), "zh", spans=_value_spans(text, acts), dialogue=identity))
        splits.append(tuple(rows))
    train, dev, test = splits
    return UtteranceSet(train, dev, test, dict(left_out))


def _crosswoz_dialogues(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every dialogue with its id, by id."""
    dialogues: list[tuple[str, dict[str, Any]]] = []
    for name in ("val", "test"):
        with zipfile.ZipFile(folder / f"{name}.json.zip") as archive:
            dialogues.extend(json.loads(archive.read(f"{name}.json")).items())
    return sorted(dialogues, key=lambda pair: pair[0])


def main_act(acts: Sequence[Sequence[str]]) -> str:
    """One label of a turn's acts `[act, domain, slot, value]`; see `read_crosswoz`."""
    for act in _MAIN_ACTS:
        domains = Counter(entry[1] for entry in acts if entry[0] == act)
        if domains:
            return f"{act}-{min(domains, key=lambda domain: (-domains[domain], domain))}"
    said = {entry[1] for entry in acts}
    return next(word for word in _COURTESIES if word in said)


def _value_spans(text: str, acts: Sequence[Sequence[str]]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for act, domain, slot, value in acts:
        place = text.find(value) if act == "Inform" and value not in ("", "none", "是", "否") else -1
        taken = any(place < span.end and span.start < place + len(value) for span in spans)
        if place >= 0 and not taken:
            spans.append(Span(f"{domain}-{slot}", place, place + len(value)))
    return tuple(sorted(spans, key=lambda span: span.start))


def crosswoz_texts(folder: Path, dialogues: Collection[str]) -> tuple[str, ...]:
    """What both sides say in `dialogues`, without labels: unlabelled logs to adapt an encoder on."""
    return tuple(
        turn["content"]
        for identity, dialogue in _crosswoz_dialogues(folder)
        if identity in dialogues
        for turn in dialogue["messages"]
    )
