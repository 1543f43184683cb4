"""The modules of community.proxmox, as plays that the real `ansible-playbook` runs, all at once, on one `pvesim`.

A task's name ends in what must come of it: `changed`, `ok`, `any`, or `failed` and a part of the message.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pvesim.running import SECRET, Sim

PLAYS = Path(__file__).parent / "plays"
BIN = Path(sys.executable).parent
GONE = {"containers": {102, 103}, "machines": {202, 203}, "around": {301}}  # what each play deletes

Process = subprocess.Popen[str]


def environment(sim: Sim, home: Path) -> dict[str, str]:
    """Ansible with no configuration but this; `requests` trusts the CA of `sim`."""
    return os.environ | {
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_NOCOLOR": "true",
        "REQUESTS_CA_BUNDLE": sim.cafile,
    }


@pytest.fixture(scope="module")
def plays(sim: Sim, place: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Process]:
    """Every play, begun."""
    home = tmp_path_factory.mktemp("ansible")
    upload = home / "small-template_1_amd64.tar.zst"
    upload.write_bytes(b"\0" * 4096)
    given = {
        "host": place[0],
        "port": place[1],
        "secret": SECRET,
        "upload": str(upload),
        "ansible_python_interpreter": sys.executable,
    }
    command = [str(BIN / "ansible-playbook"), "-i", "localhost,", "-c", "local", "-e", json.dumps(given)]
    return {
        name: subprocess.Popen(
            [*command, str(PLAYS / f"{name}.yaml")],
            env=environment(sim, home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in GONE
    }


def outcome(result: dict[str, Any]) -> str:
    if result.get("failed"):
        return f"failed, {result.get('msg')}"
    return "changed" if result["changed"] else "ok"


def agrees(wanted: str, came: str) -> bool:
    if wanted.startswith("failed, "):
        return came.startswith("failed") and wanted.removeprefix("failed, ") in came
    return wanted == came or (wanted == "any" and not came.startswith("failed"))


@pytest.mark.parametrize("name", list(GONE))
def test_every_task_of_a_play_comes_out_as_its_name_says(plays: dict[str, Process], name: str, sim: Sim) -> None:
    out, errors = plays[name].communicate(timeout=240)
    assert out.strip().startswith("{"), out + errors
    tasks = [task for play in json.loads(out)["plays"] for task in play["tasks"]]
    wrong = []
    for task in tasks:
        title = task["task"]["name"]
        came = outcome(task["hosts"]["localhost"])
        if not agrees(title.rpartition(": ")[2], came):
            wrong.append(f"{title}: came out as {came}")
    assert not wrong, "\n".join(wrong)
    assert plays[name].returncode == 0, errors
    left = {guest["vmid"] for guest in sim.call("GET", "/cluster/resources", {"type": "vm"}).data}
    assert not left & GONE[name]
