"""The viewer in a process of its own and its page in Chromium, for tests: what a user sees, and what a user does.

In: a scan, clicks at voxels. Out: what the page says. What the viewer has to complain of, in its terminal or in the
browser, is kept.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import nibabel
import numpy as np
from playwright.sync_api import sync_playwright
from viewer_scans import strokes

ROOT = pathlib.Path(__file__).resolve().parents[2]
VIEWER = ROOT / "slicer-module" / "viewer" / "promem_viewer.py"
PROGRAM = ROOT / "target" / "release" / "promem"
LIBRARY = ROOT / "target" / "release" / "libpromem.so"
PICTURES = ROOT / "docs" / "pictures"
SIZE = {"width": 1360, "height": 850}
# Everything is drawn by software here, often beside other work.
PATIENCE = 60


def browser():
    """Chromium; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def lacking():
    """What this computer lacks for these tests; empty where they can run."""
    wanted = {"Chromium": browser(), str(PROGRAM): PROGRAM.is_file(), str(LIBRARY): LIBRARY.is_file()}
    return ", ".join(name for name, there in wanted.items() if not there)


class Process:
    """The viewer."""

    def __init__(self, folder, *arguments):
        self.log = folder / "viewer.log"
        self._forgotten = 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("DISPLAY", None)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, VIEWER, "--port", "0", *map(str, arguments)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
            )
        self.address = until(self._address, "the viewer prints its address")

    def _address(self):
        assert self.process.poll() is None, self.said()
        found = re.search(r"^ProMem: (http://\S+)$", self.said(), re.MULTILINE)
        return found and found.group(1)

    def said(self):
        return self.log.read_text()

    def complaints(self):
        """What it has printed beside its address."""
        said = self.said()[self._forgotten :]
        # Slicer's storage tells on two lines that a labelmap begins at the volume's corner.
        told = ("ProMem: ", "Info: ", "vtkMRMLSegmentationStorageNode (")
        return [line for line in said.splitlines() if line.strip() and not line.startswith(told)]

    def forget(self):
        """What it has printed until now was expected."""
        self._forgotten = len(self.said())

    def children(self):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return []

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


@contextlib.contextmanager
def viewing(folder, *arguments):
    """A Page of a viewer that runs with these arguments."""
    process = Process(folder, *arguments)
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=browser(), args=["--no-sandbox", "--use-gl=swiftshader", "--disable-dev-shm-usage"]
            )
            try:
                page = Page(process, chromium.new_page(viewport=SIZE, accept_downloads=True), folder)
                page.load()
                yield page
            finally:
                chromium.close()
    finally:
        process.stop()


