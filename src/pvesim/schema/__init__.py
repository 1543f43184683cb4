"""What every served method of the Proxmox VE API accepts: facts by version, and the checks that follow from them."""

from pvesim.schema.check import check, parse, render
from pvesim.schema.facts import load, supported, table
from pvesim.schema.types import FormatError, Method, Param

__all__ = ["FormatError", "Method", "Param", "check", "load", "parse", "render", "supported", "table"]
