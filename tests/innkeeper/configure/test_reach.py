"""Ways into a guest that do not open, each with its own error."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from innkeeper.configure.bounds import Bounds
from innkeeper.configure.insider import Insides
from innkeeper.configure.keep import Keep
from innkeeper.engine.errors import Stalled
from tests.innkeeper.configure.conftest import Sshd, inside, target


async def test_a_guest_that_boots_is_waited_for(guest: Sshd, insides: Insides, tmp_path: Path) -> None:
    guest.stop()
    waiting = asyncio.create_task(insides.configure(inside(tmp_path), target(tmp_path, guest.address), print))
    await asyncio.sleep(0.5)  # the guest is not there yet, and is asked for
    assert not waiting.done()
    guest.start()
    await waiting


async def test_a_guest_that_never_answers(sshd: Sshd, tmp_path: Path) -> None:
    sshd.stop()
    insides = Insides({}, tmp_path / "data", Bounds(reach=0.5))
    with pytest.raises(Stalled) as caught:
        await insides.configure(inside(tmp_path), target(tmp_path, sshd.address), print)
    expected = f"Container/web (guest 101 on pve) did not answer SSH at {sshd.address} within 0.5 seconds"
    assert caught.value.message == f"{expected}: connection refused"
    assert "jump" in caught.value.advice


async def test_a_key_that_the_guest_does_not_know(sshd: Sshd, insides: Insides, tmp_path: Path) -> None:
    sshd.allow()
    with pytest.raises(Stalled) as caught:
        await insides.configure(inside(tmp_path), target(tmp_path, sshd.address), print)
    assert "refuses to let root sign in with the key" in caught.value.message
    assert "id_ed25519.pub to ~root/.ssh/authorized_keys" in caught.value.advice
    assert Keep(tmp_path / "data").host_key("home", "guest-101") is None, "who does not let us in is not believed"


async def test_a_changed_host_key(guest: Sshd, insides: Insides, tmp_path: Path) -> None:
    item, at = inside(tmp_path), target(tmp_path, guest.address)
    await insides.configure(item, at, print)
    before = _fingerprint(guest)
    guest.stop()
    guest.new_host_key()
    guest.start()
    with pytest.raises(Stalled) as caught:
        await insides.configure(item, at, print)
    assert "Container/web (guest 101 on pve)" in caught.value.message
    assert f"it was {before}, now it is {_fingerprint(guest)}" in caught.value.message
    assert "known_hosts/guest-101" in caught.value.advice
    insides.forget("home", 101)
    await insides.configure(item, at, print)


async def test_a_host_key_of_another_type_is_a_changed_one(guest: Sshd, insides: Insides, tmp_path: Path) -> None:
    item, at = inside(tmp_path), target(tmp_path, guest.address)
    await insides.configure(item, at, print)
    guest.stop()
    guest.new_host_key("ecdsa")
    guest.start()
    with pytest.raises(Stalled, match="shows another SSH host key than before"):
        await insides.configure(item, at, print)


async def test_a_node_whose_key_is_not_among_the_known_hosts(guest: Sshd, insides: Insides, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("")
    at = target(tmp_path, None, {"hosts": {"pve": guest.address}, "knownHosts": "known"})
    with pytest.raises(Stalled, match=r"which .*known does not hold"):
        await insides.configure(inside(tmp_path), at, print)
    key = (guest.directory / "host_key.pub").read_text()
    (tmp_path / "known").write_text(f"{guest.address} {key}")
    await insides.configure(inside(tmp_path), at, print)


@pytest.mark.parametrize(
    ("ssh", "expected"),
    [(None, "add ssh:"), ({"keyFile": "nokey"}, "No such file"), ({"keyFile": "web.yaml"}, "is not a private key")],
)
async def test_no_way_in(insides: Insides, tmp_path: Path, ssh: dict[str, object] | None, expected: str) -> None:
    (tmp_path / "web.yaml").write_text("no key")
    with pytest.raises(Stalled) as caught:
        await insides.configure(inside(tmp_path), target(tmp_path, None, ssh), print)
    assert expected in str(caught.value)


def _fingerprint(server: Sshd) -> str:
    command = ["ssh-keygen", "-lf", str(server.directory / "host_key.pub")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]
