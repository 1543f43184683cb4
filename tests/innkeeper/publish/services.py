"""Services to tell, real programs to tell them to."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from innkeeper.control.ports import Service
from innkeeper.model.exposure import Expose
from innkeeper.model.objects import Ref


def service(
    name: str = "web",
    address: str = "127.0.0.1",
    *,
    source: str = "home",
    monitoring: bool = False,
    health_path: str = "",
    **expose: object,
) -> Service:
    """Exposed where anything of `expose` is said (its domain is `NAME.example.org`)."""
    spec = Expose.model_validate({"domain": f"{name}.example.org", **expose}) if expose else None
    return Service(source, Ref("Container", name), "lab", 100, address, name, spec, monitoring, health_path)


def program(name: str, package: str) -> str:
    for place in (shutil.which(name), f"/usr/sbin/{name}"):
        if place is not None and Path(place).exists():
            return place
    pytest.skip(f"needs: {name} (Debian's {package})")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], bool], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(command: list[str], log: Path, port: int, **rest: object) -> Iterator[None]:
    """A program until the end of the block, once it listens; its last words where it does not."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **rest) as process:  # type: ignore[call-overload]
        try:
            until(lambda: listens(port) or process.poll() is not None)
            assert process.poll() is None, log.read_text()[-2000:]
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
