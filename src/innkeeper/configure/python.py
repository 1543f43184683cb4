"""Python inside a guest, which Ansible's modules need and small templates lack."""

import shlex

from innkeeper.configure.reach import Entered
from innkeeper.engine.errors import Stalled
from innkeeper.engine.inside import Tell

INTERPRETER = "/usr/bin/python3"
_LOOK_SECONDS = 30.0
_INSTALL_SECONDS = 300.0
_INSTALL = """
export DEBIAN_FRONTEND=noninteractive
if command -v apt-get; then apt-get -q update && apt-get -qy install --no-install-recommends python3-minimal python3-apt
elif command -v apk; then apk add python3
elif command -v dnf; then dnf -qy install python3
elif command -v zypper; then zypper -n install python3
elif command -v pacman; then pacman -Sy --noconfirm python
else echo no package manager that is known; exit 1
fi 2>&1
"""


async def provide(entered: Entered, who: str, tell: Tell, *, root: bool) -> None:
    """Install Python where it is missing, by the guest's own package manager. Stalled where that fails."""
    try:
        if (await entered.run(f"test -x {INTERPRETER}", _LOOK_SECONDS)).status == 0:
            return
        tell("installing Python, which Ansible needs")
        words = ["/bin/sh", "-c", _INSTALL]
        done = await entered.run(shlex.join(words if root else ["sudo", "-n", *words]), _INSTALL_SECONDS)
        if done.status == 0:
            return
        problem = next((line.strip() for line in reversed(done.output.splitlines()) if line.strip()), "")
    except TimeoutError:
        problem = "no answer"
    except OSError as error:
        problem = str(error)
    raise Stalled(f"{who}: Python cannot be installed: {problem}", f"see that {INTERPRETER} is in its template")
