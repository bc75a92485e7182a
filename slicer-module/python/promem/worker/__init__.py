"""The engine in a separate process: a crash of it never ends the program that uses it.

    engine = promem.worker.Engine()
    engine.start()
    engine.send("load_model", done=print, failed=print)
    while True:
        engine.poll()  # from a timer; never blocks

In: requests, and voxels in shared memory. Out: replies and events, called inside `poll`, and labels in shared memory.
`Engine` is the client, in the program; `python -m promem.worker` is the process. The client knows nothing of libpromem
and never loads it.
"""

from .client import Engine, EngineError
from .masks import pack, unpack
from .memory import SharedArray

__all__ = ["Engine", "EngineError", "SharedArray", "pack", "unpack"]
