"""A real Gitea on loopback, with its data in a directory of the test's own. Its scripts/gitea.py builds it once."""

import base64
import itertools
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gitea
import httpx2

PASSWORD = "correct-horse-9"
_numbers = itertools.count(1)
"""Names are used once: one server serves many tests."""
_SETTINGS = """\
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static}
DISABLE_SSH = true
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db

[security]
INSTALL_LOCK = true
PASSWORD_COMPLEXITY = off

[service]
DISABLE_REGISTRATION = true

[webhook]
ALLOWED_HOST_LIST = loopback

[indexer]
ISSUE_INDEXER_TYPE = db

[cron]
ENABLED = false

[log]
LEVEL = warn
"""


class Missing(Exception):
    """What must be built first."""


@dataclass(frozen=True)
class Gitea:
    """`admin` is the name of its first user; every user's password is PASSWORD."""

    url: str
    folder: Path
    admin: str = "boss"

    def command(self, *words: str) -> str:
        binary = gitea.found()
        assert binary is not None
        call = [str(binary), "-c", str(self.folder / "app.ini"), *words]
        return subprocess.run(call, env=_environment(), capture_output=True, text=True, check=True).stdout

    def call(self, method: str, path: str, body: Any = None, *, user: str = "") -> Any:
        """One call of the API as a user (the admin), with the password."""
        with httpx2.Client(base_url=f"{self.url}/api/v1", auth=(user or self.admin, PASSWORD), timeout=30) as client:
            answer = client.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else answer.text

    def user(self, prefix: str) -> str:
        """A new one; the name, which begins with `prefix`."""
        name = f"{prefix}{next(_numbers)}"
        body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD, "must_change_password": False}
        self.call("POST", "/admin/users", body)
        return name

    def organization(self) -> str:
        name = f"org{next(_numbers)}"
        self.call("POST", "/orgs", {"username": name})
        return name

    def token(self, user: str = "", scopes: tuple[str, ...] = ("all",)) -> str:
        user = user or self.admin
        body = {"name": f"t{time.monotonic_ns()}", "scopes": list(scopes)}
        return str(self.call("POST", f"/users/{user}/tokens", body, user=user)["sha1"])

    def repository(self, *, user: str = "") -> str:
        """A new one with a first commit on main; its path, `owner/name`."""
        body = {"name": f"infra{next(_numbers)}", "auto_init": True, "default_branch": "main", "private": False}
        return str(self.call("POST", "/user/repos", body, user=user)["full_name"])

    def fork(self, repository: str, user: str) -> str:
        return str(self.call("POST", f"/repos/{repository}/forks", {}, user=user)["full_name"])

    def write(
        self, repository: str, path: str, text: str, *, branch: str = "main", new: str = "", user: str = ""
    ) -> str:
        """Commit a file, on the branch or on the new one `new` that starts there; the commit."""
        body: dict[str, Any] = {
            "content": base64.b64encode(text.encode()).decode(),
            "branch": branch,
            "message": f"Write {path}",
        }
        if new:
            body["new_branch"] = new
        there = [
            item for item in self.call("GET", f"/repos/{repository}/git/trees/{branch}?recursive=1")["tree"]
            if item["path"] == path
        ]  # fmt: skip
        if there:
            body["sha"] = there[0]["sha"]
        made = self.call("PUT" if there else "POST", f"/repos/{repository}/contents/{path}", body, user=user)
        return str(made["commit"]["sha"])

    def remove(self, repository: str, path: str, *, branch: str = "main", new: str = "") -> str:
        """Commit that a file is gone, as `write` does; the commit."""
        sha = self.call("GET", f"/repos/{repository}/contents/{path}?ref={branch}")["sha"]
        body = {"sha": sha, "branch": branch, "message": f"Remove {path}", **({"new_branch": new} if new else {})}
        return str(self.call("DELETE", f"/repos/{repository}/contents/{path}", body)["commit"]["sha"])

    def push(self, repository: str, *refspecs: str) -> None:
        """By git itself, from a fresh clone."""
        address = f"{self.url.replace('://', f'://{self.admin}:{PASSWORD}@')}/{repository}.git"
        place = self.folder / f"clone{time.monotonic_ns()}"
        for words in (
            ["clone", "--quiet", address, str(place)],
            ["-C", str(place), "push", "--quiet", "origin", *refspecs],
        ):
            subprocess.run(["git", *words], env=_environment(), check=True, capture_output=True)

    def pull(self, repository: str, head: str, *, title: str = "Change", user: str = "") -> int:
        """A pull request from `head` (`branch`, or `owner:branch`) into main."""
        body = {"head": head, "base": "main", "title": title}
        return int(self.call("POST", f"/repos/{repository}/pulls", body, user=user)["number"])

    def merge(self, repository: str, pull: int) -> None:
        """Once Gitea has found out that it can be."""
        end = time.monotonic() + 30
        while not self.call("GET", f"/repos/{repository}/pulls/{pull}")["mergeable"]:
            assert time.monotonic() < end, "this cannot be merged"
            time.sleep(0.1)
        self.call("POST", f"/repos/{repository}/pulls/{pull}/merge", {"Do": "merge"})

    def comments(self, repository: str, pull: int) -> list[tuple[int, str, str]]:
        """Id, author and text of each."""
        found = self.call("GET", f"/repos/{repository}/issues/{pull}/comments")
        return [(item["id"], item["user"]["login"], item["body"]) for item in found]

    def rendered(self, repository: str, pull: int) -> str:
        """The page of a pull request, as people see it."""
        with httpx2.Client(timeout=30) as browser:
            return browser.get(f"{self.url}/{repository}/pulls/{pull}").text

    def statuses(self, repository: str, revision: str) -> list[tuple[str, str, str, str]]:
        """State, context, text and URL of the newest of each context."""
        found = self.call("GET", f"/repos/{repository}/commits/{revision}/status")["statuses"]
        return [(item["status"], item["context"], item["description"], item["target_url"]) for item in found]

    def webhook(self, repository: str, url: str, secret: str) -> int:
        config = {"url": url, "content_type": "json", "secret": secret}
        body = {
            "type": "gitea",
            "active": True,
            "config": config,
            "events": ["push", "pull_request", "pull_request_sync"],
        }
        return int(self.call("POST", f"/repos/{repository}/hooks", body)["id"])

    def provider(self, redirect: str) -> tuple[str, str]:
        """Be an OpenID Connect provider for a client that is sent back to `redirect`: its id and secret.

        The issuer is `url` with a slash.
        """
        body = {"name": "innkeeper", "redirect_uris": [redirect], "confidential_client": True}
        made = self.call("POST", "/user/applications/oauth2", body)
        return str(made["client_id"]), str(made["client_secret"])

    def consent(self, authorize: str, *, user: str = "") -> str:
        """Sign in as a user, let the client in: where the browser is sent back to."""
        with httpx2.Client(base_url=self.url, timeout=30) as browser:
            answer = browser.post("/user/login", data={"user_name": user or self.admin, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            answer = browser.get(authorize)
            if answer.is_success:
                fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
                answer = browser.post("/login/oauth/grant", data={**fields, "granted": "true"})
            assert answer.is_redirect, answer.text
            return str(answer.headers["location"])


@contextmanager
def running(folder: Path) -> Iterator[Gitea]:
    """Raises Missing where it was not built."""
    binary = gitea.found()
    if binary is None:
        raise Missing("Gitea: make parts")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = os.environ.get("USER") or "root"
    (folder / "app.ini").write_text(_SETTINGS.format(folder=folder, port=port, static=gitea.STATIC, user=user))
    server = Gitea(f"http://127.0.0.1:{port}", folder)
    words = [str(binary), "-c", str(folder / "app.ini"), "web"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, env=_environment(), stdout=log, stderr=log)
    try:
        _wait(server, process)
        login = ("--username", server.admin, "--password", PASSWORD, "--email", "boss@example.org")
        server.command("admin", "user", "create", "--admin", *login, "--must-change-password=false")
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "USER") if name in os.environ}
    return {"USER": "root", **kept, "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true"}


def _wait(server: Gitea, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    address = (urlsplit(server.url).hostname, urlsplit(server.url).port)
    while process.poll() is None and time.monotonic() < end:
        try:
            if httpx2.get(f"{server.url}/api/healthz", timeout=5).is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"Gitea did not come up on {address}: {(server.folder / 'log').read_text()[-2000:]}")
