"""Property strings come back as they were put together, and no value becomes more than one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.settings import propstring, table

_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
_VALUES = st.text(min_size=1, max_size=12)


@given(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=5), st.booleans())
def test_what_is_rendered_reads_back_or_is_refused(parts: dict[str, str], bare: bool) -> None:
    key = min(parts) if bare else ""
    unsafe = [value for value in parts.values() if not propstring.safe(value)]
    if unsafe:
        with pytest.raises(ValueError, match="cannot stand"):
            propstring.render(parts, key)
    else:
        assert propstring.parse(propstring.render(parts, key), key) == parts


@pytest.mark.parametrize("value", ["a,b", "a\nb", "", " a", "a\x00b", "a\x7f"])
def test_a_smuggling_value_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="bridge"):
        propstring.render({"bridge": value})


def test_a_part_without_a_name_needs_a_default() -> None:
    assert propstring.parse("local:8,size=8G", "volume") == {"volume": "local:8", "size": "8G"}
    with pytest.raises(ValueError, match="has no name"):
        propstring.parse("local:8")


@pytest.mark.parametrize(
    ("kind", "name", "text", "parts"),
    [
        ("VirtualMachine", "net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", "model macaddr bridge"),
        ("VirtualMachine", "net0", "model=virtio,macaddr=BC:24:11:00:00:01", "model macaddr"),
        ("VirtualMachine", "net0", "virtio,bridge=vmbr0", "model bridge"),
        ("VirtualMachine", "scsi0", "volume=local:8,iops_rd_length=3", "file iops_rd_max_length"),
        ("VirtualMachine", "agent", "1,guest-fsfreeze=0", "enabled freeze-fs"),
        ("VirtualMachine", "boot", "cdn", "legacy"),
        ("VirtualMachine", "memory", "current=512", "current"),
        ("Container", "startup", "3", "order"),
        ("Container", "mp0", "btr:101/vm-101-disk-1.raw,mp=/data,size=1G", "volume mp size"),
    ],
)
def test_proxmox_spellings(kind: str, name: str, text: str, parts: str) -> None:
    setting = table.find(kind, name)
    assert setting
    found = setting.parse(text)
    assert set(found) == set(parts.split())
    assert setting.parse(setting.render(found)) == found
