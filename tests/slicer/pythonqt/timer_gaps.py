"""How quick a window stays: the time between two events of a timer that is due every 5 ms, in the thread that draws.

In: a SlicerApp in which a job has begun. Out: gaps until nothing is to be done any more: as a clock sees them, and how
much of each this thread itself has computed (on a busy machine the rest is waiting for a processor).
"""

import time

from . import stand_in

DUE = 5


def gaps_of(app, seconds=600.0, shown=True):
    """Lets Qt's own event loop run until the app is idle: (seconds, seconds of computing) of each gap. Raises
    TimeoutError.

    shown: until the panel shows it, too.
    """
    loop, timer = stand_in.QtCore.QEventLoop(), stand_in.QtCore.QTimer()
    timer.setTimerType(stand_in.QtCore.Qt.TimerType.PreciseTimer)
    timer.setInterval(DUE)
    gaps, last, end = [], (time.perf_counter(), time.thread_time()), time.monotonic() + seconds

    def due():
        nonlocal last
        now = (time.perf_counter(), time.thread_time())
        gaps.append((now[0] - last[0], now[1] - last[1]))
        last = now
        is_done = not app.python.commands.is_busy and not (shown and app.python._is_stale)
        if is_done or time.monotonic() > end:
            loop.quit()

    timer.timeout.connect(due)
    timer.start()
    loop.exec()
    timer.stop()
    if app.python.commands.is_busy:
        raise TimeoutError(f"not done after {seconds:g} s: {app.controller.message}")
    return gaps
