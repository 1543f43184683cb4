"""Runs what a page tells its reader to type, in the order of the page, and compares what it shows.

Only blocks marked `console run` are run. `$ ` begins a command, `> ` continues it, all else is its output: `…` stands
for any text within a line, and alone on a line for any number of lines. No output shown: none is compared. `exit=1` on
the block is the status of its last command, else all end with 0. A block `yaml file=PATH` is saved there first.

What runs in the background (`&`) is `pvesim`, ready with its first line, and a server, ready with the file that takes
its first line. Two things differ from what a reader does: their ports are free ones (shown ports are translated both
ways), and a shown answer to a question is piped in.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.pages import ROOT, Block, blocks

_FIRST_PORT = 8006
_SERVER_PORT = "8080"
_ANSWER = re.compile(r"^Apply this plan\? \[y/N\] (\S+)$", re.MULTILINE)
_SECONDS = 60


@dataclass
class Reader:
    """Somebody with a shell in a fresh directory that holds the repository's examples."""

    home: Path
    where: Path = field(init=False)
    environment: dict[str, str] = field(init=False)
    ports: dict[str, str] = field(default_factory=dict)
    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    """By the numbers that a shell gives them."""

    def __post_init__(self) -> None:
        self.where = self.home / "innkeeper"
        shutil.copytree(ROOT / "examples", self.where / "examples")
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "PYTHONPATH", "VIRTUAL_ENV")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        git = {f"GIT_{who}_{what}": "reader" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = kept | git | {"PATH": path, "HOME": str(self.home), "COLUMNS": "100", "NO_COLOR": "1"}

    def follow(self, page: Path) -> None:
        try:
            for block in blocks(page):
                if block.language == "yaml" and (name := block.value("file")):
                    file = self.where / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(self._real(block.text), encoding="utf-8")
                elif block.language == "console" and "run" in block.words:
                    self._block(block)
        finally:
            for number in list(self.running):
                self._stop(number)

    def _block(self, block: Block) -> None:
        commands = _commands(block.text)
        for number, (command, shown) in enumerate(commands):
            last = number == len(commands) - 1
            expected = int(block.value("exit") or 0) if last else 0
            self._command(block, command, shown, expected)

    def _command(self, block: Block, command: str, shown: str, expected: int) -> None:
        if re.match(r"pvesim .*&$", command):
            said, status = self._simulate(command), expected
        elif re.match(r"innkeeper serve .*&$", command):
            self._serve(command)
            said, status = "", expected
        elif re.match(r"kill( %\d+)+$", command):
            for number in re.findall(r"\d+", command):
                self._stop(int(number))
            said, status = "", expected
        else:
            said, status = self._shell(self._real(command), shown)
        said = self._shown(said)
        assert status == expected, f"{block}: `{command}` ended with {status}, not {expected}:\n{said}"
        if shown.strip():
            assert matches(shown, said), f"{block}: `{command}` said:\n{said}\n--- the page shows:\n{shown}"

    def _shell(self, command: str, shown: str) -> tuple[str, int]:
        answer = _ANSWER.search(shown)
        after = self.home / "after"
        keep = f"pwd > {shlex.quote(str(after))}\nenv -0 >> {shlex.quote(str(after))}"
        script = f"{command}\nstatus=$?\n{keep}\nexit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.where,
            env=self.environment,
            input=f"{answer[1]}\n" if answer else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        place, _, variables = after.read_text(encoding="utf-8").partition("\n")
        self.where = Path(place)
        pairs = (entry.partition("=") for entry in variables.split("\0") if entry)
        self.environment = {name: value for name, _, value in pairs if name not in ("_", "SHLVL", "PWD", "OLDPWD")}
        return done.stdout, done.returncode

    def _simulate(self, command: str) -> str:
        words = shlex.split(command.rstrip("& "))
        words = ["0" if before == "--port" else word for before, word in zip(["", *words], words, strict=False)]
        simulator = self._start([sys.executable, "-m", *words, "--exit-on-eof"])
        assert simulator.stdout is not None
        line = simulator.stdout.readline()
        assert line, f"`{command}` did not start"
        urls = json.loads(line)["nodes"].values()
        self._translate({str(_FIRST_PORT + index): url.rpartition(":")[2] for index, url in enumerate(urls)})
        return line

    def _serve(self, command: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.ports[_SERVER_PORT] = str(free.getsockname()[1])
        server = self._start(["bash", "-c", f"exec {self._real(command).rstrip('& ')}"])
        found = re.search(r" > (\S+)", command)
        assert found is not None, f"`{command}` does not keep its first line"
        ready, limit = self.where / found[1], time.monotonic() + _SECONDS
        while not (ready.exists() and ready.read_text(encoding="utf-8").endswith("\n")):
            assert server.poll() is None and time.monotonic() < limit, f"`{command}` did not start"
            time.sleep(0.1)

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running[max(self.running, default=0) + 1] = process
        return process

    def _translate(self, ports: dict[str, str]) -> None:
        """Point files that were written before at the new ports."""
        for file in self.home.rglob("*.yaml"):
            text = file.read_text(encoding="utf-8")
            plain = self._shown(text)
            changed = _replace(plain, ports)
            if changed != text:
                file.write_text(changed, encoding="utf-8")
        self.ports = ports

    def _real(self, text: str) -> str:
        return _replace(text, self.ports)

    def _shown(self, text: str) -> str:
        return _replace(text, {real: shown for shown, real in self.ports.items()})

    def _stop(self, number: int) -> None:
        process = self.running.pop(number)
        process.terminate()
        process.wait(30)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _replace(text: str, ports: dict[str, str]) -> str:
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: ports.get(found[0], found[0]), text)


def _commands(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def matches(shown: str, said: str) -> bool:
    """Whether output is what the page shows."""
    pattern = ""
    for line in shown.strip("\n").splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.rstrip().split("…"))) + r"\n"
    text = "\n".join(line.rstrip() for line in said.strip("\n").splitlines()) + "\n"
    return re.fullmatch(pattern, text) is not None
