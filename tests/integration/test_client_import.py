"""What a shop's own process takes on with the client."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

# httpx, what it needs, and what its optional command line needs where that is installed.
OF_HTTPX = {"anyio", "certifi", "click", "h11", "httpcore", "httpx", "idna", "sniffio", "typing_extensions"}
OF_ITS_COMMAND_LINE = {"markdown_it", "mdurl", "pygments", "rich"}
PROBE = """
import json, sys, time
before, begin = set(sys.modules), time.process_time()
import intent_tracking.client
print(json.dumps({"seconds": time.process_time() - begin, "modules": sorted(set(sys.modules) - before)}))
"""


def test_the_client_imports_httpx_alone_and_quickly() -> None:
    seen = [json.loads(subprocess.check_output([sys.executable, "-c", PROBE])) for _ in range(3)]
    modules = set(seen[0]["modules"])
    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"intent_tracking"}
    assert foreign <= OF_HTTPX | OF_ITS_COMMAND_LINE
    rooms = {".".join(name.split(".")[:2]) for name in modules if name.startswith("intent_tracking.")}
    assert rooms == {"intent_tracking.client"}
    # 0.3 s on a machine with nothing else to do, where torch alone takes 1.5.
    assert min(run["seconds"] for run in seen) < 3.0
