"""The worker's process: whom its streams belong to, and when it ends.

In: its standard streams, the client's process. Out: two descriptors that only messages go through, and the promise that this process ends
with its client, also in the middle of a computation. Knows nothing of messages.
"""

import ctypes
import io
import os
import select
import signal
import sys
import threading
import time

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1

# How long what was asked before the client went may still take, in seconds.
_GRACE = 0.5
# How often the parent is looked at, in seconds: its pipe may be held open by a child that it forked.
_PATIENCE = 1.0


def take_streams() -> tuple[int, int]:
    """Descriptors of requests and of replies. What anything else in this process prints goes to stderr from here on."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return requests, replies


def end_with_client(requests: int, client: int, bound: bool) -> None:
    """Ends this process when nobody can send requests any more, whatever it does then.

    client: the client's process, 0 where that is not known. bound: whether the thread that started this one lasts as long as its process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # By the system, not by Python, which would wait for the end of a computation. There is nothing to tidy up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent = os.getppid()
    if bound:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent or (client and not _is_alive(client)):
            end()
    threading.Thread(target=_watch, args=(requests, parent), name="client", daemon=True).start()


def end() -> None:
    """Ends this process at once. The system frees everything faster than it could be done one by one, and a job may be running."""
    sys.stderr.flush()
    os._exit(0)


def _watch(requests: int, parent: int) -> None:
    poll = select.poll()
    poll.register(requests, 0)  # only its end, which needs no asking for
    while os.getppid() == parent:
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(1000 * _PATIENCE)):
            break
    time.sleep(_GRACE)
    os._exit(0)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
