"""The retraining, from settled days to a live model with the gate in between, and the search for its recipe."""

import dagster as dg

# A retraining that drift asked for carries the end of the newest window that it was asked for, as ISO time.
DRIFT_WINDOW_TAG = "intent/drift_window_end"
# Runs that train wait for each other in the queue; `dagster.yaml` says how many may run at once.
USES_GPU = {"intent/gpu": "training"}

retrain_job = dg.define_asset_job(
    "retrain_job",
    selection=dg.AssetSelection.assets(
        "training_examples",
        "tokenized_sessions",
        "intent_model",
        "intent_model_evaluation",
        "intent_bento",
        "deployed_intent_service",
    ),
    description=(
        "Builds the training set of settled days, trains a challenger, holds it against the champion, and packages and "
        "deploys it if the gate accepts it."
    ),
    tags={"dagster/max_runtime": str(6 * 3600), "intent/exclusive": "retraining", **USES_GPU},
)

search_job = dg.define_asset_job(
    "search_job",
    selection=dg.AssetSelection.assets("recipe_search"),
    description=(
        "Searches for a better training recipe on the tokenized sessions that are there. A search that was stopped "
        "goes on when the job runs again."
    ),
    tags={"dagster/max_runtime": str(12 * 3600), "intent/exclusive": "search", **USES_GPU},
)
