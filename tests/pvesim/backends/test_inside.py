"""Files that the node writes into a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvesim.backends.lxc import inside
from pvesim.backends.lxc.inside import Identity, Interface
from pvesim.errors import TaskFailed


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (Interface("eth0"), ["auto eth0", "iface eth0 inet manual"]),
        (
            Interface("eth0", "10.0.0.5/24", "10.0.0.1"),
            ["auto eth0", "iface eth0 inet static", "\taddress 10.0.0.5/24", "\tgateway 10.0.0.1"],
        ),
        (
            Interface("eth0", "10.0.0.5/32", "10.9.9.9"),
            [
                *("auto eth0", "iface eth0 inet static", "\taddress 10.0.0.5/32"),
                *("\tpost-up ip route add 10.9.9.9 dev eth0", "\tpost-up ip route add default via 10.9.9.9 dev eth0"),
            ],
        ),
        (
            Interface("eth1", "", "", "fd00::5/64", "fd00::1"),
            [
                *("auto eth1", "iface eth1 inet manual", ""),
                *("iface eth1 inet6 static", "\taddress fd00::5/64", "\tgateway fd00::1"),
            ],
        ),
        (
            Interface("eth0", "10.0.0.5/24", routes=[("100.64.0.0/30", "10.0.0.1")]),
            [
                *("auto eth0", "iface eth0 inet static", "\taddress 10.0.0.5/24"),
                "\tpost-up ip route add 100.64.0.0/30 via 10.0.0.1 || true",
            ],
        ),
    ],
)
def test_a_network_as_ifupdown_reads_it(interface: Interface, expected: list[str]) -> None:
    text = inside.interfaces([interface])
    assert text.split("\n") == ["auto lo", "iface lo inet loopback", "", *expected]


@pytest.mark.parametrize(
    ("hostname", "search", "line"),
    [
        ("web", "", "10.0.0.5 web"),
        ("web.example.com", "", "10.0.0.5 web.example.com web"),
        ("web", "lan.example other", "10.0.0.5 web.lan.example web"),
    ],
)
def test_its_name(tmp_path: Path, hostname: str, search: str, line: str) -> None:
    network = Interface("eth0", "10.0.0.5/24", "10.0.0.1")
    inside.write(tmp_path, Identity(hostname, [network], ["9.9.9.9"], search))
    assert (tmp_path / "etc/hostname").read_text() == "web\n"
    assert line in (tmp_path / "etc/hosts").read_text().splitlines()


def test_what_the_guest_has_added_stays(tmp_path: Path) -> None:
    identity = Identity("web", [], ["9.9.9.9"], "lan", "http://10.0.0.1:3142")
    inside.write(tmp_path, identity)
    hosts = tmp_path / "etc/hosts"
    hosts.write_text("# mine above\n" + hosts.read_text() + "10.1.1.1 mine\n")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    inside.write(tmp_path, identity)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before
    inside.write(tmp_path, Identity("new", [], ["9.9.9.9"]))
    text = hosts.read_text()
    assert text.startswith("# mine above\n")
    assert text.endswith("10.1.1.1 mine\n")
    assert ("127.0.1.1 new" in text, "web" in text) == (True, False)


def test_packages_come_from_the_proxy_or_from_nowhere_in_particular(tmp_path: Path) -> None:
    inside.write(tmp_path, Identity("web", proxy="http://10.0.0.1:3142"))
    apt, pip = tmp_path / "etc/apt/apt.conf.d/00proxy", tmp_path / "etc/pip.conf"
    assert apt.read_text() == 'Acquire::http::Proxy "http://10.0.0.1:3142";\n'
    assert "proxy = http://10.0.0.1:3142\n" in pip.read_text()
    inside.write(tmp_path, Identity("web"))
    assert (apt.exists(), pip.exists()) == (False, False)


def test_who_may_log_in(tmp_path: Path) -> None:
    inside.authorize(tmp_path, "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n\n")
    keys = tmp_path / "root/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n"
    assert (oct(keys.stat().st_mode)[-3:], oct(keys.parent.stat().st_mode)[-3:]) == ("600", "700")


def test_links_in_a_container_do_not_lead_out_of_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.mkdir()
    (outside / "resolv").write_text("the machine's own\n")
    (root / "etc/resolv.conf").symlink_to(outside / "resolv")
    inside.section(root, "etc/resolv.conf", "nameserver 9.9.9.9")
    assert (outside / "resolv").read_text() == "the machine's own\n"
    assert "the machine's own" not in (root / "etc/resolv.conf").read_text()
    (root / "root").symlink_to(outside)
    with pytest.raises(TaskFailed, match="root is a symbolic link"):
        inside.authorize(root, "ssh-ed25519 AAAA one")
    assert [path.name for path in outside.iterdir()] == ["resolv"]
