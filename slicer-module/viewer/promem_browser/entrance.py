"""The way in: the first page, which lets in who has the whole address, also after it is loaded again.

In: the server before it starts, the word that an address must hold. Out: two routes. Knows nothing of what is shown behind it.

trame takes the word out of the address, and would not find it when the page is loaded again; and it asks for a launcher first, which there is not.
Both are told to it in the address, from what the browser's tab remembers.
"""

import pathlib
from typing import Any

from aiohttp import web
from trame_client.module import vue3

GATE = """<head>
    <script>
      const address = new URL(window.location);
      const word = address.searchParams.get("secret") || sessionStorage.getItem("promem");
      if (word) {
        sessionStorage.setItem("promem", word);
        address.searchParams.set("secret", word);
        address.searchParams.set("sessionURL", `ws://${address.host}/ws`);
        history.replaceState({}, "", address);
      } else {
        window.stop();
        document.documentElement.innerHTML = `REFUSED`;
      }
    </script>
    <style>html, body { background: #0b0d10; color: #98a2ad; font: 14px sans-serif; }</style>"""
REFUSED = '<body style="padding: 40px">Open the whole address that the viewer has printed: it ends with a word that lets you in.</body>'
LOADING = '<div style="display: grid; place-items: center; height: 90vh">Loading …</div>'


def open_entrance(server: Any) -> None:
    """Puts the first page in front of trame's. To be called before the server starts."""

    def add(web_server: Any) -> None:
        first = pathlib.Path(vue3.www, "index.html").read_text(encoding="utf-8")
        first = first.replace("<head>", GATE.replace("REFUSED", REFUSED), 1).replace(
            "trame is built by Kitware", "ProMem"
        )

        async def index(_request: web.Request) -> web.Response:
            return web.Response(text=first, content_type="text/html", headers={"Cache-Control": "no-store"})

        async def loading(_request: web.Request) -> web.Response:
            return web.Response(text=LOADING, content_type="text/html")

        for path, answer in (("/", index), ("/index.html", index), ("/loading.tpl", loading)):
            web_server.app.router.add_get(path, answer)

    server.controller.on_server_bind.add(add)
