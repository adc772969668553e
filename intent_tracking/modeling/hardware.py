"""What this machine is good at: which device, which number format, how fast training will be."""

from __future__ import annotations

import ctypes
import functools
import platform
import time

import torch

GPU_TOKENS_PER_SECOND = 200_000.0
# mallopt parameters of glibc's malloc.h, and the highest value that it takes for the first.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_HIGHEST_MMAP_THRESHOLD = 32 * 2**20
_TOKENS, _WIDTH, _INNER = 512, 384, 1536
_PRODUCT_FLOPS = 2.0 * _TOKENS * _WIDTH * _INNER
# Six for each parameter of a layer (Kaplan et al. 2020): two forward, four backward.
_FLOPS_PER_TOKEN = 6.0 * 10.6e6
# bf16 must win clearly: casts around each product are not in this measurement.
_CLEARLY = 0.8


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
    """The best of a few products of a batch with a feed-forward weight of MiniLM; a few milliseconds in all."""
    states, weight = torch.ones(_TOKENS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _INNER, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        states @ weight
        best = min(best, time.perf_counter() - began)
    return best


def expected_tokens_per_second(device: torch.device) -> float:
    """Tokens of MiniLM that a training takes per second, for planning: half of what the products alone would allow."""
    if device.type == "cuda":
        return GPU_TOKENS_PER_SECOND
    dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return 0.5 * _PRODUCT_FLOPS / _product_seconds(dtype) / _FLOPS_PER_TOKEN


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
