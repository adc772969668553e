"""The service with a fake model behind a real server, in a process of its own: `python -m tests.fakes.page_server`.

It is ready in the time that the packages take to import, stops on SIGTERM as in production, and can be started again
on the same port.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.service_process import free_port, wait_until_it_answers

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PageServer:
    """A started server."""

    address: str
    process: subprocess.Popen[bytes]

    def stop(self, seconds: float = 60) -> float:
        """Ask it to end; the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        return time.monotonic() - begin


@contextmanager
def page_server(home: Path, port: int | None = None, keys: str = "") -> Iterator[PageServer]:
    """Serve `home` until the block ends; `keys` as INTENT_API_KEYS takes them."""
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.page_server", str(port)],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "INTENT_HOME": str(home),
            "INTENT_API_KEYS": keys,
            # A busy machine answers late: what is shed then is an error on the page's console.
            "INTENT_MAX_WAIT_SECONDS": "60",
        },
    )
    server = PageServer(f"http://127.0.0.1:{port}", process)
    try:
        wait_until_it_answers(server.address + "/livez", process)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main(port: int) -> None:
    """Serve the home that the environment names."""
    import uvicorn

    from bentos.intent_service.app import create_app
    from bentos.intent_service.runtime import Runtime
    from intent_tracking.settings import load_settings
    from tests.fakes.keyword_predictor import ColourReader

    settings = load_settings()
    runtime = Runtime(settings, ColourReader.load)
    runtime.start()
    try:
        uvicorn.run(create_app(runtime, settings), host="127.0.0.1", port=port, log_level="warning")
    finally:
        runtime.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
