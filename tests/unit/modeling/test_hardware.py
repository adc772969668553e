from __future__ import annotations

import pytest

from intent_tracking.modeling.hardware import saturates

pytestmark = pytest.mark.unit

# Lines of /proc/cpuinfo: an Intel Xeon of 2017, one of 2019, one of 2023; an AMD of 2021; an Arm server.
SKYLAKE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw avx512vl\nbugs\t\t: spectre_v1\n"
CASCADE_LAKE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw avx512_vnni\n"
SAPPHIRE_RAPIDS = "processor\t: 0\nflags\t\t: fpu avx2 avx512f amx_bf16 amx_tile amx_int8\n"
ALDER_LAKE = "flags\t\t: fpu avx2 avx_vnni\nflags\t\t: fpu avx2 avx_vnni\n"
ZEN_3 = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx avx2\nvmx flags\t: avx512_vnni\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\n"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", SKYLAKE, True),
        ("x86_64", ZEN_3, True),
        ("x86_64", CASCADE_LAKE, False),
        ("x86_64", SAPPHIRE_RAPIDS, False),
        ("x86_64", ALDER_LAKE, False),
        # What cannot be read may be a processor that saturates.
        ("AMD64", "", True),
        ("x86_64", "processor\t: 0\n", True),
        ("aarch64", ARM, False),
        ("arm64", "", False),
    ],
)
def test_int8_products_saturate_on_x86_without_vnni_and_amx(machine: str, cpuinfo: str, expected: bool) -> None:
    assert saturates(machine, cpuinfo) is expected
