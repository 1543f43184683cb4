"""One source's git repository: a bare mirror beside us, plain files out of it, commits back into it."""

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from innkeeper.control.ports import Commit, FileChange
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting
from innkeeper.sources import gittree, submodules
from innkeeper.sources.gitcommand import NOBODY, Git, Login, configuration, problem

_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF = re.compile(r"(?!.*(\.\.|//|@\{|\.lock(/|$)))[A-Za-z0-9_][A-Za-z0-9._/+@-]*(?<![/.])")
_FORMAT = "%H%x00%an%x00%ae%x00%ct%x00%s%x1e"
_ATTEMPTS = 8
_MOVED = (
    "non-fast-forward",
    "fetch first",
    "stale info",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value",
)
"""How git says that somebody else was quicker."""
_TURN_SECONDS = 0.05
_NULL = "0" * 40


class GitRepository:
    """Implements `innkeeper.control.ports.Repository`. Several processes may use the same directory."""

    def __init__(
        self,
        name: str,
        url: str,
        home: Path,
        *,
        branch: str = "main",
        path: str = ".",
        login: Login = NOBODY,
        environ: Mapping[str, str] | None = None,
        submodules: bool = False,
    ) -> None:
        """`home` is Innkeeper's data directory. Nothing is fetched yet. `submodules`: those beside it are followed."""
        if not _REF.fullmatch(branch):
            raise Stalled(f"source {name}: {branch!r} is not the name of a branch", "name a branch such as main")
        if path != "." and not gittree.safe(path):
            raise Stalled(f"source {name}: {path!r} is not a path inside a repository", "name one without ..")
        self.name, self._url, self._branch = name, url, branch
        self._path = "" if path == "." else path.strip("/")
        self._mirror = home / "mirrors" / f"{name}.git"
        self._checkouts = home / "checkouts" / name
        self._config = home / "mirrors" / f"{name}.gitconfig"
        self._git = Git(self._mirror, self._config, os.environ if environ is None else environ, login)
        self._submodules = submodules
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"GitRepository({self.name!r})"

    async def fetch(self) -> Commit:
        """See Repository.fetch. What was there before stays where the server does not answer."""
        async with self._held():
            await self._fetch()
            return await self._commit(await self._head() or self._no_branch())

    async def resolve(self, ref: str) -> str:
        """See Repository.resolve."""
        if not _REF.fullmatch(ref):
            raise Stalled(f"source {self.name}: {ref!r} is not the name of a revision", "name a commit, branch or tag")
        async with self._held():
            if (found := await self._known(ref)) is not None:
                return found
            full = ref if ref.startswith("refs/") or _REVISION.fullmatch(ref) else f"refs/heads/{ref}"
            answer = await self._pull(f"+{full}:refs/innkeeper/asked")
            if answer is not None and full.startswith("refs/heads/"):
                answer = await self._pull(f"+refs/tags/{ref}:refs/innkeeper/asked")
            if answer is not None:
                if isinstance(answer, Waiting):
                    raise answer
                raise Stalled(f"source {self.name} has no revision {ref}", "name a commit, branch or tag that is there")
            return await self._rev("refs/innkeeper/asked") or self._no_branch()

    async def heads(self, branches: Sequence[str]) -> Mapping[str, str]:
        """See Repository.heads."""
        names = {f"refs/heads/{branch}": branch for branch in branches}
        async with self._held():
            answer = await self._git("ls-remote", "--", self._url, *names, remote=True)
        if answer.status:
            raise problem(f"source {self.name}: asking {self._url}", answer.errors)
        rows = (line.split("\t", 1) for line in answer.text.splitlines() if "\t" in line)
        return {names[ref]: revision for revision, ref in rows if ref in names and _REVISION.fullmatch(revision)}

    async def checkout(self, revision: str) -> Path:
        """See Repository.checkout. Stalled where something in it is refused."""
        self._is_commit(revision)
        root = self._checkouts / revision
        place = root / self._path if self._path else root
        if not root.is_dir():
            async with self._held():
                listing = await self._git.must(
                    f"source {self.name}: reading {revision[:12]}",
                    *("ls-tree", "-r", "-z", "-l", "--full-tree", "--end-of-options", revision),
                    *(["--", self._path] if self._path else []),
                )
                if self._submodules:
                    files = await submodules.files(self._git, listing.output, revision, self._url, self.name)
                else:
                    files = gittree.accepted(gittree.entries(listing.output))
                try:
                    await gittree.write(self._git, files, root)
                except OSError as error:
                    raise Waiting(f"source {self.name} cannot be written to disk: {error.strerror}") from None
        if not place.is_dir():
            raise Stalled(
                f"source {self.name}: there is no directory {self._path} at {revision[:12]}", "check the source's path"
            )
        await asyncio.to_thread(gittree.forget, self._checkouts, root)
        return place

    async def log(self, limit: int = 50, path: str = "") -> tuple[Commit, ...]:
        """The newest commits of the branch as it was fetched last; of those that touch `path`, where it is given."""
        if path and not gittree.safe(path):
            raise Stalled(f"{path!r} is not a path inside a repository")
        async with self._held():
            head = await self._head()
            if head is None:
                return ()
            what = ["--", path or self._path] if path or self._path else []
            answer = await self._git.must(
                f"source {self.name}: reading its history",
                *("log", f"--max-count={limit}", f"--format={_FORMAT}", "--end-of-options", head),
                *what,
            )
            return tuple(_commits(answer.output))

    async def blame(self, revision: str, path: str, line: int) -> Commit | None:
        """The commit that a line comes from."""
        self._is_commit(revision)
        if not gittree.safe(path) or line < 1:
            return None
        async with self._held():
            answer = await self._git("blame", "--porcelain", f"-L{line},{line}", revision, "--", path)
            found = answer.text.split(" ", 1)[0]
            return await self._commit(found) if answer.status == 0 and _REVISION.fullmatch(found) else None

    async def text(self, revision: str, path: str) -> str | None:
        """A file's text at a commit; None where there is no such file."""
        self._is_commit(revision)
        if not gittree.safe(path):
            return None
        async with self._held():
            answer = await self._git("cat-file", "blob", f"{revision}:{path}")
            return answer.output.decode(errors="replace") if answer.status == 0 else None

    async def commit(
        self,
        changes: Sequence[FileChange],
        message: str,
        author: str,
        *,
        below: str,
        expected: str = "",
        branch: str = "",
    ) -> str:
        """See Repository.commit. Where nothing would change, the revision that is there."""
        for change in changes:
            _confined(change.path, below)
        if branch and not _REF.fullmatch(branch):
            raise Stalled(f"{branch!r} is not the name of a branch")
        async with self._held():
            for _ in range(_ATTEMPTS):
                await self._fetch()
                head = await self._head()
                await self._unmoved(head, expected, changes)
                made = await self._make(head, changes, message, author)
                if made == head:
                    return made
                target = f"{made}:refs/heads/{branch or self._branch}"
                answer = await self._git("push", "--quiet", "--porcelain", "--", self._url, target, remote=True)
                if answer.status == 0:
                    await self._git.must("noting a commit", "update-ref", "refs/innkeeper/pushed", made)
                    if not branch:
                        await self._git.must("noting a commit", "update-ref", self._ours, made)
                    return made
                said = f"{answer.text}\n{answer.errors}"
                if not any(word in said for word in _MOVED):
                    raise problem(f"source {self.name}: pushing", said)
                if branch:
                    raise Conflict(f"source {self.name}: branch {branch} is there already")
            raise Conflict(f"source {self.name}: the branch moved {_ATTEMPTS} times meanwhile", "try again")

    @property
    def _ours(self) -> str:
        return f"refs/heads/{self._branch}"

    async def _fetch(self) -> None:
        answer = await self._pull(f"+refs/heads/{self._branch}:{self._ours}")
        if answer is None:
            return
        # A repository without a single commit has no branch yet, which is no error; one that lost it is.
        if "couldn't find remote ref" in answer.message.lower():
            if await self._head() is None and await self._empty():
                return
            self._no_branch()
        raise answer

    async def _empty(self) -> bool:
        answer = await self._git.must(
            f"source {self.name}: asking", "ls-remote", "--heads", "--", self._url, remote=True
        )
        return not answer.text

    def _no_branch(self) -> str:
        raise Stalled(
            f"source {self.name}: the repository has no branch {self._branch}", "push it, or name another in the source"
        )

    async def _pull(self, refspec: str) -> EngineError | None:
        answer = await self._git(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *("--no-auto-maintenance", "--", self._url, refspec),
            remote=True,
            seconds=300.0,
        )
        return problem(f"source {self.name}: fetching {self._url}", answer.errors) if answer.status else None

    async def _head(self) -> str | None:
        return await self._rev(self._ours)

    async def _rev(self, ref: str) -> str | None:
        answer = await self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        found = answer.text.splitlines()[-1] if answer.text else ""
        return found if answer.status == 0 and _REVISION.fullmatch(found) else None

    async def _known(self, ref: str) -> str | None:
        """A commit that is here already. Branches are asked for anew: they move."""
        return await self._rev(ref) if re.fullmatch(r"[0-9a-f]{7,64}", ref) else None

    async def _commit(self, revision: str) -> Commit:
        answer = await self._git.must(
            f"source {self.name}: reading {revision[:12]}",
            *("log", "--max-count=1", f"--format={_FORMAT}", "--end-of-options", revision),
        )
        return next(iter(_commits(answer.output)))

    def _is_commit(self, revision: str) -> None:
        if not _REVISION.fullmatch(revision):
            raise Stalled(f"source {self.name}: {revision!r} is not a commit", "resolve it first")

    async def _unmoved(self, head: str | None, expected: str, changes: Sequence[FileChange]) -> None:
        """Conflict where the files that are to change are not what they were at `expected`."""
        if not expected or head is None or head == expected:
            return
        self._is_commit(expected)
        paths = [change.path for change in changes]
        answer = await self._git("diff", "--quiet", "--end-of-options", expected, head, "--", *paths)
        if answer.status:
            raise Conflict(
                f"source {self.name}: {', '.join(paths)} changed since {expected[:12]}",
                "Look at what it is now, and make the change again.",
            )

    async def _make(self, head: str | None, changes: Sequence[FileChange], message: str, author: str) -> str:
        """A commit object on top of `head`, without a work tree."""
        with tempfile.TemporaryDirectory(prefix="innkeeper-", dir=self._mirror) as place:
            index = {"GIT_INDEX_FILE": str(Path(place) / "index")}
            what = f"source {self.name}: making a commit"
            await self._indexed(what, index, "read-tree", head if head else "--empty")
            lines = []
            for change in changes:
                await self._no_odd_parent(head, change.path)
                if change.text is None:
                    lines.append(f"0 {_NULL}\t{change.path}\0")
                    continue
                answer = await self._git.must(what, "hash-object", "-w", "--stdin", stdin=change.text.encode())
                lines.append(f"100644 {answer.text}\t{change.path}\0")
            await self._indexed(what, index, "update-index", "-z", "--index-info", stdin="".join(lines))
            tree = await self._indexed(what, index, "write-tree")
            if head is not None and tree == await self._tree(head):
                return head
            person = _plain(author) or "Innkeeper"
            mail = f"{re.sub(r'[^a-z0-9.-]+', '-', person.lower()).strip('-') or 'innkeeper'}@innkeeper.invalid"
            who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (
                ("NAME", person if role == "AUTHOR" else "Innkeeper"), ("EMAIL", mail))}  # fmt: skip
            parents = ["-p", head] if head else []
            answer = await self._git("commit-tree", tree, *parents, "-F", "-", stdin=message.encode(), extra=who)
            if answer.status:
                raise problem(what, answer.errors)
            return answer.text

    async def _indexed(self, what: str, index: Mapping[str, str], *words: str, stdin: str = "") -> str:
        answer = await self._git(*words, stdin=stdin.encode(), extra=index)
        if answer.status:
            raise problem(what, answer.errors)
        return answer.text

    async def _tree(self, revision: str) -> str:
        answer = await self._git.must(f"source {self.name}", "rev-parse", "--verify", f"{revision}^{{tree}}")
        return answer.text

    async def _no_odd_parent(self, head: str | None, path: str) -> None:
        """No part of a path that is written may be a link or a submodule: the file would lie elsewhere."""
        if head is None:
            return
        parts = PurePosixPath(path).parts
        names = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        answer = await self._git.must(
            f"source {self.name}", "ls-tree", "-z", "-l", "--full-tree", "--end-of-options", head, "--", *names
        )
        for entry in gittree.entries(answer.output):
            if entry.mode in ("120000", "160000"):
                raise Stalled(f"source {self.name}: {entry.path} is a link or a submodule", "nothing is written there")

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """The mirror, made where it is not there, held against other tasks, threads and processes."""
        async with self._lock:
            try:
                descriptor = self._door()
            except OSError as error:
                raise Waiting(f"source {self.name}: {self._mirror.parent}: {error.strerror}") from None
            try:
                while not _taken(descriptor):  # noqa: ASYNC110 - another process may hold it
                    await asyncio.sleep(_TURN_SECONDS)
                self._configure()
                if not (self._mirror / "HEAD").is_file():
                    await self._create()
                yield
            finally:
                os.close(descriptor)

    def _door(self) -> int:
        self._mirror.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(f"{self._mirror}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _configure(self) -> None:
        wanted = configuration(self._url)
        try:
            if not self._config.is_file() or self._config.read_text(encoding="utf-8") != wanted:
                self._config.write_text(wanted, encoding="utf-8")
        except OSError as error:
            raise Waiting(f"source {self.name}: {self._config}: {error.strerror}") from None

    async def _create(self) -> None:
        shutil.rmtree(self._mirror, ignore_errors=True)
        await self._git.must(f"source {self.name}", "init", "--quiet", "--bare", "--template=", f"-b{self._branch}")


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def create_bare(place: Path, branch: str = "main", *, begun: bool) -> None:
    """A repository that Innkeeper keeps itself; nothing is done where it is there.

    `begun`: with a first commit that declares nothing. Without one, whoever has a history already can push it.
    """
    if (place / "HEAD").is_file():
        return
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = place.parent / "gitconfig"
    config.write_text(configuration(str(place)), encoding="utf-8")
    git = Git(place, config, os.environ)
    await git.must(f"making {place}", "init", "--quiet", "--bare", "--template=", f"-b{branch}")
    if not begun:
        return
    tree = await git.must(f"making {place}", "hash-object", "-t", "tree", "-w", "--stdin")
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (
        ("NAME", "Innkeeper"), ("EMAIL", "innkeeper@innkeeper.invalid"))}  # fmt: skip
    made = await git("commit-tree", tree.text, "-m", "Nothing is declared yet", extra=who)
    if made.status:
        raise problem(f"making {place}", made.errors)
    await git.must(f"making {place}", "update-ref", f"refs/heads/{branch}", made.text)


def _confined(path: str, below: str) -> None:
    """Stalled where a path is not below the approved one."""
    root = PurePosixPath(below)
    if not gittree.safe(path) or (below != "." and not PurePosixPath(path).is_relative_to(root)):
        raise Stalled(f"{path!r} is not below {below}", "only files below the approved path are written")


def _commits(output: bytes) -> list[Commit]:
    found = []
    for record in output.decode(errors="replace").split("\x1e"):
        fields = record.strip("\n").split("\0")
        if len(fields) == 5:
            at = datetime.fromtimestamp(int(fields[3]), UTC)
            found.append(Commit(fields[0], fields[1], fields[2], fields[4], at))
    return found


def _plain(author: str) -> str:
    return re.sub(r"[<>\x00-\x1f\x7f]", "", author).strip()[:100]
