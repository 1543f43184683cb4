"""What Innkeeper keeps: made once, readable to its owner only."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from innkeeper.configure.keep import Keep, data_directory
from innkeeper.engine.errors import Stalled


def test_the_key_is_one_that_openssh_takes(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "data")
    public = keep.public_key("home")
    path = keep.private_key("home")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    derived = subprocess.run(["ssh-keygen", "-yf", str(path)], capture_output=True, text=True, check=True).stdout
    assert derived.split()[:2] == public.split()[:2]
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" innkeeper@home")
    assert keep.public_key("other") != public
    path.with_suffix(".pub").unlink()
    assert keep.public_key("home") == public


def test_everybody_who_comes_at_once_gets_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: Keep(tmp_path).private_key("home").read_bytes(), range(16)))
        peppers = set(pool.map(lambda _: Keep(tmp_path).pepper(), range(16)))
    assert len(keys) == len(peppers) == 1
    private = (tmp_path / "home/id_ed25519").read_bytes()
    assert keys == {private}
    assert (tmp_path / "fingerprint.key").stat().st_mode & 0o777 == 0o600
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_the_directory_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert data_directory({"XDG_DATA_HOME": "/var/lib"}) == Path("/var/lib/innkeeper")
    assert data_directory({"XDG_DATA_HOME": "relative"}) == Path("/home/me/.local/share/innkeeper")
    assert data_directory({}) == Path("/home/me/.local/share/innkeeper")


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Stalled, match="XDG_DATA_HOME"):
        Keep(tmp_path / "file/data").public_key("home")
