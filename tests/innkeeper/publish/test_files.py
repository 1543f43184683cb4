"""Names in files, and definitions in a real git repository."""

import subprocess
from pathlib import Path

import pytest
import yaml

from innkeeper.engine.errors import Stalled
from innkeeper.model.server import DefinitionsPublisher, HostsPublisher
from innkeeper.publish.definitions import Definitions
from innkeeper.publish.hosts import Hosts
from innkeeper.sources.git import GitRepository
from tests.innkeeper.publish.services import service


def git(where: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A repository in which somebody else has a definition already."""
    bare, work = tmp_path / "services.git", tmp_path / "work"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    git(tmp_path, "clone", "-q", str(bare), str(work))
    (work / "services").mkdir()
    (work / "services/nas.yaml").write_text("name: nas\ntype: proxy\ndomain: nas.example.org\nbackend: 10.0.0.2:5000\n")
    git(work, "-c", "user.name=a", "-c", "user.email=a@b", "checkout", "-q", "-B", "main")
    git(work, "add", ".")
    git(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "nas")
    git(work, "push", "-q", "origin", "main")
    return bare


def definitions(remote: Path, home: Path) -> Definitions:
    spec = {"type": "definitions", "name": "proxy", "url": str(remote)}
    return Definitions(DefinitionsPublisher.model_validate(spec), GitRepository("proxy", str(remote), home))


def shown(remote: Path, path: str) -> str:
    return git(remote, "show", f"main:{path}")


async def test_a_definition_is_committed_and_removed(remote: Path, tmp_path: Path) -> None:
    publisher = definitions(remote, tmp_path / "home")
    told = service(address="10.0.0.5", port=3000, health_path="/healthz")
    assert await publisher.publish([told]) == ("services/web.example.org.yaml is written",)
    assert yaml.safe_load(shown(remote, "services/web.example.org.yaml")) == {
        "name": "web",
        "type": "proxy",
        "domain": "web.example.org",
        "headers": True,
        "auth": False,
        "backend": "10.0.0.5:3000",
        "health": "/healthz",
    }
    head = git(remote, "rev-parse", "main")
    assert await publisher.publish([told]) == ()
    assert git(remote, "rev-parse", "main") == head
    assert await publisher.publish([]) == ("services/web.example.org.yaml is removed",)
    assert git(remote, "ls-tree", "-r", "--name-only", "main").split() == ["services/nas.yaml"]
    assert git(remote, "log", "-1", "--format=%an: %s", "main").strip() == "Innkeeper: Services: web.example.org"


@pytest.mark.parametrize("name", ["nas.example.org.yaml", "nas.yaml"])
async def test_a_domain_of_others_is_not_taken(remote: Path, tmp_path: Path, name: str) -> None:
    work = tmp_path / "work"
    git(work, "mv", "-k", "services/nas.yaml", f"services/{name}")
    git(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "renamed", "--allow-empty")
    git(work, "push", "-q", "origin", "main")
    with pytest.raises(Stalled, match=r"nas\.example\.org belongs to something that Innkeeper did not write"):
        await definitions(remote, tmp_path / "home").publish([service("nas", "10.6.6.6", port=80)])
    assert "10.0.0.2:5000" in shown(remote, f"services/{name}")


async def test_what_others_commit_meanwhile_stays(remote: Path, tmp_path: Path) -> None:
    publisher = definitions(remote, tmp_path / "home")
    await publisher.publish([service(address="10.0.0.5", port=80)])
    work = tmp_path / "work"
    git(work, "pull", "-q", "--rebase", "origin", "main")
    (work / "README").write_text("ours\n")
    git(work, "add", ".")
    git(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "readme")
    git(work, "push", "-q", "origin", "main")
    await publisher.publish([service(address="10.0.0.6", port=80)])
    assert shown(remote, "README") == "ours\n"
    assert "10.0.0.6:80" in shown(remote, "services/web.example.org.yaml")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("hosts", "10.0.0.5\tweb.example.org\t# home/Container/web"),
        ("zone", "web.example.org.\tIN\tA\t10.0.0.5\t; home/Container/web"),
    ],
)
async def test_names_in_a_file(tmp_path: Path, kind: str, line: str) -> None:
    file = tmp_path / "names"
    publisher = Hosts(HostsPublisher.model_validate({"type": kind, "name": "lan", "file": str(file)}))
    told = service(address="10.0.0.5", port=80)
    assert await publisher.publish([told]) == (f"{file} holds 1 name",)
    assert file.read_text().splitlines()[1:] == [line]
    assert await publisher.publish([told]) == ()
    with pytest.raises(Stalled, match="belongs to home/Container/web"):
        await publisher.publish([service(source="aaa", address="10.6.6.6", port=80), told])
    assert file.read_text().splitlines()[1:] == [line]
    assert await publisher.publish([]) == (f"{file} holds 0 names",)
    file.write_text("127.0.0.1 localhost\n")
    with pytest.raises(Stalled, match="was not written by Innkeeper"):
        await publisher.publish([told])
    assert file.read_text() == "127.0.0.1 localhost\n"
