"""One optimiser step: from places of examples to new weights, on one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from intent_tracking.modeling.batching import ExampleArrays, in_other_scenes, make_batch, pack, share_of
from intent_tracking.modeling.checkpoint import trainable
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.objective import loss_of, rows_of, scene_consistency
from intent_tracking.modeling.processes import Processes
from intent_tracking.modeling.recipe import Recipe

_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Stepper:
    """What every step of a training has in common.

    Attributes:
        optimizer: from `make_optimizer`.
        by_class: class weights [K], on the device.
        scene_tokens: token of each scene, int64 [S + 1], on the CPU; None: nothing is shown in another scene.
        packed: whether batches are packed; see `packing`.
    """

    model: IntentModel
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    by_class: torch.Tensor
    scene_tokens: torch.Tensor | None
    processes: Processes
    packed: bool
    seed: int

    def step(
        self, examples: ExampleArrays, places: Sequence[int], number: int, rate: float
    ) -> tuple[torch.Tensor, int]:
        """Learn from the examples at `places`, each process from its share of them.

        Args:
            examples: of the training split, the same in every process.
            places: the whole batch.
            number: of the step: dropout depends on it, not on what ran before, so a resumed run draws the same masks.
            rate: share of the peak learning rate.

        Returns:
            The loss of the whole batch, which may not be computed yet, and its tokens, padding left out.
        """
        recipe, device, rank = self.recipe, self.processes.device, self.processes.rank
        model = self.model.train()
        seed = self.seed * 1_000_003 + number
        torch.manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        whole = make_batch(examples, places, _CPU)
        shown, again = whole, torch.zeros(0, dtype=torch.long)
        if self.scene_tokens is not None:
            shown, again = in_other_scenes(whole, self.scene_tokens)
        shown_again = len(again)
        shown, again = share_of(shown, again, rank, self.processes.count)
        if rank:
            torch.manual_seed(seed + (rank << 40))
        batch = (pack(shown) if self.packed else shown).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.bf16):
            output = model(batch.ids, batch.mask, batch.features, batch.scenes, batch.packing)
        loss = loss_of(output, batch, self.by_class, recipe)
        if len(again):
            own, other = rows_of(output, again.to(device)), rows_of(output, slice(batch.own, None))
            drift = scene_consistency(own, other, multi_label=bool(batch.label_sets.shape[1]))
            loss = loss + recipe.consistency_weight * (len(again) / shown_again) * drift
        self.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        parameters = list(trainable(model).values())
        total = self.processes.add_up(parameters, loss)
        if any(value.grad is not None for value in parameters):
            torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            self.optimizer.step()
        return total, whole.tokens
