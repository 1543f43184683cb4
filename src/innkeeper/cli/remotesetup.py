"""The first sign-in without a browser: the one-time link makes the first admin, whose token is brought back."""

import html
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2

from innkeeper.cli.remoteclient import Remote, address, opened
from innkeeper.engine.errors import Stalled

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_MESSAGE = re.compile(r'role="alert">([^<]+)<')
_TOKEN = {"name": "command line", "role": "operator"}


def parts_of(link: str) -> tuple[str, str]:
    """The server's address and the secret of a link that `innkeeper serve` printed as `setup`."""
    url, _, query = link.strip().partition("/setup?")
    secret = parse_qs(query).get("secret", [""])[0]
    if not urlsplit(url).hostname or not secret:
        raise Stalled("this is not the link of a first start", "it is what innkeeper serve prints as setup")
    return address(url), secret


def first_token(link: str, ca_file: Path | None, name: str, password: str) -> tuple[str, str]:
    """The server's address and a token of the admin that the link made; the session is closed again."""
    url, secret = parts_of(link)
    with opened(url, ca_file, {}) as remote:
        form = {"csrf": _csrf(remote, "/setup"), "secret": secret, "name": name, "password": password}
        answer = remote.send("POST", "/setup", data=form)
        if answer.status_code != 303:
            raise _said(answer) or remote.refused(answer)
        remote.http.headers["X-CSRF-Token"] = _csrf(remote, "/settings")
        token = str(remote.post("/tokens", _TOKEN)["secret"])
        remote.send("POST", "/sign-out")
    return url, token


def _csrf(remote: Remote, path: str) -> str:
    """What ties a form to whoever asked for its page."""
    answer = remote.send("GET", path)
    found = _CSRF.search(answer.text)
    if answer.status_code != 200 or found is None:
        raise remote.refused(answer)
    return html.unescape(found[1])


def _said(answer: httpx2.Response) -> Stalled | None:
    """What the page says is wrong."""
    found = _MESSAGE.search(answer.text)
    return Stalled(html.unescape(found[1])) if found else None
