"""A training run in a process of its own, to be killed.

`python -m tests.fakes.train_process ENCODER WORK RESULT [PAUSE]`
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from tests.fakes.tiny_encoder import tiny_examples


def main(encoder: str, work: str, result: str, pause: str = "0") -> None:
    """Train with a checkpoint after every step; write the weights and the figures to the folder `result`.

    `pause` is seconds each time that progress is told: whoever kills the run is not too late, however busy the machine.
    """
    torch.set_num_threads(1)
    recipe = Recipe(epochs=4, batch_size=4, learning_rate=1e-3, patience=4)
    dataset = prepare_dataset(tiny_examples(), encoder)
    trained = fine_tune(
        dataset,
        work_dir=Path(work),
        recipe=recipe,
        seed=7,
        device="cpu",
        checkpoint_seconds=0.0,
        progress=lambda _: time.sleep(float(pause)),
    )
    folder = Path(result)
    folder.mkdir(parents=True)
    weights = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    history = [entry.model_dump() for entry in trained.history]
    (folder / "figures.json").write_text(json.dumps({"steps": trained.steps, "history": history}))


if __name__ == "__main__":
    main(*sys.argv[1:])
