"""Several processes that train one model: what they add up, and what they agree on. Accelerate stands behind this."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class WorkerFinished(Exception):  # noqa: N818 (no error: the work of this process is done)
    """This process only helped: the trained model is with process 0."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training, as one of them sees them; alone, nothing is exchanged.

    Every method but `main` must be called by all of them, in the same order.

    Attributes:
        device: where this process trains.
        rank: its number, from 0.
        count: how many there are.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this process decides and writes."""
        return self.rank == 0

    def add_up(self, parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor) -> torch.Tensor:
        """Replace each gradient by the sum over the processes, and return that of the loss.

        A parameter that has no gradient anywhere keeps none, so that the optimiser passes over it as it would alone.
        """
        if self.count == 1:
            return loss.detach()
        import torch
        from accelerate.utils import reduce

        here = [value.grad is not None for value in parameters]
        parts = [
            (torch.zeros_like(value) if value.grad is None else value.grad).flatten().float() for value in parameters
        ]
        # One message: the gradients, who has one, and the loss.
        flags = torch.tensor(here, dtype=torch.float32, device=self.device)
        total: torch.Tensor = reduce(torch.cat([*parts, flags, loss.detach().float().reshape(1)]), "sum")
        *summed, present, whole = torch.split(total, [*(len(part) for part in parts), len(flags), 1])
        # To read the flags is to wait for the device: only where something is missing here.
        somewhere = here if all(here) else (present > 0).tolist()
        for value, gradient, has in zip(parameters, summed, somewhere, strict=True):
            value.grad = gradient.view_as(value).to(value.dtype) if has else None
        return whole[0]

    def agree(self, text: str) -> str:
        """What process 0 said."""
        if self.count == 1:
            return text
        import torch
        from accelerate.utils import broadcast

        data = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        length = int(broadcast(torch.tensor([len(data)], device=self.device))[0])
        told = broadcast(data if self.main else torch.zeros(length, dtype=torch.uint8, device=self.device))
        return bytes(told.tolist()).decode()

    def agree_on(self, number: float) -> float:
        """The number of process 0."""
        if self.count == 1:
            return number
        import torch
        from accelerate.utils import broadcast

        return float(broadcast(torch.tensor([number], dtype=torch.float64, device=self.device))[0])

    def start_equal(self, model: torch.nn.Module) -> None:
        """Give every process the weights of process 0."""
        if self.count == 1:
            return
        from accelerate.utils import broadcast

        for value in (*model.parameters(), *model.buffers()):
            value.data.copy_(broadcast(value.detach().clone().contiguous()))

    def part(self) -> None:
        """Leave the others at the end.

        Raises:
            WorkerFinished: in every process but process 0.
        """
        if self.count == 1:
            return
        from accelerate import PartialState

        PartialState().destroy_process_group()
        if not self.main:
            raise WorkerFinished(f"process {self.rank} has helped to train; process 0 has the model")


def launched() -> bool:
    """Whether torchrun, or Accelerate by it, started this process beside others."""
    import torch

    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def speaks() -> bool:
    """Whether this process is the one of its machine that tells the user how it goes; before they join."""
    import torch

    return not launched() or torch.distributed.get_node_local_rank() == 0


def join(device: torch.device) -> Processes:
    """The processes that were launched together, each on a device of its own of the type of `device`; else this alone.

    Raises:
        ValueError: they have trained already: one launch is one training.
    """
    if not launched():
        return Processes(device)
    import torch

    joined = _joined(device.type)
    if joined.count > 1 and not torch.distributed.is_initialized():
        raise ValueError("these processes have trained a model already: launch them again for another training")
    return joined


@functools.cache
def _joined(kind: str) -> Processes:
    from accelerate import PartialState

    state = PartialState(cpu=kind == "cpu")
    return Processes(state.device, state.process_index, state.num_processes)
