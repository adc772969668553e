"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_BYTE_VALUES = 256


class ByteDropout(nn.Dropout):
    """Dropout by random bytes, eight to a draw of torch's generator, with the probability in steps of 1/256.

    torch draws a number for each element in one thread: of a training step of MiniLM on two cores that was a twelfth.
    Scaled by what is really kept, so that the mean stays. Other devices keep their own kernel.
    """

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Any shape in, the same out."""
        dropped = round(self.p * _BYTE_VALUES)
        if not self.training or states.device.type != "cpu" or not 0 < dropped < _BYTE_VALUES:
            return functional.dropout(states, self.p, self.training)
        count = states.numel()
        # Without an upper end all 64 bits are random.
        draws = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[:count].view(states.shape) >= dropped
        return states * kept.to(states.dtype).mul_(_BYTE_VALUES / (_BYTE_VALUES - dropped))


def with_byte_dropout(module: nn.Module) -> None:
    """Put `ByteDropout` in the place of every dropout inside `module`."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p))
