"""Recipes of templates: read from this machine's own sources, known by what they are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvesim.errors import TaskFailed
from pvesim.template import cache, recipe
from pvesim.template.recipe import RecipeError

DEB822 = """
Types: deb deb-src
# where this release is kept
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main contrib

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://other.example/node
Suites: nodistro
Components: main
"""


def apt(tmp_path: Path, *, lines: str = "", stanzas: str = "") -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(lines)
    (tmp_path / "sources.list.d/debian.sources").write_text(stanzas)
    return tmp_path


def test_sources_of_both_kinds(tmp_path: Path) -> None:
    where = apt(
        tmp_path, lines="deb [arch=amd64] http://list.example/debian bookworm main # c\n#deb x y z\n", stanzas=DEB822
    )
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert recipe.sources("bookworm", where) == (
        "deb [arch=amd64] http://list.example/debian bookworm main",
        f"deb {signed} http://mirror.example/debian bookworm main",
        f"deb {signed} http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/debian-security/ bookworm-security main contrib",
    )
    assert recipe.hosts(where) == {"list.example", "mirror.example", "other.example"}


def test_another_release_from_the_same_place(tmp_path: Path) -> None:
    where = apt(tmp_path, lines="deb http://list.example/debian bookworm main\n")
    assert recipe.sources("trixie", where) == ("deb http://list.example/debian trixie main",)


def test_the_name_changes_with_everything_that_is_in_it(tmp_path: Path) -> None:
    where = apt(tmp_path, lines="deb http://list.example/debian bookworm main\n")
    made = [recipe.find("debian-12", apt=where), recipe.find("debian-12", fat=True, apt=where)]
    made.append(recipe.find("debian-13", apt=where))
    (where / "sources.list").write_text("deb http://else.example/debian bookworm main\n")
    made.append(recipe.find("debian-12", apt=where))
    assert len({one.digest for one in made}) == 4
    assert [one.short_name for one in made] == ["debian-12", "debian-12-fat", "debian-13", "debian-12"]
    assert "postgresql" in made[1].packages


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe for 'alpine-3': only for debian-12, debian-13"):
        recipe.find("alpine-3", apt=apt(tmp_path))
    with pytest.raises(RecipeError, match="names no source of Debian"):
        recipe.find("debian-12", apt=tmp_path)


@pytest.mark.parametrize(
    ("volid", "name"),
    [
        ("local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", "debian-12"),
        ("nas:vztmpl/debian-12-fat_1_amd64.tar.zst", "debian-12-fat"),
        ("local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", "debian-13"),
        ("local:vztmpl/ubuntu-24.04-standard_24.04-2_amd64.tar.zst", "ubuntu-24.04"),
        ("local:vztmpl/own_1.tar.gz", "own"),
    ],
)
def test_the_template_behind_a_volume(volid: str, name: str) -> None:
    assert cache.short_name(volid) == name


def test_a_template_that_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(TaskFailed, match=r"'debian-12-fat' is not built: run `pvesim template build debian-12 --fat`"):
        cache.archive("local:vztmpl/debian-12-fat_1.tar.zst")
    built = tmp_path / "pvesim/templates/debian-12-fat_0123456789ab.tar.zst"
    built.parent.mkdir(parents=True)
    built.touch()
    assert cache.archive("local:vztmpl/debian-12-fat_1.tar.zst") == built
    with pytest.raises(TaskFailed, match=r"'debian-12' is not built"):
        cache.archive("local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst")
