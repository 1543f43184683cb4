"""Inside real containers: a bundled role, and the three ways in."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from innkeeper.configure.insider import Insides
from innkeeper.configure.roles import BUNDLED
from innkeeper.engine.errors import Stalled
from innkeeper.engine.inside import Target
from pvesim.backends.lxc import needs
from pvesim.template import build, recipe
from tests.innkeeper.configure.conftest import cluster, inside, role
from tests.pvesim import running

pytestmark = pytest.mark.timeout(600)
NET = f"10.{30 + os.getpid() % 90}.77"
ADDRESS = f"{NET}.101"


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[running.Sim, Path]]:
    """A node with the container 101; the data directory whose key opens both."""
    try:
        needs.require()
        build.build(recipe.find("debian-12"))
    except (needs.NeedsError, recipe.RecipeError) as error:
        pytest.skip(f"needs: {str(error).removeprefix('needs: ')}")
    folder = tmp_path_factory.mktemp("containers")
    data = folder / "data"
    (key,) = Insides({}, data).authorized_keys("home")
    (folder / "key.pub").write_text(key + "\n")
    sim = running.start(folder, running.ONE_NODE, "--backend", "lxc", "--ssh-key", str(folder / "key.pub"))
    try:
        created = sim.do(
            "POST",
            "/nodes/pve/lxc",
            {
                "vmid": 101,
                "ostemplate": running.TEMPLATE,
                "storage": "btr",
                "hostname": "web",
                "features": "nesting=1",
                "ssh-public-keys": key,
                "start": 1,
                "net0": f"name=eth0,bridge=vmbr0,ip={ADDRESS}/24,gw={NET}.254",
            },
        )
        assert created == "OK"
        yield sim, data
    finally:
        sim.process.terminate()
        sim.process.wait(40)
        sim.stop()


def at(guests: tuple[running.Sim, Path], address: str | None, **ssh: object) -> Target:
    node: Mapping[str, object] = guests[0].ready["ssh"]["pve"]
    way = {"hosts": {"pve": f"{node['host']}:{node['port']}"}, **ssh}
    return Target(cluster(guests[1], way), "pve", 101, "Container", address)


HEALTH: list[Mapping[str, object]] = [
    {"http": {"path": "/", "contains": "it works"}},
    {"tcp": 80},
    {"systemd": "nginx"},
    {"command": "test -f /var/www/html/index.html"},
]


async def test_a_web_server_from_nothing_and_what_its_checks_say_once_it_is_damaged(
    guests: tuple[running.Sim, Path],
) -> None:
    insides, base = Insides({}, guests[1]), str(BUNDLED / "base")
    web = inside(guests[1], [(base, {}), (str(BUNDLED / "web"), {"web_index": "it works"})], health=HEALTH)
    target = at(guests, ADDRESS)
    heard: list[str] = []
    await insides.configure(web, target, heard.append)
    assert [(result.name, result.ok) for result in await insides.check(web, target)] == [
        ("http 80/", True),
        ("tcp 80", True),
        ("systemd nginx", True),
        ("command test -f /var/www/html/index.html", True),
    ]
    heard.clear()
    await insides.configure(web, target, heard.append)
    assert [line for line in heard if line.endswith(": changed")] == []
    broken = inside(guests[1], health=[{"command": "systemctl stop nginx && rm /var/www/html/index.html"}])
    assert (await insides.check(broken, target))[0].ok
    assert [(result.ok, result.detail) for result in await insides.check(web, target)] == [
        (False, "All connection attempts failed"),
        (False, "connection refused"),
        (False, "inactive (dead), result: success"),
        (False, "ended with status 1"),
    ]
    await insides.configure(web, target, heard.append)
    assert [result.ok for result in await insides.check(web, target)] == [True] * 4


@pytest.mark.parametrize("way", ["pct", "jump"])
async def test_the_other_ways_in(guests: tuple[running.Sim, Path], way: str, tmp_path: Path) -> None:
    insides = Insides({}, guests[1])
    target = at(guests, None) if way == "pct" else at(guests, ADDRESS, jump=True)
    tasks = (
        '- name: Write\n  ansible.builtin.copy:\n    content: "{{ text }}"\n    dest: /root/{{ inventory_hostname }}\n'
        "    mode: '0600'\n"
    )
    name = f"by-{way}"
    health = [{"command": f"cat /root/{name}"}]
    item = inside(guests[1], [(role(tmp_path, "writer", tasks), {"text": f"it's {way}"})], name=name, health=health)
    await insides.configure(item, target, print)
    results = await insides.check(item, target)
    assert [(result.ok, result.detail) for result in results] == [(True, f"it's {way}")]


async def test_a_guest_that_was_made_anew_is_somebody_else_until_it_is_forgotten(
    guests: tuple[running.Sim, Path],
) -> None:
    insides = Insides({}, guests[1])
    item, target = inside(guests[1]), at(guests, ADDRESS)
    await insides.configure(item, target, print)
    renew = "rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh"
    assert (await insides.check(inside(guests[1], health=[{"command": renew}]), target))[0].ok
    with pytest.raises(Stalled, match="shows another SSH host key than before"):
        await insides.configure(item, target, print)
    insides.forget("home", 101)
    await insides.configure(item, target, print)


async def test_python_is_brought_to_a_guest_without_it(guests: tuple[running.Sim, Path], tmp_path: Path) -> None:
    insides, target = Insides({}, guests[1]), at(guests, ADDRESS)
    remove = {"command": "apt-get -qy remove python3-minimal && ! test -e /usr/bin/python3", "timeout": 60}
    assert (await insides.check(inside(guests[1], health=[remove]), target))[0].ok
    item = inside(guests[1], [(role(tmp_path, "ping", "- name: Ping\n  ansible.builtin.ping:\n"), {})])
    heard: list[str] = []
    await insides.configure(item, target, heard.append)
    assert "installing Python, which Ansible needs" in heard
    assert "ping : Ping: ok" in heard
