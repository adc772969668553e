"""Scene adapters: what a scene changes about the meaning of the same words, learned inside one shared encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from intent_tracking.modeling.packing import Packing, packed_attention, position_ids

# The last layers, where meaning is made: two of MiniLM's six cost 2% of a training step, all six 7%. Dropping adapters
# from lower layers loses little (Ruecklé et al. 2021, "AdapterDrop").
ADAPTED_LAYERS = 2


class SceneAdapter(nn.Module):
    """A bottleneck for each scene after one layer, added to its output (Pfeiffer et al. 2021, "AdapterFusion").

    It starts as the identity: `up` is zero. All scenes start from the same `down`, so that their units stay comparable
    and a new scene may start from the mean of the others. Weights are gathered by row: one batch may mix scenes, and
    the cost does not grow with their number.
    """

    def __init__(self, hidden: int, width: int, scenes: int) -> None:
        super().__init__()
        self.down = nn.Parameter((torch.randn(1, hidden, width) * hidden**-0.5).repeat(scenes, 1, 1))
        self.up = nn.Parameter(torch.zeros(scenes, width, hidden))

    def forward(self, states: torch.Tensor, scenes: torch.Tensor) -> torch.Tensor:
        """states [B, T, H], scenes int64 [B] with 0 for none -> [B, T, H]; rows of scene 0 come back as they are."""
        row = (scenes - 1).clamp(min=0)
        inner = nn.functional.gelu(torch.bmm(states, self.down[row].to(states.dtype)))
        added = torch.bmm(inner, self.up[row].to(inner.dtype))
        return states + added * (scenes > 0).to(added.dtype)[:, None, None]

    def over_tokens(self, states: torch.Tensor, scenes: torch.Tensor) -> torch.Tensor:
        """The same for a packed batch: states [1, N, H], the scene of each token int64 [N] -> [1, N, H].

        Every token goes through the adapters of all scenes, side by side in one narrow product, and keeps its own:
        weights gathered for each token would be far larger than the states.
        """
        known, _, width = self.down.shape
        down = self.down.transpose(0, 1).flatten(1).to(states.dtype)
        own = (scenes.unsqueeze(1) == torch.arange(1, known + 1, device=scenes.device)).repeat_interleave(width, 1)
        inner = nn.functional.gelu(states @ down)
        return states + (inner * own.to(inner.dtype)) @ self.up.flatten(0, 1).to(inner.dtype)

    def grow_from(self, old: SceneAdapter, had: Sequence[str], has: Sequence[str]) -> None:
        """Take what `old` learned for the scenes that both know; a new scene starts from the mean of the old ones."""
        with torch.no_grad():
            for name in ("down", "up"):
                source, target = getattr(old, name), getattr(self, name)
                for row, scene in enumerate(has):
                    target[row] = source[had.index(scene)] if scene in had else source.mean(0)


def scene_adapters(hidden: int, width: int, scenes: int, layers: int) -> nn.ModuleList:
    """The adapters of the last of `layers` layers."""
    return nn.ModuleList(SceneAdapter(hidden, width, scenes) for _ in range(min(ADAPTED_LAYERS, layers)))


def grow_adapters(old: nn.ModuleList, new: nn.ModuleList, had: Sequence[str], has: Sequence[str]) -> None:
    """`SceneAdapter.grow_from` for every adapted layer."""
    for before, after in zip(old, new, strict=True):
        cast("SceneAdapter", after).grow_from(cast("SceneAdapter", before), had, has)


def encode(
    encoder: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    adapters: nn.ModuleList | None,
    scenes: torch.Tensor,
    packing: Packing | None = None,
) -> torch.Tensor:
    """Last hidden states [B, T, H] of `encoder` with `adapters` after its last layers; equal to its own without them.

    The loop over the layers is ours because none of the supported encoders lets anything stand between two layers.

    Args:
        encoder: one of `encoder.SUPPORTED`, built by `build_encoder`.
        ids, mask: int64 [B, T]; [1, N] of a packed batch, whose states are [1, N, H].
        adapters: for the last layers, in order; None: there are none.
        scenes: int64 [B], 0 for none.
        packing: of a packed batch; mpnet takes none.
    """
    kind = encoder.config.model_type
    stack = encoder.transformer if kind == "distilbert" else encoder.encoder
    if packing is not None:
        states: torch.Tensor = encoder.embeddings(input_ids=ids, position_ids=position_ids(encoder, packing))
    else:
        states = encoder.embeddings(input_ids=ids)
    if hasattr(encoder, "embeddings_project"):
        states = encoder.embeddings_project(states)
    if packing is not None:
        with packed_attention(encoder.config):
            return _through(stack.layer, states, adapters, scenes, (), packing)
    seen = mask[:, None, None, :] > 0
    if encoder.config._attn_implementation == "eager":
        # Attention in products adds the mask to the scores: True would be one more for a word, and no less for padding.
        seen = torch.zeros_like(seen, dtype=states.dtype).masked_fill(~seen, torch.finfo(states.dtype).min)
    bias = (stack.compute_position_bias(states),) if kind == "mpnet" else ()
    return _through(stack.layer, states, adapters, scenes, (seen, *bias), None)


def _through(
    layers: Any,
    states: torch.Tensor,
    adapters: nn.ModuleList | None,
    scenes: torch.Tensor,
    extra: tuple[torch.Tensor, ...],
    packing: Packing | None,
) -> torch.Tensor:
    adapters = adapters if adapters is not None else nn.ModuleList()
    first = len(layers) - len(adapters)
    keywords = {} if packing is None else {"packing": packing}
    for place, layer in enumerate(layers):
        output = layer(states, *extra, **keywords)
        states = output[0] if isinstance(output, tuple) else output
        if place >= first:
            adapter = cast("SceneAdapter", adapters[place - first])
            states = adapter(states, scenes) if packing is None else adapter.over_tokens(states, scenes[packing.texts])
    return states
