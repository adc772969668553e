"""Int8 weights and inputs for the encoder's matrix products, as modules that the ONNX exporter writes down as integers.

Ranges of inputs are measured once, on training texts, and fixed: an answer does not depend on the texts that share its
batch, as it would with ranges taken from each batch. Some channels of a transformer's states are far wider than the
rest, so each channel is divided by a factor that its weights are multiplied by (Xiao et al. 2023, "SmoothQuant").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from intent_tracking.modeling.predicting import FloatArray, IntArray

# What a `Backend` is run on: ids and mask [B, T], features [B, F], scenes [B].
NetworkInput = tuple[IntArray, IntArray, FloatArray, IntArray]

# How much of the spread between channels moves from inputs to weights; none and half were worse (docs/adr/0007).
_MOVED = 0.7
_LEVELS = 127  # of an int8 weight, either way
_MOST = 255  # of a uint8 input
_SMALLEST = 1e-5


class Encoding(Protocol):
    """A network around a pretrained `encoder`: an `IntentModel`, or one that gives the vectors of sentences."""

    encoder: nn.Module

    def __call__(self, *parts: torch.Tensor) -> Any:
        """Run a `NetworkInput`."""
        ...


@dataclass(frozen=True, eq=False)
class InputRange:
    """What enters some linear layers.

    Attributes:
        lowest, highest: bounds of each channel [C].
        readers: all layers that read it.
        narrowed: they give fewer channels than they read: the second product of a feed-forward block.
    """

    lowest: torch.Tensor
    highest: torch.Tensor
    readers: tuple[str, ...]
    narrowed: bool

    @property
    def largest(self) -> torch.Tensor:
        """The largest magnitude of each channel [C]."""
        return torch.maximum(self.lowest.abs(), self.highest.abs())


def input_ranges(model: Encoding, batches: Iterable[NetworkInput]) -> list[InputRange]:
    """Run `batches` and see what enters the linear layers of the encoder, padding left out."""
    bounds: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    readers: dict[str, list[str]] = {}
    mask = torch.zeros(0)
    last: tuple[torch.Tensor, str] | None = None

    def watch(name: str, values: torch.Tensor) -> None:
        nonlocal last
        # Query, key and value read one tensor: kept alive here, so that no other one can have its identity.
        first = last[1] if last is not None and last[0] is values else name
        last = (values, first)
        if name not in readers.setdefault(first, []):
            readers[first].append(name)
        if first == name:
            low, high = values[mask > 0].aminmax(dim=0)
            before = bounds.get(name, (low, high))
            bounds[name] = torch.minimum(before[0], low), torch.maximum(before[1], high)

    hooks = [
        layer.register_forward_pre_hook(lambda _, args, name=name: watch(name, args[0]))
        for name, layer in _linear_layers(model)
    ]
    try:
        with torch.inference_mode():
            for batch in batches:
                tensors = [torch.from_numpy(part) for part in batch]
                mask, last = tensors[1], None
                model(*tensors)
    finally:
        for hook in hooks:
            hook.remove()
    layers = dict(_linear_layers(model))
    return [
        InputRange(*bounds[first], tuple(names), layers[first].out_features < layers[first].in_features)
        for first, names in readers.items()
    ]


@contextmanager
def quantised(model: Encoding, ranges: Iterable[InputRange]) -> Iterator[None]:
    """While it lasts, the encoder of `model` has int8 layers and an int8 word table; heads and adapters stay float."""
    encoder: Any = model.encoder
    layers, words = dict(_linear_layers(model)), encoder.get_input_embeddings()
    try:
        encoder.set_input_embeddings(_Int8Embedding(words))
        for range_ in ranges:
            factors = _factors(range_.largest, [layers[name] for name in range_.readers])
            for name in range_.readers:
                _put(encoder, name, _Int8Linear(layers[name], factors, range_))
        yield
    finally:
        encoder.set_input_embeddings(words)
        for name, layer in layers.items():
            _put(encoder, name, layer)


def _linear_layers(model: Encoding) -> list[tuple[str, nn.Linear]]:
    return [(name, layer) for name, layer in model.encoder.named_modules() if isinstance(layer, nn.Linear)]


def _put(encoder: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(encoder.get_submodule(parent), last, layer)


def _factors(largest: torch.Tensor, layers: list[nn.Linear]) -> torch.Tensor:
    """What each input channel is divided by [C], the same for all layers that read it; their geometric mean is 1."""
    weights = torch.stack([layer.weight.detach().abs().amax(0) for layer in layers]).amax(0)
    factors = largest.clamp(min=_SMALLEST) ** _MOVED / weights.clamp(min=_SMALLEST) ** (1 - _MOVED)
    return factors / factors.log().mean().exp()


def _steps(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Size of one integer step for each row (`dim` 1) or column (`dim` 0) of `values`."""
    return values.abs().amax(dim).clamp(min=1e-8) / _LEVELS


