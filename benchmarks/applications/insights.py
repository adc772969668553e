"""Insights on the simulator's drift: are its new words among the rising ones, is its new intent among the themes?

Two shops of one seed are simulated, one with the drift of products, wording and intents in its last week, one without.
A word is new when enough shoppers of the drifted week use it and nobody in the five weeks of the other shop does. A
report word is right when it has a new word, or is used at least twice as often as in the same week of the other shop.

For what was not understood a model stands in that needs no training: a message has the intent of the most similar
message of the weeks before (MiniLM, mean over the tokens), and is out of scope where that is less similar than all but
a twentieth of those messages are to each other.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import orjson
import torch
from tokenizers import Tokenizer

from benchmarks.applications.lines import Line
from intent_tracking.applications.insights.material import texts_of
from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.applications.insights.rising import rising_words
from intent_tracking.applications.insights.themes import clusters
from intent_tracking.applications.insights.words import Said, Spoken, spoken
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.events.ingest import collect
from intent_tracking.events.simulator import DRIFT_INTENTS, SimulationConfig, simulate
from intent_tracking.events.validate import validate
from intent_tracking.modeling.encoder import find_encoder, load_encoder
from intent_tracking.settings import PACKAGED_ENCODER
from intent_tracking.tables import DayTable
from intent_tracking.text.linguistics import load_linguistics

# Day, shopper, text, true intent.
Message = tuple[date, str, str, str]
# Shopper and day of each use of a word.
Users = dict[str, set[tuple[str, date]]]
POLICY = InsightsPolicy()
DRIFT_DAY = 38
SHOP = SimulationConfig(days=DRIFT_DAY + POLICY.days, sessions_per_day=150, shoppers=1500, seed=11, later_from=3)
KNOWN_MESSAGES = 1200


def run(data: DataFolders) -> list[Line]:
    """Measure; the data sets are not needed."""
    analysers = {"en": load_linguistics("en"), "zh": load_linguistics("zh")}
    with tempfile.TemporaryDirectory() as folder:
        drifted = Path(folder) / "drifted"
        now, before, messages = _shop(replace(SHOP, drift_from=DRIFT_DAY), drifted)
        calm, calm_before, _ = _shop(SHOP, Path(folder) / "calm")
    now_words, before_words = spoken(now, analysers), spoken(before, analysers)
    calm_words, calm_before_words = spoken(calm, analysers), spoken(calm_before, analysers)
    found = [word.term for word in rising_words(now_words, before_words, POLICY)]
    used, used_before, calm_used = _users(now_words), _users(before_words), _users(calm_words)
    old = {word for text in [*calm_words, *calm_before_words] for word in text.words}
    shoppers = {word: {shopper for shopper, _ in pairs} for word, pairs in used.items()}
    enough = {word for word in used if len(shoppers[word]) >= POLICY.least_shoppers}
    new = {word for word in enough & {w for text in now_words for w in text.words} if word not in old}
    simple = _tripled(used, used_before)
    false = rising_words(calm_words, calm_before_words, POLICY)
    noticed, gathered, purity = _themes(messages)
    return [
        Line("new words among the rising (recall)", _recall(found, new), (("ratio of 3", _recall(simple, new)),), 0.9),
        Line(
            "rising words that are right (precision)",
            _precision(found, new, used, calm_used),
            (("ratio of 3", _precision(simple, new, used, calm_used)),),
            0.9,
            note=f"{len(found)} rising, {len(new)} new words",
        ),
        Line(
            "rising words in the week without drift",
            len(false),
            (("ratio of 3", len(_tripled(calm_used, _users(calm_before_words)))),),
            target=5,
            better="lower",
        ),
        Line("messages of the new intent that the stand-in does not know", noticed),
        Line("of them in themes that are mostly theirs", gathered, target=0.5),
        Line("most frequent intent of a theme, share of its texts", purity, target=0.7),
    ]


def _tripled(now: Users, before: Users) -> list[str]:
    """Words with three times as many shoppers a day: what a shop would look at without statistics."""
    days = POLICY.history_days / POLICY.days
    return [
        word
        for word, pairs in now.items()
        if len({shopper for shopper, _ in pairs}) >= POLICY.least_shoppers
        and len(pairs) * days >= 3 * max(1, len(before.get(word, ())))
    ]


def _shop(config: SimulationConfig, home: Path) -> tuple[list[Said], list[Said], list[Message]]:
    """Texts of the last week, of the weeks before, and each message of both."""
    simulate(config, home)
    days = [config.date_of(number) for number in range(config.days)]
    events = DayTable(home / "tables", "validated_events", EVENT_SCHEMA)
    for day, raw in collect(home, days):
        events.write(day, validate(raw, day, known_ids=set()).accepted)
    last = days[-1]
    intents = {
        row["event_id"]: row["intent"]
        for path in (home / "truth").glob("*.jsonl")
        for row in map(orjson.loads, path.read_bytes().splitlines())
        if row["kind"] == "message"
    }
    messages = [
        (day, row["shopper_id"], row["text"], intents[row["event_id"]])
        for day in [*POLICY.before(last), *POLICY.newest(last)]
        for row in events.read([day], columns=["event_id", "shopper_id", "text"]).to_pylist()
        if row["event_id"] in intents
    ]
    now = texts_of(events, POLICY.newest(last), POLICY.most_texts)
    return now, texts_of(events, POLICY.before(last), POLICY.most_texts), messages


def _users(texts: Sequence[Spoken]) -> Users:
    used: defaultdict[str, set[tuple[str, date]]] = defaultdict(set)
    for text in texts:
        for term in text.terms():
            used[term].add((text.said.shopper, text.said.day))
    return used


def _parts(term: str, words: set[str]) -> bool:
    """Whether a term is, or as a phrase holds, one of `words`."""
    if term in words or not words.isdisjoint(term.split()):
        return True
    return any(term[:at] in words or term[at:] in words for at in range(1, len(term)) if not term.isascii())


def _recall(found: Sequence[str], new: set[str]) -> float:
    covered = {word for word in new if any(word == term or _parts(term, {word}) for term in found)}
    return len(covered) / len(new)


def _precision(found: Sequence[str], new: set[str], used: Users, calm: Users) -> float:
    right = [term for term in found if _parts(term, new) or len(used[term]) >= 2 * len(calm.get(term, ()))]
    return len(right) / len(found)


def _themes(messages: Sequence[Message]) -> tuple[float, float, float]:
    """Of what was not understood: the share of the new intent, the share of it that lies in themes which it is most of,
    and the mean share of a theme's most frequent intent.
    """
    newest = set(POLICY.newest(max(day for day, *_ in messages)))
    known = _embedded([text for day, _, text, _ in messages if day not in newest][-KNOWN_MESSAGES:])
    asked = [each for each in messages if each[0] in newest]
    vectors = _embedded([text for _, _, text, _ in asked])
    among = known @ known.T
    np.fill_diagonal(among, -1)
    familiar = np.quantile(among.max(axis=1), 0.05)
    strange = np.flatnonzero((vectors @ known.T).max(axis=1) < familiar).tolist()
    new = sum(intent in DRIFT_INTENTS for *_, intent in asked)
    labels = clusters(vectors[strange], POLICY.least_shoppers).tolist()
    intents: dict[int, Counter[str]] = defaultdict(Counter)
    for label, row in zip(labels, strange, strict=True):
        intents[label][asked[row][3]] += 1
    strange_new = sum(counts[intent] for counts in intents.values() for intent in DRIFT_INTENTS)
    intents.pop(-1, None)
    gathered = sum(
        counts[intent] for counts in intents.values() for intent in DRIFT_INTENTS if 2 * counts[intent] > counts.total()
    )
    purity = np.mean([max(counts.values()) / counts.total() for counts in intents.values()])
    return strange_new / new, gathered / strange_new, float(purity)


def _embedded(texts: Sequence[str]) -> np.ndarray:
    """(texts, width), of length 1."""
    base = find_encoder(PACKAGED_ENCODER)
    encoder = load_encoder(base).eval()
    tokenizer = Tokenizer.from_file(str(base.tokenizer_file))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding()
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            encoded = tokenizer.encode_batch(list(texts[start : start + 64]))
            ids = torch.tensor([each.ids for each in encoded])
            mask = torch.tensor([each.attention_mask for each in encoded])
            states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            vectors.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    return np.concatenate(vectors)
