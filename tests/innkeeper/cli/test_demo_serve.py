"""`innkeeper demo --serve`: the portal with seven guests, no configuration, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

SECONDS = 90


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def test_the_portal_opens_on_a_homelab_of_its_own(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    command = [str(Path(sys.executable).parent / "innkeeper"), "demo", "--serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            link = re.search(r"The portal: (http://127\.0\.0\.1:\d+)(/setup\S*)", told)
            assert link is not None, told
            with httpx2.Client(base_url=link[1], follow_redirects=True) as client:
                page = client.get(link[2])
                secret, token = (_hidden(page.text, name) for name in ("secret", "csrf"))
                person = {"name": "ada", "password": "correct horse battery"}
                client.post("/setup", data={"csrf": token, "secret": secret, **person})
                until = time.monotonic() + SECONDS
                while (guests := client.get("/api/v1/guests").json())["total"] != 7 or any(
                    guest["sync"] != "Synced" for guest in guests["guests"]
                ):
                    assert time.monotonic() < until, guests
                    time.sleep(0.2)
                assert "Needs attention" in client.get("/").text
        finally:
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=30)
            assert (process.returncode, complaints) == (0, "")
    assert not list(tmp_path.glob("innkeeper-demo-*")), tempfile.gettempdir()