class _Int8Linear(nn.Module):
    """A linear layer whose input is rounded to 8 bits by a fixed range, and whose weights are by output channel.

    The range of the inputs is taken as it is, not as one around zero: what GELU gives is hardly ever below -0.17, and
    half of the steps would lie there.
    """

    to_steps: torch.Tensor
    step: torch.Tensor
    zero: torch.Tensor
    weight: torch.Tensor
    weight_steps: torch.Tensor
    bias: torch.Tensor

    def __init__(self, layer: nn.Linear, factors: torch.Tensor, inputs: InputRange) -> None:
        super().__init__()
        weight = (layer.weight.detach() * factors).T.contiguous()
        steps = _steps(weight, 0)
        lowest = (inputs.lowest / factors).amin().clamp(max=0)
        highest = (inputs.highest / factors).amax().clamp(min=0)
        step = ((highest - lowest) / _MOST).clamp(min=1e-8)
        bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach()
        self.register_buffer("to_steps", 1 / (factors * step))
        self.register_buffer("one", torch.tensor(1.0))
        self.register_buffer("step", step)
        self.register_buffer("zero", (-lowest / step).round().to(torch.uint8))
        self.register_buffer("weight", (weight / steps).round().to(torch.int8))
        self.register_buffer("weight_steps", steps)
        self.register_buffer("bias", bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """[..., C] -> [..., N]."""
        rounded = _Round.apply(values * self.to_steps, self.one, self.zero)  # type: ignore[no-untyped-call]
        result: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            rounded, self.weight, self.step, self.weight_steps, self.zero, self.bias
        )
        return result


class _Int8Embedding(nn.Module):
    """A word table in int8 with one step a row."""

    rows: torch.Tensor
    steps: torch.Tensor

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        weight = table.weight.detach()
        steps = _steps(weight, 1).unsqueeze(1)
        self.register_buffer("rows", (weight / steps).round().to(torch.int8))
        self.register_buffer("steps", steps)
        self.padding_idx = table.padding_idx

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows for `ids` [B, T] -> [B, T, H]."""
        return nn.functional.embedding(ids, self.rows).to(self.steps.dtype) * nn.functional.embedding(ids, self.steps)


class _Round(torch.autograd.Function):
    """ONNX `QuantizeLinear` to uint8."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, step: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        return ((values / step).round() + zero.float()).clamp(0, 255).to(torch.uint8)

    @staticmethod
    def symbolic(g: Any, values: Any, step: Any, zero: Any) -> Any:
        return g.op("QuantizeLinear", values, step, zero).setType(values.type().with_dtype(torch.uint8))


class _Product(torch.autograd.Function):
    """ONNX Runtime's `MatMulIntegerToFloat`: an integer product, scaled back and with its bias in one kernel.

    Arguments: uint8 values [..., C], int8 weight [C, N], step of the values, steps of the weight's columns [N], zero of
    the values, bias [N].
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        step: torch.Tensor,
        steps: torch.Tensor,
        zero: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        return (values.float() - zero.float()) @ weight.float() * (step * steps) + bias

    @staticmethod
    def symbolic(g: Any, values: Any, weight: Any, step: Any, steps: Any, zero: Any, bias: Any) -> Any:
        absent = g.op("prim::Constant")
        absent.setType(torch._C.OptionalType.ofTensor())
        product = g.op("com.microsoft::MatMulIntegerToFloat", values, weight, step, steps, zero, absent, bias)
        sizes = values.type().varyingSizes()
        columns = steps.type().sizes()[0]
        return product.setType(values.type().with_dtype(torch.float32).with_sizes([*sizes[:-1], columns]))
