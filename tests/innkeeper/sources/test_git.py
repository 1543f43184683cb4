"""Real repositories, read and written; and what nobody may make git do."""

import asyncio
import os
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from innkeeper.control.ports import FileChange
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting
from innkeeper.sources import gittree
from innkeeper.sources.git import GitRepository, create_bare
from innkeeper.sources.gitcommand import Login, configuration
from tests.innkeeper.configure.conftest import openssh

CANARY = "canary-7f3a9c1e5b"


@dataclass(frozen=True)
class Upstream:
    """A repository that people push to, with a work tree to do it from."""

    work: Path
    bare: Path

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
        command = ["git", *identity, "-C", str(self.work), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def push(self, files: dict[str, str | None], message: str = "more") -> str:
        for name, text in files.items():
            path = self.work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "-A")
        return self.committed(message)

    def committed(self, message: str = "more") -> str:
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    bare, work = tmp_path / "upstream.git", tmp_path / "work"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "config", "receive.denyDeleteCurrent", "ignore"], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    made = Upstream(work, bare)
    made.git("remote", "add", "origin", str(bare))
    return made


def source(upstream: Upstream, tmp_path: Path, **options: object) -> GitRepository:
    return GitRepository("home", str(upstream.bare), tmp_path / "data", **options)  # type: ignore[arg-type]


async def test_what_was_pushed_is_fetched_and_checked_out(upstream: Upstream, tmp_path: Path) -> None:
    revision = upstream.push({"house/a.yaml": "a: 1\n", "other/b.yaml": "b: 2\n"}, "The house")
    repository = source(upstream, tmp_path, path="house")
    commit = await repository.fetch()
    assert (commit.revision, commit.author, commit.subject) == (revision, "Ada", "The house")
    place = await repository.checkout(revision)
    assert (place / "a.yaml").read_text() == "a: 1\n"
    assert not (place.parent / "other").exists()
    newer = upstream.push({"house/a.yaml": "a: 2\n"})
    assert (await repository.fetch()).revision == newer
    assert ((await repository.checkout(newer)) / "a.yaml").read_text() == "a: 2\n"
    assert (place / "a.yaml").read_text() == "a: 1\n", "an earlier checkout stays what it was"


async def test_history_and_blame(upstream: Upstream, tmp_path: Path) -> None:
    first = upstream.push({"a.yaml": "a: 1\nb: 1\n"}, "first")
    second = upstream.push({"a.yaml": "a: 1\nb: 2\n"}, "second")
    upstream.push({"other.txt": "x"}, "third")
    repository = source(upstream, tmp_path)
    newest = (await repository.fetch()).revision
    assert [item.subject for item in await repository.log()] == ["third", "second", "first"]
    assert [item.subject for item in await repository.log(path="a.yaml")] == ["second", "first"]
    found = [await repository.blame(newest, "a.yaml", line) for line in (1, 2, 3)]
    assert [item.revision if item else None for item in found] == [first, second, None]


async def test_heads_are_told_as_the_server_has_them(upstream: Upstream, tmp_path: Path) -> None:
    first = upstream.push({"a.yaml": "1"})
    repository = source(upstream, tmp_path)
    assert await repository.heads(["main", "snapshot"]) == {"main": first}
    upstream.git("push", "-q", "origin", "HEAD:snapshot", "HEAD:other/snapshot")
    second = upstream.push({"a.yaml": "2"})
    assert await repository.heads(["main", "snapshot"]) == {"main": second, "snapshot": first}
    upstream.bare.rename(tmp_path / "away")
    with pytest.raises(EngineError, match="source home: asking"):
        await repository.heads(["main"])


