"""Opens addresses, through the user's proxy and with the user's certificates, and explains a failure in one sentence.

In: an address. Out: an open response, whose reads time out. Knows nothing of wheels.
"""

import base64
import http.client
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any, Optional

from . import settings
from .errors import InstallError

# Seconds without a byte after which a connection counts as broken.
TIMEOUT = 30.0

# Certificate bundles of the common distributions, for a Python that was built without a path.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

# What urllib and http.client raise when a connection cannot be made or breaks off.
CONNECTION_ERRORS = (OSError, http.client.HTTPException)


class Network:
    """One for an installation. indexes: addresses, whose user and password are used for everything on the same host."""

    def __init__(self, indexes: Iterable[str] = ()) -> None:
        self._passwords = {}
        for address in indexes:
            given, _, host = urllib.parse.urlsplit(address).netloc.rpartition("@")
            if given:
                self._passwords[host] = given
        proxy = settings.setting("proxy")
        self._proxies = {"http": proxy, "https": proxy} if proxy else urllib.request.getproxies()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(self._proxies), urllib.request.HTTPSHandler(context=_context())
        )

    def open(self, address: str, method: str = "GET", **headers: str) -> Any:
        """Raises one of CONNECTION_ERRORS."""
        address = settings.without_password(address)
        request = urllib.request.Request(address, method=method, headers=headers)
        given = self._passwords.get(urllib.parse.urlsplit(address).netloc)
        if given:
            user, _, password = given.partition(":")
            pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}".encode()
            # Not sent to the target of a redirect.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())
        return self._opener.open(request, timeout=TIMEOUT)

    def read(self, address: str, accept: str) -> Optional[tuple[bytes, str, str]]:
        """A page: its text, type and final address; None where there is none (404). Raises InstallError."""
        for last in (False, True):
            try:
                with self.open(address, Accept=accept) as answer:
                    return answer.read(), answer.headers.get("Content-Type", ""), answer.geturl()
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                raise self.failure(address, error) from error
            except CONNECTION_ERRORS as error:
                if last or isinstance(getattr(error, "reason", error), (ssl.SSLError, ValueError)):
                    raise self.failure(address, error) from error
            except ValueError as error:
                raise self.failure(address, error) from error
        raise AssertionError("the second attempt returns or raises")

    def failure(self, address: str, error: Exception) -> InstallError:
        """The error for an address that cannot be read."""
        shown = settings.without_password(address)
        if isinstance(error, urllib.error.HTTPError):
            hint = f"; {self._describe_proxy(address)}" if error.code == 407 else ""
            return InstallError("network", f"{shown} answers {error.code} {error.reason}{hint}")
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLError):
            return InstallError(
                "network",
                f"{_host(address)}: the connection is not trusted ({reason}); "
                "where a proxy has certificates of its own, name their file in PIP_CERT (Slicer replaces SSL_CERT_FILE)",
            )
        reason = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return InstallError("network", f"no connection to {_host(address)}: {reason}; {self._describe_proxy(address)}")

    def _describe_proxy(self, address: str) -> str:
        parts = urllib.parse.urlsplit(address)
        variable = f"{parts.scheme.upper()}_PROXY"
        proxy = self._proxies.get(parts.scheme)
        if not proxy:
            return f"{variable} is not set: behind a proxy, set it to the proxy's address"
        if urllib.request.proxy_bypass(_host(address)):
            return f"{variable} is {settings.without_password(proxy)}, but NO_PROXY excludes this host"
        if settings.setting("proxy"):
            return f"through pip's proxy {settings.without_password(proxy)}"
        return f"through the proxy {settings.without_password(proxy)} ({variable})"


def _host(address: str) -> str:
    return settings.without_password(address).split("://", 1)[-1].split("/", 1)[0]


def _context() -> ssl.SSLContext:
    named = settings.certificates()
    if named:
        try:
            if os.path.isdir(named):
                return ssl.create_default_context(capath=named)
            return ssl.create_default_context(cafile=named)
        except (OSError, ssl.SSLError) as error:
            raise InstallError("network", f"{named}: certificates cannot be read from it ({error})") from error
    context = ssl.create_default_context()
    # Certificates of a folder are loaded on demand and not counted.
    if not context.get_ca_certs() and not ssl.get_default_verify_paths().capath:
        for bundle in _BUNDLES:
            if os.path.isfile(bundle):
                context.load_verify_locations(cafile=bundle)
                break
    return context
