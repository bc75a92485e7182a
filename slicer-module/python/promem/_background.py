"""One thread for what must not happen where it is noticed: log lines go to `logging`, and what was forgotten unclosed is freed.

Python may collect garbage anywhere, also inside a callback from C. Freeing a session there could wait for ever for a thread that waits
for that callback; so could a log handler.
"""

import logging
import queue
import threading
from typing import Callable, Optional

_work: "queue.SimpleQueue[Optional[Callable[[], None]]]" = queue.SimpleQueue()
_lock = threading.Lock()
_thread: Optional[threading.Thread] = None


def start() -> None:
    """Starts the thread unless it runs."""
    global _thread
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_serve, name="promem", daemon=True)
            _thread.start()


def later(work: Callable[[], None]) -> None:
    """Leaves `work` to the thread. May be called from anywhere; takes no lock."""
    _work.put(work)


def finish() -> None:
    """Waits, though not for ever, until everything left so far is done, and ends the thread."""
    global _thread
    with _lock:
        if _thread is not None:
            _work.put(None)
            _thread.join(5)
            _thread = None


def _serve() -> None:
    while True:
        work = _work.get()
        if work is None:
            return
        try:
            work()
        except Exception:
            logging.getLogger("promem").exception("promem")
        del work  # it may hold a scan
