"""A worker ends with the process that started it, however that one ends.

BentoML's parent stops its workers when it is told to stop. Killed, it cannot: they would go on to answer on its port,
with nobody to restart or to stop them, beside the service that a supervisor starts anew.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Final

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
# No setting of a person: it goes from the parent to its workers, through the environment that they inherit.
_VARIABLE: Final = "BENTOS_PARENT_PID"


def announce_parent() -> None:
    """Tell the workers that this process starts from now on who their parent is."""
    os.environ[_VARIABLE] = str(os.getpid())


def end_with_parent() -> None:
    """Stop this worker as by SIGTERM once its parent is gone; nothing happens where none was announced.

    The parent's number is announced and not asked for, since the parent may end before its worker gets here. Linux's
    PR_SET_PDEATHSIG would follow the thread that started the worker, which may end before its process.
    """
    announced = os.environ.get(_VARIABLE)
    if announced is not None:
        threading.Thread(target=_watch, args=(int(announced),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    logger.error("the parent process %d is gone: this worker ends, so that another service can take its place", parent)
    os.kill(os.getpid(), signal.SIGTERM)
