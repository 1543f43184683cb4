"""Build what the operator is tested against: kube-apiserver, kubectl and helm, once, outside the checkout.

    python scripts/kubernetes_parts.py          builds what is missing (minutes) and prints the paths as JSON

They are compiled from their published Go modules into the user's cache, a directory for each version, and used from
there for ever after. Kubernetes is made to be built from its own repository, so a module of our own requires it and
says where the parts are that it expects beside itself. It needs Go and a module proxy; etcd is Debian's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KUBERNETES = "1.34.4"
HELM = "3.19.5"
GO = "1.24"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "innkeeper-tools"
_PLACES = {
    "kube-apiserver": _CACHE / f"kubernetes-{KUBERNETES}" / "kube-apiserver",
    "kubectl": _CACHE / f"kubernetes-{KUBERNETES}" / "kubectl",
    "helm": _CACHE / f"helm-{HELM}" / "helm",
}


class Missing(Exception):
    """A part cannot be built here; the text says what to install."""


def found() -> dict[str, Path]:
    """The parts that are built already."""
    return {name: path for name, path in _PLACES.items() if path.exists()}


def build() -> dict[str, Path]:
    """All parts, built where they are missing. Raises Missing where that cannot be."""
    if wanted := [name for name in _PLACES if name not in found()]:
        go = _go()
        with tempfile.TemporaryDirectory(prefix="innkeeper-parts-") as scratch:
            for name in wanted:
                module = Path(scratch) / name
                module.mkdir()
                _build(go, name, module)
    return dict(_PLACES)


def _go() -> str:
    for place in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if place is None or not Path(place).exists():
            continue
        version = subprocess.run([place, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
        if (number := re.match(r"go(\d+)\.(\d+)", version)) and tuple(map(int, number.groups())) >= (1, 24):
            return place
    raise Missing(f"Go {GO} or newer (https://go.dev/dl), to build {', '.join(_PLACES)}")


def _build(go: str, name: str, module: Path) -> None:
    package = "helm.sh/helm/v3/cmd/helm" if name == "helm" else f"k8s.io/kubernetes/cmd/{name}"
    (module / "go.mod").write_text(_helm() if name == "helm" else _kubernetes(go))
    place = _PLACES[name]
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{name}.{os.getpid()}")
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=mod".strip()}
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion=v{KUBERNETES} -X {stamp}.gitMajor=1 -X {stamp}.gitMinor={_minor()}"
    _run([go, "build", "-trimpath", f"-ldflags={flags}", "-o", str(unfinished), package], module, env)
    unfinished.rename(place)


def _minor() -> str:
    return KUBERNETES.split(".")[1]


def _helm() -> str:
    return f"module parts\n\ngo {GO}\n\nrequire helm.sh/helm/v3 v{HELM}\n"


def _kubernetes(go: str) -> str:
    """Kubernetes' own go.mod looks for its libraries in its own tree; here they are the published ones."""
    answer = _run([go, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"], Path.home(), dict(os.environ))
    own = Path(json.loads(answer)["GoMod"]).read_text()
    beside = sorted(set(re.findall(r"^\s*(k8s\.io/[\w-]+) v0\.0\.0$", own, re.MULTILINE)))
    version = KUBERNETES.replace("1.", "v0.", 1)
    lines = "".join(f"replace {library} => {library} {version}\n" for library in beside)
    return f"module parts\n\ngo {GO}\n\nrequire k8s.io/kubernetes v{KUBERNETES}\n\n{lines}"


def _run(command: list[str], where: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"a Go module proxy: `{' '.join(command[:3])}` failed: {done.stderr.strip()[-600:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        print(json.dumps({name: str(path) for name, path in build().items()}, indent=2))
    except Missing as missing:
        sys.exit(f"needs: {missing}")
