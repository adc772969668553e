"""The command `predict`: texts in, JSON-ready answers out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intent_tracking.evaluation.labelled_files import counted
from intent_tracking.events.contract import Scene
from intent_tracking.settings import Device
from intent_tracking.text.cleaning import clean

if TYPE_CHECKING:
    from intent_tracking.inference import ModelInput, Prediction

# Texts that are read before they are answered.
_BLOCK = 1024


def predict_command(
    model: Path,
    texts: Iterable[str],
    *,
    scene: str | None = None,
    device: Device = "auto",
    batch_size: int = 64,
    top_k: int = 5,
    remark: Callable[[str], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Predict `texts` in order, a block of 1,024 at a time, as JSON-ready answers.

    `scene` is that of all of them; None: as `scene_for` has it. `remark` is told where the model learned others alone.

    Raises:
        ArtifactError: `model` is not a whole, unchanged artifact.
        ValueError: neither the contract nor the model knows `scene`.
    """
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.sessions.render import render_utterance

    predictor = IntentPredictor.load(model, device)
    scene = scene_for(scene, predictor.scenes)
    if remark is not None and scene not in predictor.scenes:
        remark(f"{model}: learned the scenes {', '.join(predictor.scenes)}; texts of {scene} are none of them")
    source = iter(texts)
    while block := list(islice(source, _BLOCK)):
        inputs = [render_utterance(text, scene) for text in block]
        for text, entry, answer in zip(
            block, inputs, predictor.predict(inputs, batch_size=batch_size, top_k=top_k), strict=True
        ):
            yield _answer(text, entry, answer, predictor.version)


def predict_lines(
    model: Path,
    lines: Iterable[bytes],
    *,
    scene: str | None = None,
    device: Device = "auto",
    top_k: int = 5,
    remark: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """`predict_command` of a file: each answer has the number of its `line`; blank lines have none.

    `remark` is told of lines without an answer.

    Raises:
        ArtifactError: `model` is not a whole, unchanged artifact.
        ValueError: neither the contract nor the model knows `scene`; after all answers: some lines are not UTF-8.
    """
    read = _Lines(lines, remark)
    for answer in predict_command(model, read, scene=scene, device=device, top_k=top_k, remark=remark):
        yield {"line": read.numbers.popleft(), **answer}
    if read.not_utf8:
        are = counted(len(read.not_utf8), "line is", "lines are")
        raise ValueError(f"{are} not UTF-8, line {read.not_utf8[0]} is the first: save them as UTF-8")


class _Lines:
    """The lines that hold words; `numbers` are those that were read and not yet answered."""

    def __init__(self, lines: Iterable[bytes], remark: Callable[[str], None]) -> None:
        self._lines, self._remark = lines, remark
        self.numbers: deque[int] = deque()
        self.not_utf8: list[int] = []

    def __iter__(self) -> Iterator[str]:
        blank = number = 0
        for number, line in enumerate(self._lines, start=1):
            try:
                text = line.decode("utf-8").removeprefix("\ufeff").strip()
            except UnicodeDecodeError:
                self._remark(f"line {number} is not UTF-8 and has no answer")
                self.not_utf8.append(number)
                continue
            if clean(text):
                self.numbers.append(number)
                yield text
            else:
                blank += 1
        if not number:
            self._remark("there is no line to answer")
        if blank:
            self._remark(f"{counted(blank, 'blank line has', 'blank lines have')} no answer")


def scene_for(asked: str | None, learned: Sequence[str]) -> str:
    """The scene of texts for a model of the `learned` scenes: the one that is `asked` for, else customer service.

    A model of one scene alone is asked in that one. A misspelt scene would be one that nobody knows.

    Raises:
        ValueError: what is asked for is neither one of the contract nor one that the model learned.
    """
    scene = asked or (learned[0] if len(learned) == 1 else Scene.CUSTOMER_SERVICE)
    known = list(dict.fromkeys([*map(str, Scene), *learned]))
    if scene not in known:
        raise ValueError(f"no scene is called {scene!r}; there are {', '.join(known)}")
    return str(scene)


def _answer(text: str, entry: ModelInput, answer: Prediction, version: str) -> dict[str, Any]:
    from intent_tracking.sessions.render import free_text_with_offsets

    # The model read scrubbed text: spans go back to the words as they were given.
    back = free_text_with_offsets(text).map_span.inverted()
    spans = [(span.name, *back(span.start, span.end)) for span in answer.key_information]
    return {
        "text": text,
        "scene": str(entry.scene),
        "language": entry.language,
        "intent": answer.label,
        "intents": [{"name": score.name, "probability": round(score.probability, 6)} for score in answer.intents],
        "out_of_scope": answer.out_of_scope,
        "key_information": [
            {"name": name, "value": text[start:end], "start": start, "end": end} for name, start, end in spans
        ],
        "model_version": version,
    }
