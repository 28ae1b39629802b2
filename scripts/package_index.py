"""Whether the package index that pip will use answers. Standard library only, and before there is a pip to ask."""

from __future__ import annotations

import configparser
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

DEFAULT = "https://pypi.org/simple"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
TIMEOUT = 5.0  # s


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """pip's options `index-url`, `no-index` and `cert`, as it reads them: files first, variables last."""
    home = Path(environment.get("HOME", "/"))
    system = environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    files = [*(Path(folder) / "pip" / "pip.conf" for folder in system), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", Path(environment.get("XDG_CONFIG_HOME", home / ".config")) / "pip/pip.conf"]
    if environment.get("PIP_CONFIG_FILE"):
        files.append(Path(environment["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser(strict=False)
    parser.read([str(file) for file in files], encoding="utf-8")
    found = {}
    for name in ("index-url", "no-index", "cert"):
        for section in ("global", "install"):
            if parser.has_option(section, name):
                found[name] = parser.get(section, name)
        variable = environment.get("PIP_" + name.upper().replace("-", "_"))
        if variable:
            found[name] = variable
    return found


def fault(environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    """Why the index cannot be asked, and the Debian packages that would help; None when it answers, or is not used."""
    chosen = settings(environment)
    if chosen.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return None
    if "cert" in chosen and not Path(chosen["cert"]).exists():
        return f"pip's certificates {chosen['cert']} do not exist; correct `cert` in its configuration or PIP_CERT", ()
    index = chosen.get("index-url", DEFAULT)
    try:
        urllib.request.urlopen(f"{index.rstrip('/')}/setuptools/", timeout=TIMEOUT).close()
    except urllib.error.HTTPError as error:
        # Any other answer shows that somebody is there; what pip may do there, pip will be told.
        if error.code == 407:
            return f"the proxy before the package index {_shown(index)} wants a password; put it into https_proxy", ()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):
            remedy = "check the network, https_proxy, and index-url in pip's configuration"
            return f"the package index {_shown(index)} cannot be reached ({reason}); {remedy}", ()
        # pip brings authorities of its own; what does not is the set-up, which looks for the CPU build of PyTorch.
        if not AUTHORITIES.exists() and "cert" not in chosen:
            return "no certificate authorities are installed, so no server can be trusted", ("ca-certificates",)
    return None


def _shown(address: str) -> str:
    """The address without a password in it."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
