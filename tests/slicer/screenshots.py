"""Pictures of the panel for the documentation: `python screenshots.py [FOLDER] [--dark]`, docs/pictures unless another is
named, where some states are left out. --dark: with a dark theme, to look at.

The engine is the real one, with the default model, on a generated scan whose object fades on some slices; only the
installation is played.
"""

import os
import sys
import types
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_SCALE_FACTOR", "1.5")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pythonqt import stand_in  # noqa: E402

application = stand_in.application()
application.setStyle("Fusion")
application.setFont(stand_in.QtGui.QFont("DejaVu Sans", 9))

import numpy as np  # noqa: E402
import promem_phantom as phantom  # noqa: E402
from pythonqt import slicer_app, timer_gaps  # noqa: E402
from SegmentEditorProMemLib import engine  # noqa: E402

SHAPE = (60, 192, 192)
PAINTED = 30
WIDTH = 400
MOST_BYTES = 150_000
DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "pictures"
DOCUMENTED = ("install", "ready", "propagating", "report", "error")


# Of the object's contrast, what is left on some slices, which are noisy, too.
LEFT = {18: 0.5, 19: 0.4, 20: 0.5, 38: 0.5, 39: 0.4, 40: 0.35, 41: 0.4, 42: 0.5}


def faded(voxels, inside):
    """The scan with slices on which the object is hard to tell from what is around it."""
    random = np.random.default_rng(1)
    for slice_, left in LEFT.items():
        noise = random.normal(0, 150, voxels.shape[1:])
        around = np.where(voxels[slice_] > -500, 40 + noise, voxels[slice_])
        voxels[slice_] = np.where(inside[slice_], 40 + 120 * left + noise, around)
    return voxels


class Played:
    """An installation in the middle of its download."""

    source, state, error, kind = None, "installing", None, None
    phase, done, total, seconds_left = "downloading", 312_000_000, 537_000_000, 42.0
    fraction, is_running = 312 / 537, True
    plan = types.SimpleNamespace(
        version="2.11.0",
        folder="/home/you/.local/share/ProMem/libtorch-2.11.0",
        source="https://pypi.org/simple/",
        offline=False,
        what="libtorch",
        remaining=537_000_000,
        unpacked=1_180_000_000,
        free=212_000_000_000,
    )

    def look(self):
        pass

    def step(self):
        return True

    def close(self):
        pass


def dark_palette():
    """As Slicer's dark theme: light text on dark grey."""
    palette = stand_in.QtGui.QPalette()
    roles = stand_in.QtGui.QPalette.ColorRole
    for role, color in (
        (roles.Window, "#2d2d2d"),
        (roles.Base, "#1e1e1e"),
        (roles.AlternateBase, "#2d2d2d"),
        (roles.Button, "#3a3a3a"),
        (roles.Highlight, "#2a82da"),
        (roles.ToolTipBase, "#2d2d2d"),
    ):
        palette.setColor(role, stand_in.QtGui.QColor(color))
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.HighlightedText, roles.ToolTipText):
        palette.setColor(role, stand_in.QtGui.QColor("#f0f0f0"))
        palette.setColor(stand_in.QtGui.QPalette.ColorGroup.Disabled, role, stand_in.QtGui.QColor("#8a8a8a"))
    return palette


def picture(app, folder, name):
    """Saves what the editor shows, as high as it wants to be."""
    app.python._show()
    app.window.resize(WIDTH, 200)
    for _ in range(3):
        app.events()
        app.python.panel.strip.refresh()
    wanted = app.editor.layout().heightForWidth(WIDTH)
    app.window.resize(WIDTH, wanted if wanted > 0 else app.editor.minimumSizeHint().height())
    for _ in range(3):
        app.events()
        app.python.panel.strip.refresh()
    if folder == DOCUMENTATION and name not in DOCUMENTED:
        return
    path = folder / f"slicer-{name}.png"
    app.editor.grab().save(str(path))
    assert path.stat().st_size < MOST_BYTES, path
    print(path, path.stat().st_size)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--dark"]
    folder = Path(arguments[0]) if arguments else DOCUMENTATION
    folder.mkdir(parents=True, exist_ok=True)
    if "--dark" in sys.argv:
        application.setPalette(dark_palette())

    app = slicer_app.SlicerApp()
    app.python.unsupported_system = lambda: "ProMem does not run on Windows yet: there is an engine for Linux only."
    app.show_window()
    app.effect.activate()
    picture(app, folder, "unsupported")
    app.close()

    app = slicer_app.SlicerApp(installed=False)
    app.python.needs_engine = lambda: True
    app.show_window()
    app.effect.activate()
    picture(app, folder, "engine")
    app.close()

    app = slicer_app.SlicerApp(installed=False)
    app.python.make_installation = lambda source: Played()
    app.show_window()
    app.effect.activate()
    picture(app, folder, "install")
    app.close()

    voxels, truth = phantom.ellipsoid(SHAPE)
    app = slicer_app.SlicerApp(voxels=faded(voxels, truth), names=("Liver", "Kidney"), engine=engine.make_engine(1))
    phantom.show(app)
    app.show_window()
    app.effect.activate()
    timer_gaps.gaps_of(app)
    phantom.paint(app, truth, PAINTED)
    picture(app, folder, "ready")

    app.python.commands.offer_rotation(17.0)
    picture(app, folder, "rotate")
    app.python.commands.rotate_views()

    app.press("ProMemPropagate")
    while app.controller.progress is None or app.controller.progress.done < 18:
        app.events()
    app.python.timer.stop()
    picture(app, folder, "propagating")
    app.python.timer.start()
    timer_gaps.gaps_of(app)
    if app.widget("ProMemNextDoubtful").isEnabled():  # another model may doubt nothing
        app.press("ProMemNextDoubtful")
    app.press("ProMemOptionsFold")
    picture(app, folder, "report")
    app.press("ProMemOptionsFold")

    app.python.commands.change_options({"Model": "/data/weights/sam2.1_hiera_tiny.pt"})
    app.press("ProMemPropagate")
    timer_gaps.gaps_of(app)
    picture(app, folder, "error")
    app.close()


if __name__ == "__main__":
    main()
