"""The name of a source says whose guests they are: it must not change with the way a repository is reached."""

import subprocess
from pathlib import Path

import pytest

from innkeeper.checkout import checkout, source_name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/me/homelab.git", "example.org/me/homelab"),
        ("https://me:secret@example.org/me/homelab", "example.org/me/homelab"),
        ("git@example.org:me/homelab.git", "example.org/me/homelab"),
        ("ssh://git@example.org/me/homelab.git/", "example.org/me/homelab"),
        ("/srv/git/homelab.git", "/srv/git/homelab"),
        ("file:///srv/git/homelab.git", "/srv/git/homelab"),
        ("../homelab", "../homelab"),
    ],
)
def test_one_name_for_one_repository(url: str, name: str) -> None:
    assert source_name(url) == name


def test_outside_of_git_the_directory_names_the_source(tmp_path: Path) -> None:
    place = tmp_path / "homelab"
    place.mkdir()
    found = checkout(place)
    assert (found.source, found.revision) == ("homelab", "")


def test_a_checkout_tells_its_remote_and_revision(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init", "-q")
    git("remote", "add", "origin", "https://me:secret@example.org/me/homelab.git")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first")
    (tmp_path / "deep").mkdir()
    found = checkout(tmp_path / "deep")
    assert found.source == "example.org/me/homelab"
    assert len(found.revision) == 12
