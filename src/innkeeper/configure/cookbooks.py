"""Cookbooks in place of roles: a directory with a recipe is run by the bundled role `recipe`."""

import re
from dataclasses import replace
from pathlib import Path

from innkeeper.configure.roles import BUNDLED, COOKBOOK, RECIPE, Roles, is_cookbook
from innkeeper.engine.inside import Inside, RoleCall

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_-]")


def as_roles(item: Inside) -> Inside:
    """The same guest, each cookbook a call of `recipe` whose attributes are the variables that were given to it."""
    return replace(item, roles=tuple(_as_role(call) for call in item.roles))


def _as_role(call: RoleCall) -> RoleCall:
    directory = Path(call.directory).absolute()
    if not is_cookbook(directory):
        return call
    variables: dict[str, object] = {
        "recipe_cookbook": str(directory),
        "recipe_name": _NOT_A_WORD.sub("_", directory.name),
        "recipe_parts": [part for part in COOKBOOK if (directory / part).exists()],
        "recipe_version": Roles().digest(call.directory)[:16],
        "recipe_attributes": dict(call.variables),
    }
    return RoleCall(RECIPE, str(BUNDLED / RECIPE), variables)