async def test_a_ref_is_resolved_to_its_commit(upstream: Upstream, tmp_path: Path) -> None:
    main = upstream.push({"a.yaml": "a: 1\n"})
    upstream.git("checkout", "-q", "-b", "change")
    upstream.git("commit", "-q", "--allow-empty", "-m", "proposed")
    other = upstream.git("rev-parse", "HEAD")
    upstream.git("push", "-q", "origin", "HEAD:change", "HEAD:refs/pull/5/head")
    upstream.git("tag", "v1")
    upstream.git("push", "-q", "origin", "v1")
    repository = source(upstream, tmp_path)
    for ref in ("change", "refs/pull/5/head", "v1", other):
        assert await repository.resolve(ref) == other, ref
    assert await repository.resolve("main") == main
    with pytest.raises(Stalled, match="no revision nothing"):
        await repository.resolve("nothing")


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch /tmp/owned", "-x", "a..b", "a b", "a:b", "@{u}", "", "../x", "a\n"]
)
async def test_a_ref_is_never_an_option(upstream: Upstream, tmp_path: Path, ref: str) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    with pytest.raises(Stalled, match="not the name of a revision"):
        await source(upstream, tmp_path).resolve(ref)


@pytest.mark.parametrize("revision", ["--output=/tmp/owned", "main", "HEAD", "-p", "", "a" * 39])
async def test_a_revision_is_never_an_option(upstream: Upstream, tmp_path: Path, revision: str) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    repository = source(upstream, tmp_path)
    with pytest.raises(Stalled, match="is not a commit"):
        await repository.checkout(revision)


@pytest.mark.parametrize("branch", ["--upload-pack=x", "-b", "a..b", "a b", "x.lock"])
def test_a_branch_is_never_an_option(tmp_path: Path, branch: str) -> None:
    with pytest.raises(Stalled, match="not the name of a branch"):
        GitRepository("home", "/srv/x.git", tmp_path, branch=branch)


@pytest.mark.parametrize("path", ["../etc", "/etc", "a/../../b", ".git", "a//b"])
def test_a_source_path_stays_inside(tmp_path: Path, path: str) -> None:
    with pytest.raises(Stalled, match="not a path inside"):
        GitRepository("home", "/srv/x.git", tmp_path, path=path)


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% {owned}", "--upload-pack=touch {owned}", "fd::17", "git://127.0.0.1/x"]
)
async def test_no_other_transport_is_spoken(tmp_path: Path, url: str) -> None:
    owned = tmp_path / "owned"
    repository = GitRepository("home", url.format(owned=owned), tmp_path / "data")
    with pytest.raises(EngineError):
        await repository.fetch()
    assert not owned.exists()


async def test_an_https_source_never_reads_a_local_repository(upstream: Upstream, tmp_path: Path) -> None:
    """Only a source that is local itself may: what a server or a submodule names may not."""
    upstream.push({"a.yaml": "a: 1\n"})

    class Kept(GitRepository):
        def _configure(self) -> None:
            self._config.write_text(configuration("https://git.example.org/x.git"))

    kept = Kept("home", f"file://{upstream.bare}", tmp_path / "data")
    with pytest.raises(EngineError, match="not allowed"):
        await kept.fetch()


async def test_hooks_of_a_repository_are_not_run(upstream: Upstream, tmp_path: Path) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    owned = tmp_path / "owned"
    for name in ("pre-receive", "post-receive", "update", "post-update"):
        hook = upstream.bare / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {owned}\n")
        hook.chmod(0o755)
    await source(upstream, tmp_path).commit([FileChange("m/web.yaml", "x\n")], "by form", "ada", below="m")
    assert not owned.exists()


def _link(upstream: Upstream) -> None:
    (upstream.work / "passwd.yaml").symlink_to("/etc/passwd")
    upstream.git("add", "-A")


def _submodule(upstream: Upstream) -> None:
    upstream.git("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},vendored")


def _lfs(upstream: Upstream) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n"
    (upstream.work / "image.yaml").write_text(text)
    upstream.git("add", "-A")


