"""Words that speak for an intent by themselves: a linear model of tokens and their pairs beside the encoder.

The encoder generalises over wordings, and so blurs the single word in which two intents of one topic differ. A linear
model holds on to it ("wide and deep", Cheng et al. 2016).
"""

from __future__ import annotations

import torch
from torch import nn

# Tokens and pairs share this many rows, and the linear model learns them as they are shared: of the 24,000 that
# Banking77 has, half meet another in their row. With four times the rows the table would outgrow the int8 encoder.
ROWS = 2**15
_SPREAD = (2_654_435_761, 1_000_003, 7_919)


class LexicalHead(nn.Module):
    """Adds to each label's logit what the tokens of a text and their pairs say for it.

    A text is the vector of its tokens' and pairs' inverse document frequencies, of length one. Rows are found by
    arithmetic on token ids, so that no dictionary travels with the model. Nothing in it is trained by gradients.
    """

    weight: torch.Tensor
    frequency: torch.Tensor
    bias: torch.Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Half precision: the table would be the largest part of a small artifact, and its rows are only added up.
        self.register_buffer("weight", torch.zeros(ROWS, classes, dtype=torch.float16))
        self.register_buffer("frequency", torch.zeros(ROWS))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """ids and mask int64 [B, T] -> float32 [B, K], under autocast too."""
        rows = torch.cat([rows_of_tokens(ids), rows_of_pairs(ids)], dim=1)
        real = torch.cat([mask, mask[:, 1:]], dim=1).to(self.frequency.dtype)
        values = self.frequency[rows] * real
        length = values.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        with torch.autocast(ids.device.type, enabled=False):
            said: torch.Tensor = torch.bmm((values / length).unsqueeze(1), self.weight[rows].float()).squeeze(1)
        return said + self.bias


def rows_of_tokens(ids: torch.Tensor) -> torch.Tensor:
    """The row of each token: int64 [B, T] -> [B, T]."""
    return (ids * _SPREAD[0]) % ROWS


def rows_of_pairs(ids: torch.Tensor) -> torch.Tensor:
    """The row of each pair of neighbours: int64 [B, T] -> [B, T - 1]."""
    return (ids[:, :-1] * _SPREAD[1] + ids[:, 1:] * _SPREAD[2] + 1) % ROWS
