"""Cookbooks in place of roles: a directory with a recipe is run by the bundled role `recipe`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from innkeeper.configure.roles import BUNDLED, COOKBOOK, RECIPE, Roles, is_cookbook
from innkeeper.engine.inside import Inside, RoleCall

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_-]")

Values = Sequence[Mapping[str, object]]


def as_roles(item: Inside, values: Values) -> tuple[Inside, Values]:
    """The same guest, each cookbook a call of `recipe` whose attributes are the variables that were given to it."""
    calls: list[RoleCall] = []
    given: list[Mapping[str, object]] = []
    for call, own in zip(item.roles, values, strict=True):
        directory = Path(call.directory)
        if not is_cookbook(directory):
            calls.append(call)
            given.append(own)
            continue
        variables: dict[str, object] = {
            "recipe_cookbook": str(directory.absolute()),
            "recipe_name": _NOT_A_WORD.sub("_", directory.absolute().name),
            "recipe_parts": [part for part in COOKBOOK if (directory / part).exists()],
            "recipe_version": Roles().digest(call.directory)[:16],
            "recipe_attributes": own,
        }
        calls.append(RoleCall(RECIPE, str(BUNDLED / RECIPE), variables))
        given.append(variables)
    return replace(item, roles=tuple(calls)), given