def until(ask, what, seconds=PATIENCE):
    """What `ask` answers as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"after {seconds:.0f} s not yet: {what}"
        time.sleep(0.03)


class Page:
    """What a user sees and does."""

    def __init__(self, process, page, folder):
        self.process, self.page, self.folder = process, page, folder
        self.problems = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url} {request.failure}"))
        page.on(
            "response", lambda answer: answer.status >= 400 and self.problems.append(f"{answer.status} {answer.url}")
        )

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text} {message.location}")

    def load(self, address=None):
        self.page.goto(address or self.process.address)
        self.page.wait_for_selector("#status")

    # What it says.

    def value(self, selector, name):
        return self.page.get_attribute(selector, f"data-{name}")

    @property
    def status(self):
        return self.page.inner_text("#status").strip()

    @property
    def failed(self):
        return self.value("#status", "failed") == "true"

    @property
    def running(self):
        return self.value("#status", "running") == "true"

    @property
    def rests(self):
        """Whether the engine has nothing to do."""
        return self.value("#status", "working") == "false"

    @property
    def segments(self):
        """Name -> voxels."""
        read = "all => all.map(each => [each.dataset.name, Number(each.dataset.voxels)])"
        return dict(self.page.eval_on_selector_all(".segment", read))

    @property
    def voxels(self):
        """Of the selected segment."""
        return int(self.value(".segment.chosen", "voxels"))

    def number(self, view="Red"):
        """The slice that a view shows, from 0."""
        return int(self.value(f".view-bar[data-view={view}]", "number"))

    def number_in(self, selector):
        """What a field holds."""
        return float(self.page.input_value(selector))

    def bars(self):
        """(slice, kind) of each bar of the strip."""
        read = "all => all.map(each => [Number(each.dataset.slice), each.className.replace('slot ', '')])"
        return [tuple(bar) for bar in self.page.eval_on_selector_all("#strip .slot", read)]

    def is_drawn(self, view):
        """Whether a view has a picture that is not of one colour."""
        look = """image => {
            if (!image.complete || !image.naturalWidth) return false;
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const values = context.getImageData(0, 0, canvas.width, canvas.height).data;
            return values.some((value, at) => at % 4 < 3 && Math.abs(value - values[at % 4]) > 60);
        }"""
        image = self.page.locator(f".view-bar[data-view={view}]").locator("xpath=../..").locator("img")
        return image.count() == 1 and image.evaluate(look)

    def until(self, ask, what, seconds=PATIENCE):
        try:
            return until(ask, what, seconds)
        except AssertionError as late:
            self.page.screenshot(path=self.folder / "late.png")
            raise AssertionError(
                f"{late}; the page says {self.status!r}, {self.segments}; {self.folder}/late.png"
            ) from None

    def until_says(self, text):
        self.until(lambda: text in self.status, f"the status line says {text!r}")

    def until_ready(self):
        self.until(lambda: self.value("#status", "phase") == "ready" and not self.running, "the engine is ready")

    # What a user does.

    def open(self, path):
        if not self.page.is_visible("#open-card"):
            self.page.click("#open")
        self.page.fill("#path", str(path))
        self.page.click("#open-path")

    def until_opened(self, name):
        """Waits for a scan, and for the card to be away: while it fades it takes what the mouse does."""
        self.until(lambda: self.page.inner_text("#scan") == name, f"{name} is open")
        self.page.wait_for_selector(".v-overlay__scrim", state="detached")
        self.until_ready()

    def press(self, name):
        self.page.click(f"#{name}")

    def add(self):
        """A new segment, selected."""
        count = self.page.locator(".segment").count()
        self.press("add")
        newest = ".segment:last-child.chosen"
        self.until(
            lambda: self.page.locator(".segment").count() == count + 1 and self.page.is_visible(newest),
            "a new segment is selected",
        )

    def limit(self, first, last):
        """Propagates within these slices only, counted from 0."""
        self.page.check("#limited")
        self.until(lambda: self.page.is_enabled("#last"), "the range can be chosen")
        for name, number in (("last", last), ("first", first)):
            self.page.fill(f"#{name}", str(number + 1))
            self.page.press(f"#{name}", "Enter")
        chosen = (first + 1, last + 1)
        self.until(lambda: (self.number_in("#first"), self.number_in("#last")) == chosen, "the range is chosen")

    def choose(self, option, value):
        """Of the options, which are unfolded for it."""
        if self.page.get_attribute("#options", "aria-expanded") == "false":
            self.press("options")
        field = self.page.locator(f"#{option}")
        if field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
            field.press("Enter")

    def slide(self, selector, value):
        write = "(element, value) => { element.value = value; element.dispatchEvent(new Event('input')); }"
        self.page.locator(selector).evaluate(write, value)

    def use(self, tool):
        self.press(f"tool-{tool}")
        self.until(lambda: self.value("#tools", "tool") == tool, f"the tool is {tool}")

    def brush(self, millimetres):
        self.slide("#brush", millimetres)
        self.until(lambda: self.page.inner_text(".tool-row .value") == f"{millimetres} mm", "the brush has its size")

    def turn(self, number, view="Red"):
        """Shows a slice in a view."""
        self.slide(f".view-bar[data-view={view}] input[type=range]", number)
        self.until(lambda: self.number(view) == number, f"{view} shows slice {number}")

    def at(self, view="Red"):
        """A function from the two indices that run across a view, the horizontal one first, to where they are on the
        page.
        """
        x, y, width, height = self.place_of(view)
        corners = [(x + width * part, y + height * part) for part in (0.3, 0.7)]
        (x0, y0), (x1, y1) = corners
        (a, b), (c, d) = (self._across(view, corner) for corner in corners)
        return lambda across, down: (x0 + (across - a) * (x1 - x0) / (c - a), y0 + (down - b) * (y1 - y0) / (d - b))

    def place_of(self, view="Red"):
        """Left, top, width and height of a view on the page."""
        box = self.page.locator(f".view-bar[data-view={view}]").locator("..").bounding_box()
        return box["x"], box["y"], box["width"], box["height"]

    def _across(self, view, place):
        """The indices at a place that run across its view."""
        # A view's own axis does not change under the mouse.
        along = "ijk".index(self.value(f".view-bar[data-view={view}]", "axis"))
        self.move(place)
        index = [float(number) for number in self.value("#pointed", "index").split(",")]
        return index[:along] + index[along + 1 :]

    def move(self, place):
        """Moves the mouse, and waits until the viewer has seen it there: of moves that come faster it sees the last
        only.
        """
        self.page.mouse.move(*place)
        self.until(lambda: self._is_seen_at(place), "the viewer has seen where the mouse is")

    def _is_seen_at(self, place):
        view, at = self.value("#pointed", "view"), self.value("#pointed", "at")
        if not view:
            return False
        x, y, _, height = self.place_of(view)
        seen = [int(number) for number in at.split(",")]
        return abs(seen[0] - (place[0] - x)) <= 1 and abs(seen[1] - (y + height - place[1])) <= 1

    def click(self, place, control=False):
        """Returns when, by the monotonic clock."""
        self.move(place)
        began = time.monotonic()
        if control:
            self.page.keyboard.down("Control")
        self.page.mouse.click(*place)
        if control:
            self.page.keyboard.up("Control")
        return began

    def until_previewed(self, points):
        """Waits for the preview of the newest of so many points."""
        self.until(
            lambda: self.value("#marks", "points") == str(points) and self.rests, f"{points} points are previewed"
        )
        assert not self.failed, self.status
        return time.monotonic()

    def run(self, button="propagate"):
        """Propagates, to the end."""
        self.press(button)
        self.until(lambda: self.running or self.failed, "the propagation begins")
        self.until(lambda: not self.running, "the propagation ends")
        self.until_ready()

    def drag(self, places):
        """Presses at the first place and releases at the last."""
        self.move(places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.move(place)
        self.page.mouse.up()

    def paint(self, mask):
        """Paints most of a mask [j, i] of the generated scan on the slice that the axial view shows. Returns how many
        voxels that are.
        """
        at = self.at()
        self.use("paint")
        self.brush(8)
        self.drag([at(*place) for place in strokes(mask, 2)])
        self.until(lambda: self.voxels > 0.5 * mask.sum(), "the stroke is in the segment")
        self.until(lambda: self.page.is_enabled("#undo"), "the stroke can be undone")
        return self.voxels

    def labels(self):
        """All segments, [k, j, i]."""
        return np.asanyarray(nibabel.load(self.save(".nii.gz")).dataobj).T

    def save(self, kind):
        """The file that a browser gets."""
        self.press("save")
        with self.page.expect_download() as download:
            self.press("save-nrrd" if kind == ".seg.nrrd" else "save-nifti")
        path = self.folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def picture(self, name, into_documentation=True):
        """Beside the other files of the test; with PROMEM_PICTURES=1 where pictures are kept: into the documentation,
        or into target/.
        """
        from PIL import Image

        shot = self.folder / f"{name}.png"
        self.page.mouse.move(3, 3)
        self.until(lambda: self.page.inner_text("#pointed") == "", "no voxel is pointed at")
        self.settle()
        self.page.screenshot(path=shot)
        if os.environ.get("PROMEM_PICTURES") == "1":
            kept = PICTURES if into_documentation else ROOT / "target" / "pictures"
            kept.mkdir(parents=True, exist_ok=True)
            # A palette: a third of the size, and no difference that is seen.
            with Image.open(shot) as image:
                image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
                    kept / f"viewer-{name}.png", optimize=True
                )

    def settle(self):
        """Waits until the page looks the same twice: views are drawn in haste first, and well when nothing moves."""
        shots = [b""]

        def same():
            shots.append(self.page.screenshot(animations="disabled"))
            return shots[-1] == shots[-2] == shots[max(0, len(shots) - 5)]

        self.until(same, "the page rests")
