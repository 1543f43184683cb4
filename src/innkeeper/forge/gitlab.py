"""GitLab.

Facts: its REST API v4, "Commits: set commit pipeline status", "Notes", "Merge requests"; and its own code,
`Ci::CreateCommitStatusService`.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from innkeeper.engine.errors import Stalled
from innkeeper.forge.calls import Calls, Line
from innkeeper.forge.sticky import Comment, is_ours, marked

_DESCRIPTION = 255
_STATES = {"pending": "pending", "success": "success", "failure": "failed"}


@dataclass(frozen=True, slots=True)
class GitLab:
    """Implements `innkeeper.control.ports.Forge`. `repository` is the project's path, groups and all."""

    calls: Calls
    repository: str
    branch: str
    context: str

    async def status(
        self, revision: str, state: Literal["pending", "success", "failure"], text: str, url: str, ref: str = ""
    ) -> None:
        """See Forge.status. GitLab refuses to set a status to the state that it has; that is no failure.

        A fork's commit is on no branch here, and GitLab wants to know then what the status refers to.
        """
        body = {"state": _STATES[state], "name": self.context, "description": text[:_DESCRIPTION], "target_url": url}
        told, path = {k: v for k, v in body.items() if v}, f"{self._path}/statuses/{revision}"
        async with self.calls.open() as line:
            try:
                await line.write("POST", path, told)
            except Stalled as refused:
                if "References for commit" in refused.message and ref:
                    await line.write("POST", path, told | {"ref": ref})
                elif "Cannot transition status" not in refused.message or not await self._has(line, revision, state):
                    raise

    async def comment(self, pull: int, text: str, marker: str) -> None:
        """See Forge.comment."""
        body = marked(text, marker)
        notes = f"{self._path}/merge_requests/{pull}/notes"
        async with self.calls.open() as line:
            there = await self._ours(line, notes, marker)
            if there is None:
                await line.write("POST", notes, {"body": body})
            elif there.body.rstrip() != body:
                await line.write("PUT", f"{notes}/{there.id}", {"body": body})

    async def open_pull(self, branch: str, title: str, text: str) -> tuple[int, str]:
        """See Forge.open_pull."""
        body = {"source_branch": branch, "target_branch": self.branch, "title": title, "description": text}
        async with self.calls.open() as line:
            made = await line.write("POST", f"{self._path}/merge_requests", body)
        return int(made["iid"]), str(made["web_url"])

    @property
    def _path(self) -> str:
        return f"/projects/{quote(self.repository, safe='')}"

    async def _has(self, line: Line, revision: str, state: str) -> bool:
        path = f"{self._path}/repository/commits/{revision}/statuses"
        found = line.pages(path, name=self.context, per_page=100)
        return any([item["name"] == self.context and item["status"] == _STATES[state] async for item in found])

    async def _ours(self, line: Line, notes: str, marker: str) -> Comment | None:
        me = str((await line.get("/user"))["username"])
        async for item in line.pages(notes, sort="asc", order_by="created_at", per_page=100):
            comment = Comment(int(item["id"]), str((item["author"] or {}).get("username", "")), str(item["body"] or ""))
            if is_ours(comment, me, marker):
                return comment
        return None
