"""The intent head: a text belongs to the label whose prototype it lies closest to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

# Logits are cosines times this. At 20 the softmax over 150 labels can reach .99; 30 learned no better from few labels.
SCALE = 20.0


class IntentHead(nn.Module):
    """Cosine to one prototype a label, times a fixed scale, plus a bias (Gidaris and Komodakis 2018).

    A sentence encoder puts texts of one intent close together before it is fine-tuned: prototypes that start as the
    means of their texts are right from the first step, so that training has little to undo.
    """

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, hidden) * hidden**-0.5)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """pooled [B, H] -> logits [B, K], in float32: cosines close to 1 must stay apart.

        Autocast would take the product in bf16, in which logits above 8 are sixteenths: labels would tie.
        """
        with torch.autocast(pooled.device.type, enabled=False):
            direction = functional.normalize(pooled.float(), dim=1)
            prototypes = functional.normalize(self.weight.float(), dim=1)
            return SCALE * direction @ prototypes.t() + self.bias.float()

    def expect_few(self, rows: Sequence[int]) -> None:
        """Start these labels' own decisions near a half at a cosine of a half: otherwise each would always be given."""
        with torch.no_grad():
            self.bias[list(rows)] = -SCALE / 2

    def start_from(self, prototypes: torch.Tensor, rows: Sequence[int]) -> None:
        """Put `prototypes` [K, H] into these rows; a row of zeros, a label without a text, leaves its row as it is."""
        with torch.no_grad():
            for row in rows:
                if prototypes[row].any():
                    self.weight[row] = prototypes[row]


def prototypes_of(pooled: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean direction of each label's texts: pooled [N, H], labels bool [N, K] -> [K, H], zeros without a text."""
    return functional.normalize(labels.float().t() @ functional.normalize(pooled.float(), dim=1), dim=1)
