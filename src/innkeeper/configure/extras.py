"""Libraries that only work inside guests needs; who has not installed them is told how."""

import importlib
import shutil
from types import ModuleType

from innkeeper.engine.errors import Stalled


def need(module: str) -> ModuleType:
    """A module of the extra `guests`; Stalled, with the command that installs it, where it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
    raise Stalled(f"working inside guests needs the Python package {module}", "pip install innkeeper[guests]")


def need_command(name: str, package: str) -> str:
    """The path of a command; Stalled, with the package that brings it, where it is missing."""
    if (path := shutil.which(name)) is not None:
        return path
    raise Stalled(f"the command {name} is not installed", f"install {package}")
