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
    """Of the shoppers in the test split, and of days as late as its, nothing is in the splits that are learned from.

    It compares the splits of this table: what the champion, from which a training may start, saw before is not in it.
    """
    from dagster_project.defs.training.examples import read_examples

    examples = read_examples(settings)
    dated = examples.filter(pc.is_valid(examples["shopper_id"]))
    is_test = pc.equal(dated["split"], "test")
    tested, seen = dated.filter(is_test), dated.filter(pc.invert(is_test))
    shared = set(tested["shopper_id"].to_pylist()) & set(seen["shopper_id"].to_pylist())
    newest, oldest = pc.max(seen["time"]).as_py(), pc.min(tested["time"]).as_py()
    in_order = newest is None or oldest is None or newest < oldest
    return dg.AssetCheckResult(
        passed=not shared and in_order,
        metadata={
            "shared_shoppers": len(shared),
            "newest_learned_from": str(newest),
            "oldest_tested": str(oldest),
        },
    )
