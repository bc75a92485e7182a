"""How the threads of libtorch wait for work.

In: the environment. Out: a libgomp that was loaded with a spin count. OpenMP's threads look for work for milliseconds
before they sleep, on cores that others need: on a busy machine that makes everything slower by far
(docs/performance.md, "On a busy machine").
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator

# How often a thread looks for work before it sleeps; OpenMP's own is 300000. scripts/bench_busy.sh has measured it.
SPIN_COUNT = "3000"

_VARIABLE = "GOMP_SPINCOUNT"


@contextlib.contextmanager
def sleeping_threads() -> Iterator[None]:
    """A libgomp that is loaded inside of this takes the spin count, unless the environment says how threads wait.

    libgomp reads its environment once, when it is loaded. So the variable is set for that long and removed again:
    programs that this process starts do not inherit it, and a libgomp that was loaded before stays as it is.
    """
    if _is_set(_VARIABLE) or _is_set("OMP_WAIT_POLICY"):
        yield
        return
    os.environ[_VARIABLE] = SPIN_COUNT
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)


def _is_set(name: str) -> bool:
    """In C's environment, which is what libgomp reads: a host may have changed it after Python was started."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype, getenv.argtypes = ctypes.c_char_p, [ctypes.c_char_p]
    return name in os.environ or getenv(name.encode()) is not None
