"""One image has the server and the operator; neither needs more than the file says it does."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.innkeeper.deploy.image import ROOT, Builder, Image
from tests.innkeeper.operator.conftest import definitions, kubernetes, world  # noqa: F401 - fixtures
from tests.innkeeper.operator.world import World, cluster, machine, secret, until
from tests.pvesim.running import ONE_NODE, SECRET, Sim, start

pytestmark = pytest.mark.timeout(1800)  # the first one builds the image
USER = 10001
CONFIG = """
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: lab}}
spec:
  endpoints: [{url}]
  tls: {{caFile: ca.pem}}
  credentials: {{tokenID: root@pam!full, tokenSecret: {{env: PVE_TOKEN_SECRET}}}}
  defaults: {{storage: btr, bridge: vmbr0, template: debian-12-standard}}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {{name: home}}
spec: {{url: /srv/git/home.git}}
"""
GUEST = """
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: web}
spec: {vmid: 10100, memory: 512Mi, rootDisk: {size: 4Gi}, network: [{name: eth0, ip: dhcp}]}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    lacking = [name for name in ("buildah", "mmdebstrap", "git", "unshare") if shutil.which(name) is None]
    lacking += ["root"] if os.geteuid() != 0 else []
    if lacking:
        pytest.skip(f"needs: {', '.join(lacking)}")
    place = tmp_path_factory.mktemp("image")
    builder = Builder(place)
    try:
        yield builder.build()
    finally:
        builder.close()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    made = start(tmp_path, ONE_NODE)
    yield made
    made.stop()


def owned(*places: Path) -> None:
    """What the image's user may write to: its volume, and a repository that is its own."""
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, USER, USER)


def repository(place: Path) -> None:
    """A bare one in `git`, with one guest."""
    work, bare = str(place / "work"), str(place / "git" / "home.git")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", work], check=True)
    (place / "work" / "web.yaml").write_text(GUEST)
    for words in (("add", "."), (*author, "commit", "--quiet", "-m", "Begin"), ("push", "--quiet", bare, "main")):
        subprocess.run(["git", "-C", work, *words], check=True)


def test_the_server_of_the_image_signs_in_and_syncs(image: Image, sim: Sim, tmp_path: Path) -> None:
    data, config = tmp_path / "data", tmp_path / "config"
    data.mkdir()
    config.mkdir()
    repository(tmp_path)
    owned(data, tmp_path / "git")
    (config / "lab.yaml").write_text(CONFIG.format(url=next(iter(sim.urls.values()))))
    (config / "ca.pem").write_bytes(Path(sim.cafile).read_bytes())
    words = [*image.config["Entrypoint"], *image.config["Cmd"]]
    words[words.index("0.0.0.0:8080")] = "127.0.0.1:0"
    mounts = {data: "/var/lib/innkeeper", config: "/etc/innkeeper", tmp_path / "git": "/srv/git"}
    command = image.command(words, mounts, environ={"PVE_TOKEN_SECRET": SECRET})
    log = tmp_path / "server.log"
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line, log.read_text()[-3000:]
            ready = json.loads(line)
            assert b"ok" in fetched(f"{ready['url']}/healthz")
            assert re.search(rb'name="secret"', fetched(ready["setup"])), "the one-time link"
            deadline = time.monotonic() + 60
            while 10100 not in vmids(sim):
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.2)
        finally:
            server.terminate()
        assert server.wait(30) == 0, "SIGTERM reaches it, and it ends in order"


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def vmids(sim: Sim) -> set[int]:
    return {row["vmid"] for row in sim.call("GET", "/cluster/resources", {"type": "vm"}).data}


def test_the_operator_of_the_image_runs_as_the_chart_says(image: Image, world: World) -> None:  # noqa: F811
    chart = (ROOT / "deploy/helm/innkeeper/templates/deployment.yaml").read_text()
    user = re.search(r"runAsUser: (\d+)", chart)
    words = re.search(r"command: \[(.+)\]", chart)
    assert user and words
    folder = world.folder / "kube"
    folder.mkdir()
    (folder / "ca.pem").write_bytes((world.plane.folder / "ca.pem").read_bytes())
    told = world.plane.kubeconfig().read_text().replace(str(world.plane.folder), "/tmp/kube")
    (folder / "config").write_text(told)

    def inside(settings: Mapping[str, str]) -> list[str]:
        return image.command(words[1].split(", "), {folder: "/tmp/kube"}, user=user[1], environ=settings)

    operator = world.operator(Path("/tmp/kube/config"), inside)
    world.plane.apply(secret(), cluster(world.sim), machine("one"))
    until(lambda: world.ready().get("one") or operator.process.poll() is not None, "ready", 90)
    assert len(world.vms()) == 1, operator.text()[-3000:]