def _tree(name: str) -> object:
    def make(upstream: Upstream) -> None:
        """A tree that no work tree could hold; git itself makes it without a word."""
        blob = upstream.git("hash-object", "-w", "/dev/null")
        raw = f"100644 {name}".encode() + b"\0" + bytes.fromhex(blob)
        done = subprocess.run(
            ["git", "-C", str(upstream.work), "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
            input=raw, capture_output=True, check=True,
        )  # fmt: skip
        commit = upstream.git("commit-tree", done.stdout.decode().strip(), "-m", "odd")
        upstream.git("reset", "-q", "--soft", commit)
        upstream.git("push", "-q", "-f", "origin", f"{commit}:refs/heads/main")

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(_link, "is a symbolic link", id="link"),
        pytest.param(_submodule, "is a submodule", id="submodule"),
        pytest.param(_lfs, "git LFS", id="lfs"),
        pytest.param(_tree(".."), "not a path", id="dots"),
        pytest.param(_tree(".git"), "not a path", id="git"),
        pytest.param(_tree("a\\b"), "not a path", id="backslash"),
    ],
)
async def test_what_is_no_plain_file_is_refused(upstream: Upstream, tmp_path: Path, make: object, reason: str) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    make(upstream)  # type: ignore[operator]
    if reason != "not a path":
        upstream.committed()
    repository = source(upstream, tmp_path)
    commit = await repository.fetch()
    with pytest.raises(Stalled, match=reason):
        await repository.checkout(commit.revision)
    assert not (tmp_path / "data" / "checkouts" / "home" / commit.revision).exists()


@pytest.mark.parametrize(("limit", "value"), [("MOST_FILES", 2), ("LARGEST_TREE", 10), ("LARGEST_FILE", 8)])
async def test_too_much_is_refused(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    revision = upstream.push({f"{number}.yaml": f"number: {number}\n" for number in range(3)})
    monkeypatch.setattr(gittree, limit, value)
    repository = source(upstream, tmp_path)
    await repository.fetch()
    with pytest.raises(Stalled, match="refused"):
        await repository.checkout(revision)


async def test_a_file_is_read_as_it_is_in_git(upstream: Upstream, tmp_path: Path) -> None:
    """No filter, no line ending, no executable bit of a repository has any effect."""
    (upstream.work / ".gitattributes").write_text("* text eol=crlf filter=evil export-subst\n")
    (upstream.work / "run.sh").write_text("#!/bin/sh\n$Format:%H$\n")
    (upstream.work / "run.sh").chmod(0o755)
    upstream.git("add", "-A")
    revision = upstream.committed()
    repository = source(upstream, tmp_path)
    await repository.fetch()
    file = await repository.checkout(revision) / "run.sh"
    assert file.read_bytes() == b"#!/bin/sh\n$Format:%H$\n"
    assert not file.stat().st_mode & stat.S_IXUSR


async def test_a_commit_is_pushed_with_its_author(upstream: Upstream, tmp_path: Path) -> None:
    before = upstream.push({"m/a.yaml": "a: 1\n", "m/old.yaml": "b: 1\n"})
    repository = source(upstream, tmp_path)
    changes = [FileChange("m/web.yaml", "web: 1\n"), FileChange("m/old.yaml", None)]
    made = await repository.commit(changes, "Add web\n\nby a form", "Ada <x>\nLovelace", below="m", expected=before)
    upstream.git("pull", "-q", "origin", "main")
    assert upstream.git("rev-parse", "HEAD") == made
    assert sorted(path.name for path in (upstream.work / "m").iterdir()) == ["a.yaml", "web.yaml"]
    assert upstream.git("log", "-1", "--format=%an|%s|%b") == "Ada xLovelace|Add web|by a form"
    assert (await repository.fetch()).revision == made
    again = await repository.commit(changes[:1], "Add web", "Ada", below="m")
    assert again == made, "nothing to change is no commit"


async def test_commits_of_others_are_kept(upstream: Upstream, tmp_path: Path) -> None:
    """Another file moved: ours goes on top. The same file moved: a person must look."""
    before = upstream.push({"m/a.yaml": "a: 1\n"})
    repository = source(upstream, tmp_path)
    await repository.fetch()
    upstream.push({"m/b.yaml": "b: 1\n"})
    await repository.commit([FileChange("m/a.yaml", "a: 2\n")], "ours", "ada", below="m", expected=before)
    upstream.git("pull", "-q", "origin", "main")
    assert (upstream.work / "m/b.yaml").exists()
    assert (upstream.work / "m/a.yaml").read_text() == "a: 2\n"
    with pytest.raises(Conflict, match=r"m/a\.yaml changed"):
        await repository.commit([FileChange("m/a.yaml", "a: 3\n")], "stale", "ada", below="m", expected=before)


async def test_many_writers_lose_nothing(upstream: Upstream, tmp_path: Path) -> None:
    upstream.push({"m/a.yaml": "a: 1\n"})
    writers = [GitRepository("home", str(upstream.bare), tmp_path / f"data{number % 3}") for number in range(6)]
    await asyncio.gather(
        *(
            writer.commit([FileChange(f"m/{number}.yaml", "x\n")], str(number), "ada", below="m")
            for number, writer in enumerate(writers)
        )
    )
    upstream.git("pull", "-q", "origin", "main")
    assert len(list((upstream.work / "m").iterdir())) == 7


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/cron.d/x", "m/../x", "x.yaml", "mm/x.yaml", "m/.git/config", "m/a\nb", "m\\x", "m//x", "m/./x"],
)
async def test_nothing_is_written_outside_the_approved_path(upstream: Upstream, tmp_path: Path, path: str) -> None:
    before = upstream.push({"m/a.yaml": "a: 1\n"})
    repository = source(upstream, tmp_path)
    with pytest.raises(Stalled, match="not below m"):
        await repository.commit([FileChange(path, "x")], "escape", "ada", below="m")
    assert (await repository.fetch()).revision == before


