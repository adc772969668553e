"""The service as many begin: FastAPI around a transformers pipeline. `python -m benchmarks.service.plain MODEL PORT`.

It runs the encoder of the artifact in float32, with a classification head as wide as the artifact's, on as many threads
as there are cores. It answers intents alone: no key information, no cleaning, no log.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

from intent_tracking.modeling.loading import load_config, load_model


class Texts(BaseModel):
    """Texts to classify."""

    texts: list[str]


def make_app(directory: Path) -> FastAPI:
    """The app over the encoder of the artifact in `directory`."""
    config = load_config(directory)
    encoder = load_model(directory, config).encoder
    encoder.config.num_labels = config.intent_classes
    model = AutoModelForSequenceClassification.from_config(encoder.config)
    getattr(model, model.base_model_prefix).load_state_dict(encoder.state_dict(), strict=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(directory / "tokenizer.json"),
        pad_token="[PAD]",  # noqa: S106 - a token of the vocabulary
        model_max_length=config.max_tokens,
    )
    classify = pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, top_k=5, device="cpu")
    app = FastAPI()

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/intent")
    def intent(request: Texts) -> dict[str, Any]:
        return {"predictions": classify(request.texts, truncation=True)}

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
