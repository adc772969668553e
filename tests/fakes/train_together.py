"""One of several processes that train together: `torchrun -m tests.fakes.train_together ENCODER WORK RESULT EPOCHS`.

Started without torchrun it is the same training in one process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pyarrow as pa
import torch
from safetensors.torch import save_file

from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.processes import WorkerFinished
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from tests.fakes.tiny_encoder import NOON, labelled


def together_dataset(encoder: str) -> TokenizedDataset:
    """Two scenes, and 25 texts with the names of the labels: the last batch of eight is one text, for two to share."""
    rows = [row.model_copy(update={"scene": scene}) for scene in ("search", "cart") for row in labelled()]
    split: dict[str, list[int]] = {"validation": list(range(0, len(rows), 6))}
    split["train"] = [place for place in range(len(rows)) if place % 6][::2][:22]
    tables = [
        examples_from_labelled([rows[place] for place in places], name, NOON)  # type: ignore[arg-type]
        for name, places in split.items()
    ]
    return prepare_dataset(pa.concat_tables(tables), encoder)


def main(encoder: str, work: str, result: str, epochs: str, pause: str = "0") -> None:
    """Train without dropout, with a checkpoint after every step; write weights and figures to the folder `result`.

    `pause` is seconds each time that progress is told: whoever kills the run is not too late, however busy the machine.
    """
    torch.set_num_threads(1)
    recipe = Recipe(epochs=int(epochs), batch_size=8, learning_rate=1e-3, patience=100, dropout=0.0, adapter_width=4)
    dataset = together_dataset(encoder)
    try:
        trained = fine_tune(
            dataset,
            work_dir=Path(work),
            recipe=recipe,
            seed=7,
            device="cpu",
            checkpoint_seconds=0.0,
            progress=lambda _: time.sleep(float(pause)),
        )
    except WorkerFinished as finished:
        sys.stdout.write(f"{finished}\n")
        return
    folder = Path(result)
    folder.mkdir(parents=True)
    weights = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    start = assemble(dataset, champion=None, dropout=0.0, seed=7, adapter_width=4)
    save_file({name: value.contiguous() for name, value in start.state_dict().items()}, folder / "start.safetensors")
    history = [entry.model_dump() for entry in trained.history]
    (folder / "figures.json").write_text(json.dumps({"steps": trained.steps, "history": history}))


if __name__ == "__main__":
    main(*sys.argv[1:])