async def test_nothing_is_written_through_a_link(upstream: Upstream, tmp_path: Path) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    (upstream.work / "m").symlink_to("/etc")
    upstream.git("add", "-A")
    upstream.committed()
    with pytest.raises(Stalled, match="is a link"):
        await source(upstream, tmp_path).commit([FileChange("m/x.yaml", "x")], "escape", "ada", below="m")


async def test_a_proposal_goes_to_a_branch_of_its_own(upstream: Upstream, tmp_path: Path) -> None:
    before = upstream.push({"m/a.yaml": "a: 1\n"})
    repository = source(upstream, tmp_path)
    made = await repository.commit([FileChange("m/b.yaml", "b\n")], "b", "ada", below="m", branch="innkeeper/add-b")
    assert (await repository.fetch()).revision == before
    assert await repository.resolve("innkeeper/add-b") == made


async def test_a_repository_of_its_own_begins_with_a_commit(tmp_path: Path) -> None:
    place = tmp_path / "repositories" / "portal.git"
    await create_bare(place, begun=True)
    await create_bare(place, begun=True)
    repository = GitRepository("portal", str(place), tmp_path)
    first = await repository.fetch()
    assert list((await repository.checkout(first.revision)).glob("*.yaml")) == []
    made = await repository.commit([FileChange("web.yaml", "x\n")], "web", "ada", below=".")
    assert (await repository.fetch()).revision == made


async def test_a_repository_of_its_own_takes_a_history_that_is_there(tmp_path: Path, upstream: Upstream) -> None:
    revision = upstream.push({"a.yaml": "a: 1\n"})
    place = tmp_path / "repositories" / "home.git"
    await create_bare(place, begun=False)
    repository = GitRepository("home", str(place), tmp_path)
    with pytest.raises(Stalled, match="has no branch main"):
        await repository.fetch()
    upstream.git("push", "-q", str(place), "HEAD:main")
    assert (await repository.fetch()).revision == revision


async def test_a_server_that_is_down_is_waited_for(tmp_path: Path) -> None:
    repository = GitRepository("home", "http://127.0.0.1:1/x.git", tmp_path)
    with pytest.raises(Waiting, match="fetching"):
        await repository.fetch()


async def test_a_branch_that_is_gone_is_an_error(upstream: Upstream, tmp_path: Path) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    repository = source(upstream, tmp_path)
    await repository.fetch()
    upstream.git("push", "-q", "origin", "HEAD:refs/heads/other")
    upstream.git("push", "-q", "origin", ":main")
    with pytest.raises(Stalled, match="no branch main"):
        await repository.fetch()


class _Server(BaseHTTPRequestHandler):
    seen: list[str] = []
    paths: list[str] = []
    here = ""

    def do_GET(self) -> None:
        sign = self.headers.get("Authorization", "")
        self.seen.append(sign)
        self.paths.append(self.path)
        if self.path.startswith("/moved"):
            self.send_response(301)
            self.send_header("Location", f"{self.here}/elsewhere.git/info/refs?service=git-upload-pack")
        elif sign:
            self.send_response(500)
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Server.seen, _Server.paths = [], []
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    _Server.here = f"http://localhost:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


