"""The suite of the training set, and the one thing that no suite of single rows can see: a leak between the splits."""

import dagster as dg
import pyarrow.compute as pc

from dagster_project.suite_checks import suite_of, verdict_result
from intent_tracking.settings import Settings


@dg.asset_check(asset="training_examples", blocking=True)
def training_examples_valid(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """`training_examples` meets its suite, `expectations/training_examples.py`."""
    from dagster_project.defs.training.examples import read_examples

    return verdict_result(suite_of("training_examples", read_examples(settings)))


@dg.asset_check(asset="training_examples", blocking=True)
def training_examples_unleaked(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """No shopper stands in two splits, and what is held out is younger than what is learned from."""
    from dagster_project.defs.training.examples import read_examples

    examples = read_examples(settings)
    dated = examples.filter(pc.is_valid(examples["shopper_id"]))
    splits = {name: dated.filter(pc.equal(dated["split"], name)) for name in ("train", "validation", "test")}
    shoppers = {name: set(part["shopper_id"].to_pylist()) for name, part in splits.items()}
    shared = (
        (shoppers["train"] & shoppers["test"])
        | (shoppers["train"] & shoppers["validation"])
        | (shoppers["validation"] & shoppers["test"])
    )
    newest, oldest = pc.max(splits["train"]["time"]).as_py(), pc.min(splits["test"]["time"]).as_py()
    in_order = newest is None or oldest is None or newest < oldest
    return dg.AssetCheckResult(
        passed=not shared and in_order,
        metadata={
            "shoppers_in_two_splits": len(shared),
            "examples_of_them": ", ".join(sorted(shared)[:10]) or "none",
            "newest_learned_from": str(newest),
            "oldest_test_example": str(oldest),
        },
    )
