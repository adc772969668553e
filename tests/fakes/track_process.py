"""A shop's process that tracks events through a buffer on disk: `python -m tests.fakes.track_process URL FOLDER`.

It adds messages of one visitor without end, a few hundred a second, and prints the number of each once `add` has
returned.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from itertools import count

from intent_tracking.client import IntentClient, TrackBuffer

VISITOR = "visitor-of-the-shop"
# As fast as it can, one process fills the buffer before a busy machine has answered the first call.
_PAUSE = 0.003


def main(url: str, folder: str) -> None:
    """Track until killed."""
    buffer = TrackBuffer(IntentClient(url, timeout=10), folder, size=20, seconds=0.05)
    for number in count():
        buffer.add(
            {
                "event_id": f"shop-{number}",
                "event_name": "message",
                "event_time": datetime.now(UTC),
                "anonymous_id": VISITOR,
                "params": {"text": f"message {number}"},
            }
        )
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
