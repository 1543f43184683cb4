"""Without the extra `guests` the answer is how to install it, not a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from innkeeper.configure.extras import need, need_command
from innkeeper.configure.insider import Insides
from innkeeper.engine.errors import Stalled
from tests.innkeeper.configure.conftest import inside, target


async def test_a_missing_package_is_told_with_the_command_that_installs_it(
    insides: Insides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insides.authorized_keys("home")
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(Stalled) as caught:
        await insides.configure(inside(tmp_path), target(tmp_path, "127.0.0.1"), print)
    assert str(caught.value) == (
        "working inside guests needs the Python package asyncssh — pip install innkeeper[guests]"
    )


def test_what_is_there_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert need("json").dumps(1) == "1"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Stalled, match="install openssh-client"):
        need_command("ssh", "openssh-client")


def test_the_adapter_is_imported_without_any_of_them() -> None:
    look = "print(sorted({'asyncssh', 'ansible', 'pyrage', 'cryptography', 'httpx2'} & set(sys.modules)))"
    command = [sys.executable, "-c", f"import sys, innkeeper.configure.insider; {look}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
