"""How good the applications are, beside their baselines, on the public sets: `make bench-applications ARGS="risk"`.

Everything is chosen on validation parts; what is printed comes from the test parts, which nothing was chosen on.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import time
from datetime import timedelta

import benchmarks.applications
from benchmarks.applications.lines import Line, as_markdown
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.settings import load_settings

NAMES = sorted(
    module.name for module in pkgutil.iter_modules(benchmarks.applications.__path__) if module.name != "lines"
)


def main() -> None:
    """Measure the named applications, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(NAMES)}; all without one")
    names = parser.parse_args().names or NAMES
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    data = DataFolders.of(load_settings())
    for name in names:
        begin = time.monotonic()
        lines: list[Line] = importlib.import_module(f"benchmarks.applications.{name}").run(data)
        took = timedelta(seconds=round(time.monotonic() - begin))
        print(f"## {name} ({took})\n\n{as_markdown(lines)}\n", flush=True)


if __name__ == "__main__":
    main()
