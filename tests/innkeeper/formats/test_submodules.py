"""Submodules of a monorepo, with real git: followed beside the repository, and nowhere else."""

import subprocess
from pathlib import Path

import pytest

from innkeeper.engine.errors import EngineError, Stalled
from innkeeper.sources.git import GitRepository
from tests.innkeeper.formats.trees import written

ENV = "IP=10.0.0.5\n"


def git(place: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *identity, "-C", str(place), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(place: Path, files: dict[str, str | bytes]) -> str:
    """A repository with these files on the branch main; its commit."""
    place.mkdir(parents=True, exist_ok=True)
    git(place, "init", "-q", "-b", "main")
    written(place, files)
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "files")
    return git(place, "rev-parse", "HEAD")


def monorepo(home: Path, url: str, commit: str, path: str = "libs/web") -> str:
    """A monorepo with one submodule; its commit. The link is made by hand: git itself refuses the odd ones."""
    place = home / "main/config"
    text = f'[submodule "web"]\n\tpath = {path}\n\turl = {url}\n'
    repository(place, {".gitmodules": text, "container.env": ENV})
    git(place, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    git(place, "commit", "-q", "-m", "submodule")
    return git(place, "rev-parse", "HEAD")


async def checkout(home: Path, revision: str, *, follow: bool = True) -> Path:
    source = GitRepository("mono", str(home / "main/config"), home / "data", submodules=follow)
    await source.fetch()
    return await source.checkout(revision)


def touched() -> bool:
    return Path("/tmp/submodule-was-here").exists()


@pytest.mark.parametrize("relative", [True, False])
async def test_a_submodule_beside_the_repository_is_there_with_its_files(tmp_path: Path, relative: bool) -> None:
    commit = repository(tmp_path / "main/web", {"container.env": ENV, "recipes/default.rb": "package 'x'"})
    revision = monorepo(tmp_path, "../web" if relative else str(tmp_path / "main/web"), commit)
    place = await checkout(tmp_path, revision)
    assert (place / "libs/web/recipes/default.rb").read_text() == "package 'x'"
    assert (place / "container.env").is_file()


async def test_only_where_the_format_has_submodules(tmp_path: Path) -> None:
    commit = repository(tmp_path / "main/web", {"container.env": ENV})
    with pytest.raises(Stalled, match="is a submodule"):
        await checkout(tmp_path, monorepo(tmp_path, "../web", commit), follow=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("../../other/secret", "not where the repository itself comes from"),
        ("ext::sh -c 'touch /tmp/submodule-was-here'", "not a plain one"),
        ("--upload-pack=touch", "not a plain one"),
        ("https://evil.example.org/main/web", "not where the repository itself comes from"),
    ],
)
async def test_one_that_leads_elsewhere_is_refused_before_anything_is_fetched(
    tmp_path: Path, url: str, reason: str
) -> None:
    commit = repository(tmp_path / "other/secret", {"container.env": ENV})
    with pytest.raises(Stalled, match=reason):
        await checkout(tmp_path, monorepo(tmp_path, url, commit))
    assert not touched()


async def test_what_is_in_a_submodule_is_held_to_the_same_rules(tmp_path: Path) -> None:
    repository(tmp_path / "main/web", {"container.env": ENV})
    (tmp_path / "main/web/link").symlink_to("/etc/passwd")
    git(tmp_path / "main/web", "add", "-A")
    git(tmp_path / "main/web", "commit", "-q", "-m", "link")
    commit = git(tmp_path / "main/web", "rev-parse", "HEAD")
    with pytest.raises(Stalled, match="libs/web/link is a symbolic link"):
        await checkout(tmp_path, monorepo(tmp_path, "../web", commit))


async def test_a_commit_that_its_repository_does_not_have(tmp_path: Path) -> None:
    repository(tmp_path / "main/web", {"container.env": ENV})
    with pytest.raises(EngineError, match="has no commit 1234567890ab"):
        await checkout(tmp_path, monorepo(tmp_path, "../web", "1234567890ab" + "0" * 28))
