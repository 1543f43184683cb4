"""Where `{secretRef: {name, key}}` stands in a value, and the value with secrets put in its place. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import cast

from pydantic import ValidationError

from innkeeper.model.inside import SecretRef

FIELD = "secretRef"


def reference(value: object) -> SecretRef | None:
    """The reference that a value is, or None; ValueError where it is meant as one and is none."""
    if not isinstance(value, Mapping) or FIELD not in value:
        return None
    if len(value) != 1:
        raise ValueError("secretRef stands alone: {secretRef: {name: …, key: …}}")
    try:
        return SecretRef.model_validate(value[FIELD])
    except ValidationError:
        raise ValueError("a reference is {secretRef: {name: a store, key: a word}}") from None


def references(value: object, path: str = "") -> Iterator[tuple[str, SecretRef]]:
    """Every reference at any depth, with its dotted path below `path`."""
    found = reference(value)
    if found is not None:
        yield path, found
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from references(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from references(part, f"{path}.{index}" if path else str(index))


def filled(value: object, secret: Callable[[SecretRef], object]) -> object:
    """The value with each reference replaced by what `secret` gives for it."""
    found = reference(value)
    if found is not None:
        return secret(found)
    if isinstance(value, Mapping):
        return {name: filled(part, secret) for name, part in cast(Mapping[str, object], value).items()}
    if isinstance(value, list | tuple):
        return [filled(part, secret) for part in value]
    return value
