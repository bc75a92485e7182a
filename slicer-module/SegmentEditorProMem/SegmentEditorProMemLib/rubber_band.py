"""The rectangle that follows the mouse while a box is drawn in a slice view.

In: two corners in pixels of a view. Out: a VTK actor. Knows no effect, no prompt and no view.
"""

from collections.abc import Sequence

import vtk

COLOR = (1.0, 0.85, 0.2)
LINE_WIDTH = 2.0


class RubberBand:
    """actor: to be added to a view. It is hidden until `show`."""

    def __init__(self) -> None:
        self._points = vtk.vtkPoints()
        self._points.SetNumberOfPoints(4)
        lines = vtk.vtkCellArray()
        lines.InsertNextCell(5)
        for corner in (0, 1, 2, 3, 0):
            lines.InsertCellPoint(corner)
        self._outline = vtk.vtkPolyData()
        self._outline.SetPoints(self._points)
        self._outline.SetLines(lines)
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._outline)
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.GetProperty().SetColor(*COLOR)
        self.actor.GetProperty().SetLineWidth(LINE_WIDTH)
        self.actor.SetVisibility(False)

    def show(self, corner: Sequence[float], opposite: Sequence[float]) -> None:
        (x0, y0), (x1, y1) = corner[:2], opposite[:2]
        for number, (x, y) in enumerate(((x0, y0), (x1, y0), (x1, y1), (x0, y1))):
            self._points.SetPoint(number, x, y, 0.0)
        self._points.Modified()
        self._outline.Modified()
        self.actor.SetVisibility(True)

    def hide(self) -> None:
        self.actor.SetVisibility(False)
