"""The page: a panel beside the views, and the card that opens a scan. Its HTML and CSS are in the folder `page`.

In: a server, views. Out: a page. Values come from the state (`view_state`), clicks go to the triggers (`actions`).
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from trame.widgets import client, html
from trame_vuetify.ui.vuetify3 import VAppLayout

FOLDER = pathlib.Path(__file__).resolve().parent / "page"
THEME = {
    "theme": {
        "defaultTheme": "dark",
        "themes": {
            "dark": {"dark": True, "colors": {"primary": "#4fc7b8", "surface": "#16191d", "background": "#0b0d10"}}
        },
    }
}
# The icon beside the title: three slices.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%234fc7b8' stroke-width='1.8' "
    "stroke-linejoin='round'%3E%3Cpath d='M3 8 12 4l9 4-9 4z'/%3E%3Cpath d='m3 12 9 4 9-4'/%3E%3Cpath d='m3 16 9 4 9-4'/%3E%3C/svg%3E"
)
# The keys are those of the effect in Slicer; each presses a visible button.
KEYS = """
const buttons = { p: "propagate", c: "keep", u: "undo-point", x: "clear", n: "next-doubtful", "ctrl+z": "undo", "ctrl+shift+z": "redo", "ctrl+y": "redo" };
window.addEventListener("keydown", (event) => {
    if (event.altKey || event.repeat || event.target.matches("select, input:not([type=range]):not([type=checkbox])")) return;
    const key = (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.shiftKey ? "shift+" : "") + event.key.toLowerCase();
    const button = document.getElementById(buttons[key]);
    if (!button) return;
    event.preventDefault();
    button.click();
});
window.addEventListener("contextmenu", (event) => event.target.closest(".views") && event.preventDefault());
"""


def bar(file: str, titles: Mapping[str, str]) -> Callable[[Any, str, Any], None]:
    """The bar over a view, from a file with the placeholders NAME and TITLE."""

    def put(_server: Any, _view_id: str, view: Any) -> None:
        name = view.get_singleton_tag()
        text = (FOLDER / file).read_text(encoding="utf-8").replace("NAME", name).replace("TITLE", titles[name])
        html.Div(text, classes="over")

    return put


def build(server: Any, views: Any) -> Any:
    """The whole page."""
    server.state.trame__title = "ProMem"
    server.state.trame__favicon = ICON
    with VAppLayout(server, theme="dark", vuetify_config=THEME) as layout:
        client.Style((FOLDER / "style.css").read_text(encoding="utf-8"))
        client.Script(KEYS)
        html.Div((FOLDER / "panel.html").read_text(encoding="utf-8"), classes="panel")
        with html.Div(classes="views", mouseenter="over_views = true", mouseleave="over_views = false"):
            views.layout.initialize_layout_grid(layout)
        html.Div((FOLDER / "open.html").read_text(encoding="utf-8"))
    return layout
