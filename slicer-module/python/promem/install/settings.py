"""The user's pip configuration of the network: index, proxy, certificates. pip itself is not needed.

In: the environment and pip's configuration files, read in pip's own order of precedence. Out: settings as text. Opens
no connection.
"""

import configparser
import os
import pathlib
import sys
import urllib.parse
from collections.abc import Mapping
from typing import Optional

DEFAULT_INDEX = "https://pypi.org/simple/"

# The system-wide file.
SYSTEM_FILE = pathlib.Path("/etc/pip.conf")

# Later sections and later files win, as in `pip install`.
_SECTIONS = ("global", "install")


def setting(name: str, environment: Mapping[str, str] = os.environ) -> Optional[str]:
    """A setting as pip sees it, such as "index-url"; None where it is not set."""
    value = environment.get("PIP_" + name.upper().replace("-", "_"))
    if value:
        return value
    found = None
    for file in _files(environment):
        # A configuration that pip itself could not read is ignored.
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in _SECTIONS:
            if parser.has_section(section):
                for key, text in parser.items(section):
                    if key.replace("_", "-") == name and text.strip():
                        found = text.strip()
    return found


def indexes(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The addresses of the package indexes, in order of preference; none where pip is configured with no-index."""
    if (setting("no-index", environment) or "").lower() in ("1", "true", "yes", "on"):
        return []
    first = setting("index-url", environment) or DEFAULT_INDEX
    others = (setting("extra-index-url", environment) or "").split()
    return list(dict.fromkeys(address.rstrip("/") + "/" for address in [first, *others]))


def certificates(environment: Mapping[str, str] = os.environ) -> Optional[str]:
    """The file or folder of CA certificates that pip is configured with; None: those of Python."""
    named = setting("cert", environment)
    return named or environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE") or None


def without_password(address: str) -> str:
    """The address as it may be shown or logged."""
    parts = urllib.parse.urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _files(environment: Mapping[str, str]) -> list[pathlib.Path]:
    """pip's configuration files, in increasing precedence."""
    given = environment.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return []
    home = pathlib.Path(environment.get("HOME") or os.path.expanduser("~"))
    system = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    files = [pathlib.Path(folder) / "pip" / "pip.conf" for folder in reversed(system) if folder]
    files.append(SYSTEM_FILE)
    if not (given and os.path.exists(given)):
        files.append(home / ".pip" / "pip.conf")
        files.append(pathlib.Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf")
    files.append(pathlib.Path(sys.prefix) / "pip.conf")
    return files + ([pathlib.Path(given)] if given else [])
