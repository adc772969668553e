"""The curves of a training, for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Board:
    """TensorBoard's log of one training; without a folder nothing is written."""

    def __init__(self, folder: Path | None, step: int) -> None:
        """Write to `folder`, over what a killed training left there from `step` on."""
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step)

    def write(self, name: str, value: float, step: int) -> None:
        """Note one figure of a step."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()
