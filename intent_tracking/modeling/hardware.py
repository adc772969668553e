"""What this machine is good at: which device, which number format, how fast training will be."""

from __future__ import annotations

import ctypes
import functools
import platform
import time
from pathlib import Path

import torch

GPU_TOKENS_PER_SECOND = 200_000.0
# mallopt parameters of glibc's malloc.h, and the highest value that it takes for the first.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_HIGHEST_MMAP_THRESHOLD = 32 * 2**20
_TOKENS, _WIDTH, _INNER = 512, 384, 1536
_PRODUCT_FLOPS = 2.0 * _TOKENS * _WIDTH * _INNER
# Six for each parameter of a product (Kaplan et al. 2020): two forward, four backward. A layer has 12 hidden^2 of them.
_FLOPS_PER_PARAMETER = 6.0
_MINILM = (6, 384)
# What is not a product (attention of short texts, normalisation, dropout, the optimiser): seconds that one core of 2024
# takes for a token, a layer and a state.
_REST_SECONDS = 1e-7
# bf16 must win clearly: casts around each product are not in this measurement.
_CLEARLY = 0.8
# Instructions that add products of uint8 and int8 in 32 bits, as Linux names them.
_EXACT_INT8 = {"avx_vnni", "avx512_vnni", "amx_int8"}


def choose_device(device: str) -> torch.device:
    """`auto` is the GPU where there is one.

    Raises:
        ValueError: `cuda` is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda': no GPU is visible to torch; use device 'auto' or 'cpu'")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 pays: on GPUs that have it, and on CPUs where a product of a layer's size is measured to be faster.

    Processor flags do not tell: AVX-512 BF16 made training 1.6 times as fast on an AMD Zen 4, and half as fast on an
    Intel Xeon without AMX, whose float32 units do the same work at twice the rate.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    if not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")):
        return False
    return _product_seconds(torch.bfloat16) < _CLEARLY * _product_seconds(torch.float32)


@functools.cache
def _product_seconds(dtype: torch.dtype) -> float:
    """The best of a few products of a batch with a feed-forward weight of MiniLM; a few milliseconds in all.

    The best of so short ones is what the processor does at rest, whatever else is running.
    """
    states, weight = torch.ones(_TOKENS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _INNER, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        states @ weight
        best = min(best, time.perf_counter() - began)
    return best


def expected_tokens_per_second(device: torch.device, layers: int = _MINILM[0], hidden: int = _MINILM[1]) -> float:
    """Tokens that a training takes per second at best: the products as measured here, the rest as it was seen.

    For planning, which a clock corrects: a machine at rest may take half as many, one that does other work fewer still.

    Args:
        device: where it trains.
        layers, hidden: of the encoder.
    """
    flops = _FLOPS_PER_PARAMETER * 12 * layers * hidden**2
    if device.type == "cuda":
        return GPU_TOKENS_PER_SECOND * _FLOPS_PER_PARAMETER * 12 * _MINILM[0] * _MINILM[1] ** 2 / flops
    dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    seconds = flops * _product_seconds(dtype) / _PRODUCT_FLOPS
    return 1.0 / (seconds + _REST_SECONDS * layers * hidden / torch.get_num_threads())


def int8_saturates() -> bool:
    """Whether ONNX Runtime's products of uint8 and int8 lose what does not fit into 16 bits on this machine."""
    cpuinfo = Path("/proc/cpuinfo")
    return saturates(platform.machine(), cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else "")


def saturates(machine: str, cpuinfo: str) -> bool:
    """`int8_saturates` of a described machine: x86-64 does without VNNI and AMX, adding pairs of products in 16 bits.

    Args:
        machine: as `platform.machine` names it.
        cpuinfo: Linux's `/proc/cpuinfo`; empty where there is none. What it does not name is not there.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return False
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    flags = next((words.split() for name, _, words in lines if name.strip() == "flags"), [])
    return _EXACT_INT8.isdisjoint(flags)


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next step instead of giving it back to the system.

    Each step allocates the same large tensors again, and fetching fresh pages for them cost about as much as the
    products of the forward pass. Elsewhere than on glibc nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _HIGHEST_MMAP_THRESHOLD)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
