"""The alternative: community.proxmox keeping unchanged containers as they are."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from bench.measure import Run, run
from bench.world import NODES, SECRET, TEMPLATE, Sim


def playbook(place: Path, sim: Sim, count: int) -> Path:
    """A play with one task that declares `count` containers as they are, the settings that the module can compare."""
    url = urlsplit(next(iter(sim.urls.values())))
    path = place / "containers.yaml"
    path.write_text(
        f"""- hosts: localhost
  gather_facts: false
  vars: {{ansible_python_interpreter: {sys.executable}}}
  tasks:
    - community.proxmox.proxmox:
        api_host: {url.hostname}
        api_port: {url.port}
        api_user: root@pam
        api_token_id: full
        api_token_secret: {SECRET}
        validate_certs: false
        vmid: "{{{{ 10000 + item }}}}"
        node: "{{{{ {list(NODES)}[item % {len(NODES)}] }}}}"
        hostname: "{{{{ 'ct%05d' % item }}}}"
        ostemplate: {TEMPLATE}
        cores: 2
        memory: 512
        swap: 256
        onboot: true
        update: true
        state: present
      loop: "{{{{ range({count}) | list }}}}"
"""
    )
    return path


def unchanged(place: Path, sim: Sim, count: int) -> Run:
    ansible = Path(sys.executable).parent / "ansible-playbook"
    os.environ["ANSIBLE_LOCALHOST_WARNING"] = "false"
    return run([ansible, "-i", "localhost,", "-c", "local", playbook(place, sim, count)])
