"""GitHub, and Gitea and Forgejo, which took over its API.

Facts: GitHub REST "Commit statuses", "Issue comments", "Pulls" (version 2022-11-28); Gitea `routers/api/v1`.
"""

from dataclasses import dataclass
from typing import Literal

from innkeeper.forge.calls import Calls, Line
from innkeeper.forge.sticky import Comment, is_ours, marked

_DESCRIPTION = 140
"""GitHub refuses longer ones."""


@dataclass(frozen=True, slots=True)
class GitHub:
    """Implements `innkeeper.control.ports.Forge`. `repository` is `owner/name`, `branch` the source's own."""

    calls: Calls
    repository: str
    branch: str
    context: str
    """The status's name: `innkeeper/home`."""

    async def status(
        self, revision: str, state: Literal["pending", "success", "failure"], text: str, url: str, ref: str = ""
    ) -> None:
        """See Forge.status."""
        body = {"state": state, "context": self.context, "description": text[:_DESCRIPTION], "target_url": url}
        async with self.calls.open() as line:
            await line.write("POST", f"{self._path}/statuses/{revision}", {k: v for k, v in body.items() if v})

    async def comment(self, pull: int, text: str, marker: str) -> None:
        """See Forge.comment."""
        body = marked(text, marker)
        async with self.calls.open() as line:
            there = await self._ours(line, pull, marker)
            if there is None:
                await line.write("POST", f"{self._path}/issues/{pull}/comments", {"body": body})
            elif there.body.rstrip() != body:
                await line.write("PATCH", f"{self._path}/issues/comments/{there.id}", {"body": body})

    async def open_pull(self, branch: str, title: str, text: str) -> tuple[int, str]:
        """See Forge.open_pull."""
        body = {"head": branch, "base": self.branch, "title": title, "body": text}
        async with self.calls.open() as line:
            made = await line.write("POST", f"{self._path}/pulls", body)
        return int(made["number"]), str(made["html_url"])

    @property
    def _path(self) -> str:
        return f"/repos/{self.repository}"

    async def _ours(self, line: Line, pull: int, marker: str) -> Comment | None:
        me = str((await line.get("/user"))["login"])
        async for item in line.pages(f"{self._path}/issues/{pull}/comments", per_page=100):
            comment = Comment(int(item["id"]), str((item["user"] or {}).get("login", "")), str(item["body"] or ""))
            if is_ours(comment, me, marker):
                return comment
        return None
