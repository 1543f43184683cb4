"""Build what the operator is tested against: kube-apiserver, kubectl and helm, once, outside the checkout.

    python scripts/kubernetes_parts.py          builds what is missing (minutes) and prints the paths as JSON
    python scripts/kubernetes_parts.py --found  builds nothing

They are compiled from their published Go modules into the user's cache, a directory for each version, and used from
there for ever after. Kubernetes is made to be built from its own repository, so a module of our own requires it and
says where the parts are that it expects beside itself. It needs Go and a module proxy; etcd is Debian's.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

from go_parts import CACHE, Missing, go, run

KUBERNETES = "1.34.4"
HELM = "3.19.5"
GO = "1.24"
_PLACES = {
    "kube-apiserver": CACHE / f"kubernetes-{KUBERNETES}" / "kube-apiserver",
    "kubectl": CACHE / f"kubernetes-{KUBERNETES}" / "kubectl",
    "helm": CACHE / f"helm-{HELM}" / "helm",
}


def found() -> dict[str, Path]:
    """The parts that are built already."""
    return {name: path for name, path in _PLACES.items() if path.exists()}


def build() -> dict[str, Path]:
    """All parts, built where they are missing. Raises Missing where that cannot be."""
    if wanted := [name for name in _PLACES if name not in found()]:
        command = go(GO, ", ".join(_PLACES))
        with tempfile.TemporaryDirectory(prefix="innkeeper-parts-") as scratch:
            for name in wanted:
                module = Path(scratch) / name
                module.mkdir()
                _build(command, name, module)
    return dict(_PLACES)


def _build(command: str, name: str, module: Path) -> None:
    package = "helm.sh/helm/v3/cmd/helm" if name == "helm" else f"k8s.io/kubernetes/cmd/{name}"
    (module / "go.mod").write_text(_helm() if name == "helm" else _kubernetes(command))
    place = _PLACES[name]
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{name}.{os.getpid()}")
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=mod".strip()}
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion=v{KUBERNETES} -X {stamp}.gitMajor=1 -X {stamp}.gitMinor={_minor()}"
    run([command, "build", "-trimpath", f"-ldflags={flags}", "-o", str(unfinished), package], module, env)
    unfinished.rename(place)


def _minor() -> str:
    return KUBERNETES.split(".")[1]


def _helm() -> str:
    return f"module parts\n\ngo {GO}\n\nrequire helm.sh/helm/v3 v{HELM}\n"


def _kubernetes(command: str) -> str:
    """Kubernetes' own go.mod looks for its libraries in its own tree; here they are the published ones."""
    answer = run(
        [command, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"], Path.home(), dict(os.environ)
    )
    own = Path(json.loads(answer)["GoMod"]).read_text()
    beside = sorted(set(re.findall(r"^\s*(k8s\.io/[\w-]+) v0\.0\.0$", own, re.MULTILINE)))
    version = KUBERNETES.replace("1.", "v0.", 1)
    lines = "".join(f"replace {library} => {library} {version}\n" for library in beside)
    return f"module parts\n\ngo {GO}\n\nrequire k8s.io/kubernetes v{KUBERNETES}\n\n{lines}"


if __name__ == "__main__":
    try:
        parts = found() if sys.argv[1:] == ["--found"] else build()
        print(json.dumps({name: str(path) for name, path in parts.items()}, indent=2))
    except Missing as missing:
        sys.exit(f"needs: {missing}")