async def test_a_password_is_shown_to_nobody_but_the_server(server: str, tmp_path: Path) -> None:
    """While git runs every process of ours is looked at: neither arguments nor environments hold the password."""
    login = Login(username="ada", password=CANARY)
    repository = GitRepository("home", f"{server}/x.git", tmp_path / "data", login=login)
    found: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        text = (process / name).read_bytes()
                    except OSError:
                        continue
                    if CANARY.encode() in text:
                        found.append(f"{process}/{name}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(Waiting) as raised:
            await repository.fetch()
    finally:
        stop.set()
        watcher.join()
    import base64

    assert any(base64.b64encode(f"ada:{CANARY}".encode()).decode() in sign for sign in _Server.seen), _Server.seen
    assert found == []
    assert CANARY not in str(raised.value) + repr(repository) + repr(repository._git)
    held = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert held == []


async def test_a_redirect_is_not_followed(server: str, tmp_path: Path) -> None:
    repository = GitRepository("home", f"{server}/moved.git", tmp_path, login=Login("ada", CANARY))
    with pytest.raises(EngineError):
        await repository.fetch()
    assert not any(_Server.seen)
    assert _Server.paths and not any("elsewhere" in path for path in _Server.paths)


async def test_the_machine_s_own_settings_are_not_read(upstream: Upstream, tmp_path: Path) -> None:
    system = tmp_path / "gitconfig"
    system.write_text("[canary]\n    sings = true\n")
    upstream.push({"a.yaml": "a: 1\n"})
    repository = source(upstream, tmp_path)
    await repository.fetch()
    listed = await repository._git("config", "--list", extra={"GIT_CONFIG_SYSTEM": str(system)})
    assert "hookspath" in listed.text.lower()
    assert "canary" not in listed.text


def ssh_key(file: Path) -> tuple[str, str]:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file.read_text(), file.with_suffix(".pub").read_text().strip()


async def test_a_host_that_nobody_vouched_for_is_not_talked_to(tmp_path: Path) -> None:
    """Its key is in no `knownHosts`; that our own key would be let in does not matter."""
    with openssh(tmp_path / "sshd") as host:
        key, public = ssh_key(tmp_path / "key")
        host.allow(public)
        url = f"ssh://root@{host.address}/srv/x.git"
        with pytest.raises(Stalled, match="knownHosts"):
            await GitRepository("home", url, tmp_path / "a", login=Login(ssh_key=key)).fetch()
        known = f"{host.address} {(host.directory / 'host_key.pub').read_text()}"
        with pytest.raises(Stalled, match=r"x\.git"):
            await GitRepository("home", url, tmp_path / "b", login=Login(ssh_key=key, known_hosts=known)).fetch()


async def test_helpers_and_settings_of_this_machine_are_not_used(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    owned, home = tmp_path / "owned", tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        textwrap.dedent(f"""
        [credential]
            helper = "!touch {owned}"
        [core]
            fsmonitor = "touch {owned}"
        [url "https://127.0.0.1:1/"]
            insteadOf = /
        """)
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "never")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    await source(upstream, tmp_path).fetch()
    assert not owned.exists()


def test_two_processes_share_a_mirror(upstream: Upstream, tmp_path: Path) -> None:
    upstream.push({"a.yaml": "a: 1\n"})
    code = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from innkeeper.control.ports import FileChange
        from innkeeper.sources.git import GitRepository
        import sys
        async def main():
            repository = GitRepository("home", {str(upstream.bare)!r}, Path({str(tmp_path / "data")!r}))
            for number in range(3):
                change = FileChange(f"m/{{sys.argv[1]}}-{{number}}.yaml", "x")
                await repository.commit([change], "x", "ada", below="m")
        asyncio.run(main())
    """)
    processes = [subprocess.Popen([sys.executable, "-c", code, str(number)], env=dict(os.environ)) for number in (1, 2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    upstream.git("pull", "-q", "origin", "main")
    assert len(list((upstream.work / "m").iterdir())) == 6
