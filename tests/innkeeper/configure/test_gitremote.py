"""Branches of real repositories, and what nobody may make git do."""

import os
import subprocess
from pathlib import Path

import pytest

from innkeeper.configure.gitremote import GitProblem, Remotes, check
from innkeeper.configure.insider import Insides
from innkeeper.configure.keep import Keep
from innkeeper.engine.inside import Readiness, Tracked
from tests.innkeeper.configure.conftest import Sshd, inside


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    commit(path)
    return path


def git(path: Path, *words: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", *identity, "-C", str(path), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(path: Path) -> str:
    git(path, "commit", "-q", "--allow-empty", "-m", "more")
    return git(path, "rev-parse", "HEAD")


@pytest.fixture
def remotes(tmp_path: Path) -> Remotes:
    return Remotes(os.environ, tmp_path / "git_known_hosts")


async def test_a_new_commit_is_a_new_fingerprint(repository: Path, insides: Insides, tmp_path: Path) -> None:
    item = inside(tmp_path, tracked=[Tracked(str(repository), "main")])
    first = await insides.prepare([item])
    assert first.diagnostics == ()
    again = await insides.prepare([item])
    newest = commit(repository)
    second = await insides.prepare([item])
    assert first.fingerprints == again.fingerprints != second.fingerprints
    assert second.commits == {item.ref: newest}


async def test_a_branch_that_is_not_there(repository: Path, insides: Insides, tmp_path: Path) -> None:
    ready = await insides.prepare(
        [
            inside(tmp_path, tracked=[Tracked(str(repository), "dev")]),
            inside(tmp_path, tracked=[Tracked(str(repository), "main")], name="db"),
        ]
    )
    assert [(item.code, item.summary) for item in ready.diagnostics] == [
        ("NoSuchBranch", f"Container/web: {repository} has no branch dev")
    ]
    assert [ref.name for ref in ready.fingerprints] == ["db"]


async def test_a_server_that_is_not_there(remotes: Remotes, tmp_path: Path) -> None:
    with pytest.raises(GitProblem) as caught:
        await remotes.commit("git://127.0.0.1:1/x.git", "main")
    assert caught.value.code == "GitUnreachable"
    assert "127.0.0.1" in str(caught.value)
    with pytest.raises(GitProblem, match=r"does not appear to be a git repository|does not exist"):
        await remotes.commit(str(tmp_path / "none"), "main")


@pytest.mark.parametrize(
    ("url", "branch", "code"),
    [
        ("--upload-pack=touch /tmp/x", "main", "BadRepository"),
        ("--upload-pack=touch", "main", "BadRepository"),
        ("ext::sh -c touch% x", "main", "BadRepository"),
        ("ext::touch", "main", "BadRepository"),
        ("file:///etc", "main", "BadRepository"),
        ("http://example.org/x.git", "main", "BadRepository"),
        ("ssh://-oProxyCommand=touch/x", "main", "BadRepository"),
        ("me@-oProxyCommand=touch:x", "main", "BadRepository"),
        ("relative/path", "main", "BadRepository"),
        ("/srv/../etc", "main", "BadRepository"),
        ("https://example.org/a\nb", "main", "BadRepository"),
        ("https://me:secret@example.org/x.git", "main", "SecretInURL"),
        ("https://example.org/x.git", "--upload-pack=touch", "BadBranch"),
        ("https://example.org/x.git", "a..b", "BadBranch"),
        ("https://example.org/x.git", "a b", "BadBranch"),
        ("https://example.org/x.git", "*", "BadBranch"),
        ("https://example.org/x.git", "", "BadBranch"),
    ],
)
def test_git_is_never_asked_for_what_is_no_repository_or_branch(url: str, branch: str, code: str) -> None:
    with pytest.raises(GitProblem) as caught:
        check(url, branch)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x.git",
        "ssh://git@example.org:2222/x.git",
        "git@example.org:me/x.git",
        "git://h/x",
        "/srv/x",
    ],
)
@pytest.mark.parametrize("branch", ["main", "feature/one-2", "v1.0", "release_3"])
def test_usual_repositories_and_branches_pass(url: str, branch: str) -> None:
    check(url, branch)


async def test_a_private_key_opens_a_repository_and_is_written_nowhere(
    repository: Path, remotes: Remotes, sshd: Sshd, tmp_path: Path
) -> None:
    keep = Keep(tmp_path)
    key = keep.private_key("deploy")
    sshd.allow(keep.public_key("deploy"))
    url = f"ssh://root@{sshd.address}{repository}"
    text = key.read_text()
    key.unlink()
    assert await remotes.commit(url, "main", text) == git(repository, "rev-parse", "HEAD")
    sshd.allow()
    with pytest.raises(GitProblem) as caught:
        await remotes.commit(url, "main", text)
    assert "Permission denied" in str(caught.value)
    assert "deploy key" in caught.value.advice


async def test_only_the_host_key_that_is_declared_is_believed(
    repository: Path, insides: Insides, sshd: Sshd, tmp_path: Path
) -> None:
    keep = Keep(tmp_path)
    sshd.allow(keep.public_key("deploy"))
    (tmp_path / "deploy").mkdir(exist_ok=True)
    (tmp_path / "deploy/key").write_text(keep.private_key("deploy").read_text())
    key = {"secretRef": {"name": "here", "key": "key"}}
    line = f"{sshd.address} {(sshd.directory / 'host_key.pub').read_text()}"

    async def asked(known_hosts: str | None) -> Readiness:
        tracked = Tracked(f"ssh://root@{sshd.address}{repository}", "main", key, known_hosts)
        return await insides.prepare([inside(tmp_path, tracked=[tracked], stores={"here": {"files": "deploy"}})])

    assert list((await asked(line)).commits.values()) == [git(repository, "rev-parse", "HEAD")]
    assert list((await asked(None)).commits.values()) == [git(repository, "rev-parse", "HEAD")]
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    for known in (line, None):
        (finding,) = (await asked(known)).diagnostics
        assert finding.code == "GitUnreachable"
        assert "Host key verification failed" in finding.summary
        assert "mend knownHosts" in finding.detail
    renewed = f"{sshd.address} {(sshd.directory / 'host_key.pub').read_text()}"
    assert (await asked(renewed)).diagnostics == ()
    assert (await asked(line + renewed)).diagnostics == ()


@pytest.mark.parametrize(
    "url",
    [
        "/etc",
        "/var/lib/innkeeper/repositories/other.git",
        "https://127.0.0.1/x.git",
        "https://localhost:8006/x.git",
        "ssh://git@[::1]/x.git",
        "git@127.0.0.1:x.git",
        "https://169.254.169.254/latest/meta-data",
        "git://0.0.0.0/x",
    ],
)
async def test_strangers_ask_nothing_of_this_machine(tmp_path: Path, url: str) -> None:
    with pytest.raises(GitProblem, match=r"is a path of the machine|the machine's own"):
        await Remotes(os.environ, tmp_path / "seen", foreign=True).commit(url, "main")
