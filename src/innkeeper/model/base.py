"""How every manifest value behaves: frozen, strict, camelCase in files, unknown fields refused."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from innkeeper.model.units import MiB, format_quantity, parse_quantity


class Value(BaseModel):
    """A frozen part of a manifest. `model_fields_set` tells what the author named."""

    model_config = ConfigDict(
        strict=True,
        defer_build=True,  # a command uses few of the models
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
    )


def _whole(unit: int, name: str) -> AfterValidator:
    def check(size: int) -> int:
        if size % unit:
            raise ValueError(f"Proxmox counts this in whole {name}")
        if not size:
            raise ValueError("must be more than zero")
        return size

    return AfterValidator(check)


def _zero_or_quantity(value: object) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else parse_quantity(value)


QUANTITY_PATTERN = r"^\d+(\.\d+)?(Ki|Mi|Gi|Ti)$"


def _quantity_schema(description: str, *, zero: bool = False) -> WithJsonSchema:
    quantity: dict[str, object] = {"type": "string", "pattern": QUANTITY_PATTERN}
    body = {"anyOf": [quantity, {"type": "integer", "const": 0}]} if zero else quantity
    return WithJsonSchema(body | {"description": description})


_AS_WRITTEN = PlainSerializer(lambda size: format_quantity(size) if size else 0, when_used="json")

Memory = Annotated[
    int,
    BeforeValidator(parse_quantity),
    _whole(MiB, "MiB"),
    _quantity_schema("a quantity with a unit (Ki, Mi, Gi, Ti), a whole number of MiB, such as 512Mi"),
    _AS_WRITTEN,
]
"""Bytes, a whole number of MiB, written `512Mi`."""

MemoryOrZero = Annotated[
    int,
    BeforeValidator(_zero_or_quantity),
    _quantity_schema("a quantity with a unit (Ki, Mi, Gi, Ti) such as 512Mi, or 0 for none", zero=True),
    _AS_WRITTEN,
]
"""Bytes, a whole number of MiB, or 0 to switch the thing off."""

DiskSize = Annotated[
    int,
    BeforeValidator(parse_quantity),
    _whole(MiB, "MiB"),
    _quantity_schema("a quantity with a unit (Ki, Mi, Gi, Ti) such as 8Gi"),
    _AS_WRITTEN,
]
"""Bytes, written `8Gi`. New volumes are allocated in GiB; fractions are allowed."""

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"),
    Field(description="lower-case letters, digits and inner hyphens, at most 63 characters"),
]
"""A DNS label: lower-case letters, digits and inner hyphens, at most 63 characters."""

HostName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*$",
        max_length=255,
    ),
    Field(description="a host name: letters, digits and inner hyphens, its parts separated by dots"),
]
VMID = Annotated[int, Field(ge=100, le=999_999_999, description="a whole number from 100 to 999999999")]
PLAIN_PATTERN = r"^[^,=\s\x00-\x1f]+$"
Plain = Annotated[
    str,
    StringConstraints(pattern=PLAIN_PATTERN),
    Field(description="text without commas, equals signs and white space"),
]
"""Text that goes into a property string: it can hold neither a comma, nor `=`, nor white space."""
