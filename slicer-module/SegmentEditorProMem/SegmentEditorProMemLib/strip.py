"""The strip: a bar for each slice of the last propagation, to find slices to correct.

In: a report, the displayed slice. Out: a picture, and the number of the clicked slice.

The picture is the icon of a flat QToolButton: PythonQt cannot override `paintEvent` and `mousePressEvent` reliably. The
button's `pressed()` reports a click, the cursor's position its place. The drawing uses the calls of Slicer's own Data
Probe: QPainter.begin, setPen and drawLine on a pixmap.
"""

from typing import Any, Callable, Optional

import qt

from . import shortcuts, ui_text
from .i18n import _
from .report import DOUBTFUL, Report, bars

HEIGHT = 44
# Narrower bars are drawn without a gap.
MIN_WIDTH_FOR_GAP = 4
# The lowest bar is still visible: a slice with a low score is not an empty one.
MIN_BAR_FRACTION = 0.12

EXPLANATION = _(
    "One bar for each slice: the higher and greener, the higher the predicted IoU.\n"
    "Blue: a prompt slice, painted or clicked. No bar: not segmented. Click a bar to go to its slice."
)

GOOD, AMBER, BAD = (46, 158, 79), (226, 160, 0), (208, 52, 44)
PROMPT = (52, 120, 214)
# The score from which a bar is green; at DOUBTFUL it is amber; as much below, red.
FULLY_GREEN = 0.9


def color_of(score: float) -> tuple[int, int, int]:
    """Green over amber to red."""
    step = (score - DOUBTFUL) / (FULLY_GREEN - DOUBTFUL)
    other, part = (GOOD, min(step, 1.0)) if step >= 0 else (BAD, min(-step, 1.0))
    return tuple(round(a + (b - a) * part) for a, b in zip(AMBER, other))


