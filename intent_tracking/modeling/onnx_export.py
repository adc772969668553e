"""From a trained model to the ONNX graph that serves it on a CPU: int8 where that costs nothing, float32 otherwise."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from intent_tracking.modeling.batching import ExampleArrays
from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.model import IntentModel, ModelOutput
from intent_tracking.modeling.onnx_backend import FLOAT_FILE, INPUTS, INT8_FILE, OUTPUTS, OnnxBackend
from intent_tracking.modeling.predicting import pad
from intent_tracking.modeling.quantising import NetworkInput, input_ranges, quantised
from intent_tracking.modeling.validation import FEWEST_TO_JUDGE, SplitOutputs, run_backend, scores_of

logger = logging.getLogger(__name__)

# Half a point of any of these validation scores is the most that int8 may cost. Macro F1 is not among them: one text of
# a rare label moves it by more.
MOST_LOSS = 0.005
# Training texts by which ranges of inputs are measured.
_MEASURED_TEXTS = 128
OPSET = 17  # the first with LayerNormalization as one operator
# One protobuf message holds at most 2 GiB.
_MOST_BYTES = 2_000_000_000
_JUDGED = ("accuracy", "micro_f1", "tag_f1", "outcome_auc")


@dataclass(frozen=True, eq=False)
class ServedGraph:
    """The graph to ship.

    Attributes:
        file: its place in the artifact, `INT8_FILE` or `FLOAT_FILE`.
        content: the serialised model, weights included.
        losses: what int8 costs on validation by score, as a share: `int8_accuracy_loss`, ...; empty: not measured.
        validation: what the shipped graph says about the validation split; None without one.
    """

    file: str
    content: bytes
    losses: dict[str, float] = field(default_factory=dict)
    validation: SplitOutputs | None = None


def served_graph(model: IntentModel, dataset: TokenizedDataset, validation: SplitOutputs | None) -> ServedGraph | None:
    """The int8 graph of `model` if it loses at most `MOST_LOSS` of each judged score, else the float32 graph.

    Where the whole int8 graph loses more, the second product of each layer stays in float32: its inputs, which come out
    of GELU, are those that steps of one size fit least. Without a validation split the loss is unknown, and float32 is
    shipped. None: float32 too large for one ONNX file.

    Args:
        model: in evaluation mode on the CPU.
        dataset: what it was trained on; the training split gives the ranges of inputs.
        validation: the outputs of `model` on the validation split.
    """
    losses: dict[str, float] = {}
    if validation is not None:
        exact, allowed = scores_of(validation), _allowed_losses(validation)
        for narrowing in (True, False) if allowed else ():
            content = int8_graph(model, dataset, narrowing=narrowing)
            rounded = run_backend(OnnxBackend(content), _examples(dataset, "validation"))
            found = scores_of(rounded)
            costs = {name: exact[name] - found[name] for name in allowed}
            losses = {f"int8_{name}_loss": cost for name, cost in costs.items()}
            if all(cost <= allowed[name] for name, cost in costs.items()):
                return ServedGraph(INT8_FILE, content, losses, rounded)
            rest = "the second product of each layer stays float32" if narrowing else "float32 is shipped"
            logger.warning("int8 costs %.2f points on validation: %s", 100 * max(costs.values()), rest)
    if not losses:
        logger.warning("no labelled validation split tells what int8 costs: float32 is shipped")
    if sum(value.nbytes for value in model.state_dict().values()) > _MOST_BYTES:
        logger.warning("the model is too large for one ONNX file: torch serves it")
        return None
    return ServedGraph(FLOAT_FILE, float_graph(model), losses, validation)


def _allowed_losses(validation: SplitOutputs) -> dict[str, float]:
    """What int8 may cost of each score that judges it.

    `MOST_LOSS`, or one answer where one of them is more and there are enough to judge by at all.
    """
    answers = {
        "accuracy": len(validation.intent_targets),
        "micro_f1": 0 if validation.label_sets is None else int(validation.label_sets.sum()),
        "tag_f1": int((validation.tag_targets > 0).sum()),
    }
    one = {name: 1 / count for name, count in answers.items() if count >= FEWEST_TO_JUDGE}
    return {name: max(MOST_LOSS, one.get(name, 0.0)) for name in _JUDGED if name in scores_of(validation)}


def float_graph(model: IntentModel) -> bytes:
    """`model` as a serialised ONNX model in float32, dynamic in batch and length."""
    present = _present(model)
    names = [OUTPUTS[place] for place in present]
    axes = {
        "ids": {0: "batch", 1: "length"},
        "mask": {0: "batch", 1: "length"},
        "features": {0: "batch"},
        "scenes": {0: "batch"},
        **{name: {0: "batch", 1: "length"} if name == "tags" else {0: "batch"} for name in names},
    }
    config = model.config
    example = (
        torch.tensor([[3, 4, 5, 6], [4, 5, 1, 1]]),
        torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        torch.full((2, len(config.features)), torch.nan),
        torch.tensor([0, len(config.scenes)]),
    )
    return exported(_Outputs(model, present).eval(), model.encoder, example, INPUTS, axes)


def exported(
    network: torch.nn.Module,
    encoder: Any,
    example: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> bytes:
    """`network`, of which `encoder` is a part, as a serialised ONNX model.

    Args:
        example: one value of each input.
        inputs: their names.
        axes: the axes of inputs and outputs that may have any size, by name; what is no input is an output, in order.
    """
    buffer = io.BytesIO()
    with plain_attention(encoder), warnings.catch_warnings(), torch.no_grad():
        # The exporter that writes ONNX in a second announces that another is now the default, and warns of each Python
        # condition that it follows; tests compare its graphs with the model in sizes that it did not see.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[name for name in axes if name not in inputs],
            dynamic_axes=axes,
        )
    return buffer.getvalue()


def int8_graph(model: IntentModel, dataset: TokenizedDataset, *, narrowing: bool = True) -> bytes:
    """`model` as a serialised ONNX model whose encoder computes in int8, products that narrow the states if asked."""
    examples = _examples(dataset, "train")
    places = range(0, len(examples), max(1, len(examples) // _MEASURED_TEXTS))
    order = sorted(places, key=lambda place: len(examples.ids[place]))
    batches = (_network_input(examples, order[start : start + 16]) for start in range(0, len(order), 16))
    ranges = input_ranges(model, batches)
    with quantised(model, ranges if narrowing else [range_ for range_ in ranges if not range_.narrowed]):
        return float_graph(model)


def _examples(dataset: TokenizedDataset, split: str) -> ExampleArrays:
    info = dataset.info
    return ExampleArrays.of(dataset.split(split), len(info.features), info.scenes, dataset.labels.set_size)


def _network_input(examples: ExampleArrays, places: list[int]) -> NetworkInput:
    ids, mask = pad([examples.ids[place] for place in places])
    return ids, mask, examples.features[places], examples.scenes[places]


class _Outputs(torch.nn.Module):
    """The outputs that are present, as a tuple: ONNX knows no None."""

    def __init__(self, model: IntentModel, present: list[int]) -> None:
        super().__init__()
        self._model = model
        self._present = present

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output: ModelOutput = self._model(*inputs)
        parts = [output[place] for place in self._present]
        return tuple(part for part in parts if part is not None)


def _present(model: IntentModel) -> list[int]:
    parts = (True, model.intent is not None, model.tags is not None, model.outcome is not None)
    return [place for place, there in enumerate(parts) if there]


@contextmanager
def plain_attention(encoder: Any) -> Iterator[None]:
    """While it lasts, attention is written as two products and a softmax, which is what ONNX Runtime has kernels for.

    torch's fused attention would be exported with guards against rows that attend to nothing, a fifth of the time on
    long texts; no row is like that here.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = encoder.config._attn_implementation
    if before == "sdpa":
        ALL_ATTENTION_FUNCTIONS.register("plain", _attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register("plain", sdpa_mask)
        encoder.config._attn_implementation = "plain"
    try:
        yield
    finally:
        encoder.config._attn_implementation = before


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query, key and value [B, heads, T, H] by the boolean mask of transformers' sdpa."""
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + (1.0 - attention_mask.to(scores.dtype)) * torch.finfo(scores.dtype).min
    return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None
