"""The roles' variables, secrets among them, from memory that INNKEEPER_VARIABLES names; as text, never as templates.

Ansible loads this file by itself; it must not import the product.
"""
# mypy: ignore-errors

import json
import os
from pathlib import Path

from ansible.inventory.host import Host
from ansible.plugins.vars import BaseVarsPlugin
from ansible.utils.unsafe_proxy import wrap_var

DOCUMENTATION = """
name: innkeeper_variables
short_description: role variables from Innkeeper
description: Reads one JSON document by host and gives each its own as C(innkeeper_role_variables).
options: {}
"""


class VarsModule(BaseVarsPlugin):
    REQUIRES_ENABLED = True

    _read = None

    def get_vars(self, loader, path, entities):
        super().get_vars(loader, path, entities)
        if VarsModule._read is None:
            text = Path(os.environ["INNKEEPER_VARIABLES"]).read_text(encoding="utf-8")
            VarsModule._read = {host: wrap_var(values) for host, values in json.loads(text).items()}
        found = [VarsModule._read.get(entity.name) for entity in entities if isinstance(entity, Host)]
        return {"innkeeper_role_variables": found[0]} if found and found[0] is not None else {}
