"""Predictions of texts that were asked for before: the same model gives the same text the same answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from bentos.intent_service.releases import Serving
from intent_tracking.inference import ModelInput, Prediction


class PredictionCache:
    """The predictions of one release, those least recently asked for forgotten first. Safe for several threads.

    Only inputs without user features belong in it. Another release begins with an empty cache, even where its model is
    the same: what was published last is never answered from what was published before.

    Args:
        size: most predictions, of about 4 kB each; 0: nothing is kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._serving: Serving | None = None
        self._known: OrderedDict[ModelInput, Prediction] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, serving: Serving, inputs: Sequence[ModelInput]) -> list[Prediction | None]:
        """What `serving` answered to each input before; None where that is not known."""
        if not self._size:
            return [None] * len(inputs)
        with self._lock:
            if serving is not self._serving:
                return [None] * len(inputs)
            found = [self._known.get(entry) for entry in inputs]
            for entry, prediction in zip(inputs, found, strict=True):
                if prediction is not None:
                    self._known.move_to_end(entry)
            return found

    def keep(self, serving: Serving, inputs: Sequence[ModelInput], predictions: Sequence[Prediction]) -> None:
        """Remember what `serving` answered."""
        if not self._size:
            return
        with self._lock:
            if serving is not self._serving:
                self._serving = serving
                self._known.clear()
            self._known.update(zip(inputs, predictions, strict=True))
            while len(self._known) > self._size:
                self._known.popitem(last=False)