def slice_at(scores: Any, width: int, x: int) -> int:
    """The slice of a click; in a bar of several slices, the one with the lowest score."""
    found = bars(scores, width)
    first, end, lowest = found[min(max(x * len(found) // max(width, 1), 0), len(found) - 1)]
    return next((n for n in range(first, end) if lowest is not None and scores[n] == lowest), (first + end - 1) // 2)


class Strip:
    """widget: to be put into a layout. on_jump: called with a clicked slice. on_next: called for the next doubtful
    slice.
    """

    def __init__(self) -> None:
        self.on_jump: Callable[[int], None] = lambda slice_: None
        self.on_next: Callable[[], None] = lambda: None
        self._report: Optional[Report] = None
        self._current: Optional[int] = None
        self._drawn: Any = None
        self.widget = qt.QWidget()
        self.widget.objectName = "ProMemStrip"
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.picture = qt.QToolButton()
        self.picture.objectName = "ProMemStripPicture"
        self.picture.setStyleSheet("QToolButton { border: none; padding: 0px; margin: 0px; }")
        self.picture.setFixedHeight(HEIGHT)
        self.picture.setMinimumWidth(120)
        policy = qt.QSizePolicy()
        policy.setHorizontalPolicy(qt.QSizePolicy.Ignored)
        policy.setVerticalPolicy(qt.QSizePolicy.Fixed)
        self.picture.setSizePolicy(policy)
        self.picture.setFocusPolicy(qt.Qt.NoFocus)
        self.picture.setCursor(qt.QCursor(qt.Qt.PointingHandCursor))
        layout.addWidget(self.picture)
        row = qt.QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        self.first, self.text, self.last = qt.QLabel(), qt.QLabel(), qt.QLabel()
        self.text.setAlignment(qt.Qt.AlignCenter)
        for label in (self.first, self.text, self.last):
            label.setToolTip(EXPLANATION)
        row.addWidget(self.first)
        row.addWidget(self.text, 1)
        row.addWidget(self.last)
        self.next = qt.QPushButton(_("Next doubtful"))
        self.next.objectName = "ProMemNextDoubtful"
        self.next.setToolTip(
            shortcuts.with_key(
                _(
                    "Goes to the slices with a predicted IoU below 0.7, the lowest first.\n"
                    "Correct a slice with any tool or with clicks, and propagate again."
                ),
                shortcuts.NEXT_DOUBTFUL,
            )
        )
        layout.addWidget(self.next)
        self.picture.connect("pressed()", self._pressed)
        self.next.connect("clicked()", self._next)
        self.show(None, None)

    def show(
        self, report: Optional[Report], current: Optional[int], place: Callable[[int], str] = lambda slice_: ""
    ) -> None:
        """report: None hides the strip. current: the displayed slice, if it belongs to the report. place: where a slice
        is, in mm.
        """
        self._place = place
        self._report = report if report is not None and report.scores else None
        self._current = current
        self.widget.visible = self._report is not None
        if self._report is None:
            return
        count = len(self._report.doubtful)
        self.first.text, self.last.text = "1", str(len(self._report.scores))
        inside = current is not None and 0 <= current < len(self._report.scores)
        self.text.text = (
            ui_text.slice_line(self._report, current, place(current)) if inside else _("Click a bar to go to its slice")
        )
        self.next.enabled = count > 0
        self.next.text = _("Next doubtful ({count})").format(count=count) if count else _("No doubtful slices")
        self.refresh()

    def refresh(self) -> None:
        """Redraws if the width, the report or the slice has changed. To be called regularly."""
        if self._report is None:
            return
        self._update_tip()
        width = max(self.picture.width, 1)
        drawn = (width, self._report, self._current, self.picture.palette.color(qt.QPalette.Base).name())
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self.picture.setIconSize(qt.QSize(width, HEIGHT))
        self.picture.setIcon(qt.QIcon(self._draw(width)))

    def disconnect(self) -> None:
        self.picture.disconnect("pressed()", self._pressed)
        self.next.disconnect("clicked()", self._next)

    def _draw(self, width: int) -> Any:
        pixmap = qt.QPixmap(width, HEIGHT)
        palette = self.picture.palette
        pixmap.fill(palette.color(qt.QPalette.Base))
        painter = qt.QPainter()
        painter.begin(pixmap)
        scores, prompted = self._report.scores, set(self._report.prompted)
        found = bars(scores, width)
        edges = [n * width // len(found) for n in range(len(found) + 1)]
        gap = 1 if width // len(found) >= MIN_WIDTH_FOR_GAP else 0
        for (first, end, score), left, right in zip(found, edges, edges[1:]):
            is_prompt = any(n in prompted for n in range(first, end))
            if score is None and not is_prompt:
                continue
            color = PROMPT if is_prompt else color_of(score)
            full = HEIGHT - 8
            height = full if score is None else max(round(score * full), round(MIN_BAR_FRACTION * full))
            for x in range(left, max(right - gap, left + 1)):
                self._line(painter, color, x, HEIGHT - 1 - height, HEIGHT - 2)
        text = palette.color(qt.QPalette.Text)
        base = (text.red(), text.green(), text.blue())
        for x in range(width):
            self._line(painter, base if x % 2 else (128, 128, 128), x, HEIGHT - 1, HEIGHT - 1)
        if self._current is not None and 0 <= self._current < len(scores):
            middle = (2 * self._current + 1) * width // (2 * len(scores))
            # A marker at the top, so that the bar stays visible.
            for n in range(5):
                for x in range(max(middle - 4 + n, 0), min(middle + 5 - n, width)):
                    self._line(painter, base, x, n, n)
            self._line(painter, base, middle, 0, HEIGHT - 1)
        painter.end()
        return pixmap

    def _line(self, painter: Any, color: tuple[int, int, int], x: int, top: int, bottom: int) -> None:
        pen = qt.QPen()
        pen.setColor(qt.QColor(*color))
        painter.setPen(pen)
        painter.drawLine(x, top, x, bottom)

    def _slice_under_cursor(self) -> int:
        x = self.picture.mapFromGlobal(qt.QCursor.pos()).x()
        return slice_at(self._report.scores, max(self.picture.width, 1), x)

    def _update_tip(self) -> None:
        # The button has one tooltip: it follows the mouse.
        if self.picture.underMouse():
            slice_ = self._slice_under_cursor()
            self.picture.toolTip = ui_text.slice_line(self._report, slice_, self._place(slice_))

    def _pressed(self) -> None:
        if self._report is not None:
            self.on_jump(self._slice_under_cursor())

    def _next(self) -> None:
        self.on_next()
