"""Access control: the first page, which needs the access token in the address, also after a reload.

In: the server before it starts, the token. Out: two routes. Knows nothing of the page behind it.

trame removes the token from the address, so a reload would miss it, and it asks for a launcher, which does not exist.
The first page adds both to the address, from the storage of the browser's tab.
"""

import pathlib
import secrets
from typing import Any

from aiohttp import web
from trame_client.module import vue3

ENTRY_SCRIPT = """<head>
    <script>
      const address = new URL(window.location);
      sessionStorage.setItem("promem", address.searchParams.get("secret"));
      address.searchParams.set("sessionURL", `ws://${address.host}/ws`);
      history.replaceState({}, "", address);
    </script>
    STYLE"""
STYLE = "<style>html, body { background: #0b0d10; color: #98a2ad; font: 14px sans-serif; }</style>"
# A wrong token belongs to an earlier viewer, and is not tried again.
ACCESS_DENIED = f"""<!DOCTYPE html><html><head><title>ProMem</title>{STYLE}
    <script>
      const address = new URL(window.location);
      const token = sessionStorage.getItem("promem");
      if (address.searchParams.has("secret")) {{
        sessionStorage.removeItem("promem");
      }} else if (token) {{
        address.searchParams.set("secret", token);
        window.location.replace(address);
      }}
    </script></head>
    <body style="padding: 40px">Open the full address that the viewer printed: it ends with an access token.</body></html>"""
LOADING = '<div style="display: grid; place-items: center; height: 90vh">Loading …</div>'


def restrict_access(server: Any, token: str) -> None:
    """Serves the first page instead of trame's. To be called before the server starts."""

    def add(web_server: Any) -> None:
        first = pathlib.Path(vue3.www, "index.html").read_text(encoding="utf-8")
        first = first.replace("<head>", ENTRY_SCRIPT.replace("STYLE", STYLE), 1).replace(
            "trame is built by Kitware", "ProMem"
        )

        async def index(request: web.Request) -> web.Response:
            is_allowed = secrets.compare_digest(request.query.get("secret", "").encode(), token.encode())
            text = first if is_allowed else ACCESS_DENIED
            return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

        async def loading(_request: web.Request) -> web.Response:
            return web.Response(text=LOADING, content_type="text/html")

        for path, answer in (("/", index), ("/index.html", index), ("/loading.tpl", loading)):
            web_server.app.router.add_get(path, answer)

    server.controller.on_server_bind.add(add)
