"""Roles run by the real Ansible over a real OpenSSH server."""

from pathlib import Path

import pytest

from innkeeper.configure.insider import Insides
from innkeeper.engine.errors import Stalled
from tests.innkeeper.configure.conftest import Sshd, inside, role, target


async def test_roles_run_with_their_variables_and_tell_what_they_do(
    guest: Sshd, insides: Insides, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    web = role(
        tmp_path,
        "web",
        "- name: Write the page\n  ansible.builtin.copy:\n    content: '{{ text }} {{ port + 1 }}'\n    dest: '{{ page }}'\n    mode: '0644'\n",
    )
    item = inside(tmp_path, [(web, {"text": "hello {{ 1 + 1 }}", "port": 80, "page": str(page)})])
    heard: list[str] = []
    await insides.configure(item, target(tmp_path, guest.address), heard.append)
    assert page.read_text() == "hello {{ 1 + 1 }} 81"
    assert "web : Write the page: changed" in heard
    heard.clear()
    await insides.configure(item, target(tmp_path, guest.address), heard.append)
    assert "web : Write the page: ok" in heard
