"""Every spelling that Proxmox gives a value equals the one that was sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.settings import canonical

SAME = [
    ("flag", "1", "on"),
    ("flag", "1", "yes"),
    ("flag", "0", "off"),
    ("flag", "0", "No"),
    ("integer", "512", "512.0"),
    ("integer", "8", "08"),
    ("number", "0.5", "0.50"),
    ("number", "2", "2.0"),
    ("number", "100", "1e2"),
    ("list", "scsi0;net0", "scsi0 net0"),
    ("set", "nfs;cifs", "cifs;nfs"),
    ("set", "20;30", "30;20"),
    ("tags", "Web;db", "db,web"),
    ("tags", "a;a;B", "b a"),
    ("tags", "", " "),
    ("addresses", "1.1.1.1 9.9.9.9", "1.1.1.1,9.9.9.9"),
    ("addresses", "2620:fe::fe", "2620:00FE::00fe"),
    ("addresses", "fe80::1%eth0", "FE80::1%eth0"),
    ("ip", "fd00::1", "FD00:0::1"),
    ("cidr", "dhcp", "DHCP"),
    ("cidr", "fd00::1/64", "FD00::0001/64"),
    ("mac", "BC:24:11:AA:BB:CC", "bc:24:11:aa:bb:cc"),
    ("size", "8589934592", "8G"),
    ("size", "1.5G", "1536M"),
    ("shares", "262144", "10000"),
    ("shares", "0", "1"),
    ("keys", "ssh-ed25519%20AAAA%20me%40x", "ssh-ed25519%20AAAA%20me%40x%0A"),
    ("keys", "a%20b%0Ac%20d", "a b\nc d\n"),
    ("machine", "q35", "pc-q35-9.2+pve1"),
    ("machine", "pc", "pc-i440fx-8.1"),
]
DIFFERENT = [
    ("flag", "1", "0"),
    ("list", "scsi0;net0", "net0;scsi0"),
    ("addresses", "1.1.1.1 9.9.9.9", "9.9.9.9 1.1.1.1"),
    ("cidr", "10.0.0.1/24", "10.0.0.1/25"),
    ("machine", "q35", "pc-i440fx-8.1"),
    ("machine", "pc-q35-8.1", "pc-q35-9.0"),
    ("text", "Web", "web"),
    ("tags", "a", "a;b"),
]


@pytest.mark.parametrize(("form", "wanted", "found"), SAME)
def test_two_spellings_of_one_value(form: str, wanted: str, found: str) -> None:
    assert canonical.same(form, wanted, found)


@pytest.mark.parametrize(("form", "wanted", "found"), DIFFERENT)
def test_two_values(form: str, wanted: str, found: str) -> None:
    assert not canonical.same(form, wanted, found)


@given(st.sampled_from(sorted({form for form, _, _ in SAME})), st.text(max_size=20))
def test_the_canonical_form_is_its_own(form: str, text: str) -> None:
    once = canonical.canonical(form, text)
    if form not in ("keys", "size", "shares"):
        assert canonical.canonical(form, once) == once


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("a\nb", "a\nb\n"), ("a  \nb", "a\nb"), ("\n a \n", " a"), ("a\r\nb\rc", "a\nb\nc"), ("", "\n")],
)
def test_notes_do_not_depend_on_line_ends(sent: str, stored: str) -> None:
    assert canonical.notes(sent) == canonical.notes(stored)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])), min_size=1, max_size=3))
def test_keys_survive_their_escaping(lines: list[str]) -> None:
    kept = tuple(line.strip() for line in lines if line.strip())
    assert canonical.key_lines(canonical.escape_keys(kept)) == kept
    assert set(canonical.escape_keys(kept)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%-_.~"
    )


def test_a_size_needs_its_unit_to_be_known() -> None:
    with pytest.raises(ValueError, match="not a size"):
        canonical.parse_size("8X")
