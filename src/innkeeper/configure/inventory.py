"""Ansible's inventory and playbook, made from the desired state. Pure.

No value of a manifest reaches Ansible as a template: variables travel in one document of their own, which our plugin
`innkeeper_variables` marks as plain text, and the playbook refers to them.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from innkeeper.configure.events import FINISHED
from innkeeper.configure.roles import BUNDLED
from innkeeper.engine.inside import Inside

VARIABLES = "innkeeper_role_variables"
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_]")


def group_name(name: str) -> str:
    """A name as Ansible allows for groups: `profile_static-website` becomes `profile_static_website`."""
    word = _NOT_A_WORD.sub("_", name)
    return f"_{word}" if word[:1].isdigit() else word


def inventory(items: Iterable[Inside], own: Mapping[str, Mapping[str, object]]) -> str:
    """The inventory of all guests as JSON (which is YAML); `own` holds variables by host name."""
    hosts: dict[str, dict[str, object]] = {}
    children: dict[str, dict[str, dict[str, object]]] = {}
    for item in items:
        name = host_name(item)
        known = {"ansible_host": item.address} if item.address else {}
        hosts[name] = {
            **known,
            "innkeeper_cluster": item.cluster,
            "innkeeper_guest": str(item.ref),
            **own.get(name, {}),
        }
        for group in item.groups:
            children.setdefault(group_name(group), {"hosts": {}})["hosts"][name] = {}
    return json.dumps({"all": {"hosts": hosts, "children": children}}, indent=1, sort_keys=True)


def host_name(item: Inside) -> str:
    """A guest's name in the inventory: its object's, which is unique among guests of its kind."""
    return item.ref.name


def playbook(items: Sequence[Inside], roles: Sequence[str]) -> str:
    """One play, as JSON, with the roles that all these guests need. `roles` says how each is called; variables come by
    reference, from each guest's own.

    What a task notified is done although a later task fails: the next run finds that task unchanged, and would not.
    Facts are gathered for roles that are not ours, which may count on them.
    """
    first = items[0]
    calls = [
        {"role": role, "vars": {name: _referred(index, name) for name in call.variables}}
        for index, (role, call) in enumerate(zip(roles, first.roles, strict=True))
    ]
    play: dict[str, object] = {
        "name": ", ".join(str(item.ref) for item in items),
        "hosts": [host_name(item) for item in items],
        "gather_facts": not only_ours(first),
        "become": first.user != "root",
        "force_handlers": True,
        "roles": calls,
        "post_tasks": [{"name": FINISHED, "ansible.builtin.assert": {"that": True, "quiet": True}}],
    }
    if len(items) > 1:
        play["strategy"] = "ansible.builtin.free"  # nobody waits for another guest's task
    return json.dumps([play], indent=1)


def only_ours(item: Inside) -> bool:
    """Whether all of a guest's roles are bundled ones, whose habits are known."""
    return all(Path(call.directory).parent == BUNDLED for call in item.roles)


def _referred(index: int, name: str) -> str:
    return f"{{{{ {VARIABLES}[{index}].{name} }}}}"


def variables(values: Mapping[str, Sequence[Mapping[str, object]]]) -> str:
    """The document with the variables of each guest's roles in their order, secrets filled in, by host name."""
    return json.dumps(values)
