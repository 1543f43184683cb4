"""The limit of inotify instances is what a Proxmox node has."""

from pathlib import Path

from pvesim.backends.lxc.inotify import raise_limit


def test_a_low_limit_is_raised_once_and_told(tmp_path: Path) -> None:
    limit, said = tmp_path / "max_user_instances", list[str]()
    limit.write_text("128\n")
    raise_limit(said.append, limit)
    assert limit.read_text() == "65536\n"
    assert said == ["fs.inotify.max_user_instances is 65536 now, as on a Proxmox node; with 128, few containers start"]
    raise_limit(said.append, limit)
    limit.write_text("100000\n")
    raise_limit(said.append, limit)
    assert (limit.read_text(), len(said)) == ("100000\n", 1)


def test_where_it_may_not_be_raised_that_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    raise_limit(said.append, tmp_path / "nowhere" / "limit")
    assert said == [
        "fs.inotify.max_user_instances cannot be raised (No such file or directory): only few containers start"
    ]
