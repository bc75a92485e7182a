"""The worker's process: its standard streams and its end.

In: standard streams, the client's process. Out: two descriptors for messages only. Ensures that this process ends with
its client, also during a computation. Knows nothing of messages.
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

# Seconds that pending requests may take after the end of the client.
_GRACE = 0.5
# Seconds between two checks of the parent: a forked child may hold its pipe open.
_PATIENCE = 1.0


def claim_streams() -> tuple[int, int]:
    """Returns the descriptors of requests and replies. All other output of this process goes to stderr from now on."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return requests, replies


def end_with_client(requests: int, client: int, bound: bool) -> None:
    """Ends this process when its client ends, also during a computation.

    client: the client's process id; 0: unknown. bound: whether the thread that started this process lasts as long as
    the client.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The default action ends the process at once; a Python handler would wait for the computation.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent = os.getppid()
    if bound:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent or (client and not _is_alive(client)):
            end()
    threading.Thread(target=_watch, args=(requests, parent), name="client", daemon=True).start()


def end() -> None:
    """Ends this process at once, also while a job runs. The system frees its resources."""
    sys.stderr.flush()
    os._exit(0)


def _watch(requests: int, parent: int) -> None:
    poll = select.poll()
    poll.register(requests, 0)  # reports hang-up and error without being asked
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
