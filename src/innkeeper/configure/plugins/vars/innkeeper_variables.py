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
description: Reads one JSON document and gives it to every host as C(innkeeper_role_variables).
options: {}
"""


class VarsModule(BaseVarsPlugin):
    REQUIRES_ENABLED = True

    _read = None

    def get_vars(self, loader, path, entities):
        super().get_vars(loader, path, entities)
        if not any(isinstance(entity, Host) for entity in entities):
            return {}
        if VarsModule._read is None:
            text = Path(os.environ["INNKEEPER_VARIABLES"]).read_text(encoding="utf-8")
            VarsModule._read = {"innkeeper_role_variables": wrap_var(json.loads(text))}
        return VarsModule._read
