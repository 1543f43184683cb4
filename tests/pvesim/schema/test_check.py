"""What is wrong with a request is said in Proxmox's own words, parameter by parameter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvesim import schema
from pvesim.schema import formats

CREATE = schema.load("9.1")["POST /nodes/{node}/lxc"]
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
GOOD = {"node": "pve", "vmid": "101", "ostemplate": "local:vztmpl/x.tar.zst"}

WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"vmid": "99"}, {"vmid": "invalid format - value does not look like a valid VM ID\n"}),
    ({"vmid": "abc"}, {"vmid": "type check ('integer') failed - got 'abc'"}),
    ({"bogus": "1"}, {"bogus": UNKNOWN}),
    ({"net40": "name=eth0"}, {"net40": UNKNOWN}),
    ({"memory": "8"}, {"memory": "value must have a minimum value of 16"}),
    ({"cores": "9000"}, {"cores": "value must have a maximum value of 8192"}),
    ({"cpulimit": "-1"}, {"cpulimit": "value must have a minimum value of 0"}),
    ({"unprivileged": "yes"}, {"unprivileged": "type check ('boolean') failed - got 'yes'"}),
    ({"memory": True}, {"memory": "type check ('integer') failed - got JSON::PP::Boolean"}),
    ({"hostname": ["a", "b"]}, {"hostname": "type check ('string') failed - got ARRAY"}),
    ({"hostname": {"a": 1}}, {"hostname": "type check ('string') failed - got HASH"}),
    ({"hostname": "bad_host"}, {"hostname": "invalid format - value does not look like a valid DNS name\n"}),
    ({"hostname": "a" * 256}, {"hostname": "value may only be 255 characters long"}),
    ({"password": "abc"}, {"password": "value must be at least 5 characters long"}),
    ({"cmode": "x"}, {"cmode": "value 'x' does not have a value in the enumeration 'shell, console, tty'"}),
    ({"tags": "a b;c!d"}, {"tags": "invalid format - invalid characters in tag\n"}),
    ({"startup": "xyz"}, {"startup": "invalid format - unable to parse startup options\n"}),
    ({"unique": "1"}, {"restore": "missing property - 'unique' requires this property"}),
    (
        {"net0": "bridge=vmbr0"},
        {"net0": "invalid format - format error\nnet0.name: property is missing and it is not optional\n"},
    ),
    ({"net0": "name=eth0,bogus=1"}, {"net0": f"invalid format - format error\nnet0.bogus: {UNKNOWN}\n"}),
    ({"net0": "name"}, {"net0": "invalid format - value without key, but schema does not define a default key\n"}),
    ({"net0": "name="}, {"net0": "invalid format - missing key in comma-separated list property\n"}),
    (
        {"net0": "name=a,name=b"},
        {"net0": "invalid format - duplicate key in comma-separated list property: name\n"},
    ),
    (
        {"rootfs": "btr:1,local:1"},
        {"rootfs": "invalid format - duplicate key in comma-separated list property: volume\n"},
    ),
    (
        {"net0": "name=eth0,ip=10.0.0.5"},
        {
            "net0": "invalid format - format error\nnet0.ip: invalid format - "
            "value does not look like a valid ipv4 network configuration\n\n"
        },
    ),
]


@pytest.mark.parametrize(("params", "errors"), WRONG)
def test_words(params: dict[str, Any], errors: dict[str, str]) -> None:
    assert schema.check(CREATE, GOOD | params)[1] == errors


def test_what_is_missing() -> None:
    missing = "property is missing and it is not optional"
    assert schema.check(CREATE, {})[1] == dict.fromkeys(("node", "vmid", "ostemplate"), missing)
    assert schema.check(CREATE, GOOD | {"vmid": None})[1] == {"vmid": missing}


def test_values_are_typed() -> None:
    given = {"memory": "512", "onboot": "1", "start": False, "cpulimit": "1.5", "swap": 0, "features": "nesting=1"}
    values, errors = schema.check(CREATE, GOOD | given | {"hostname": None})
    assert not errors
    wanted = {"memory": 512, "onboot": True, "start": False, "cpulimit": 1.5, "swap": 0, "features": "nesting=1"}
    assert values == GOOD | {"vmid": 101, "hostname": None} | wanted


def test_repeated_keys_of_a_form_are_a_list_where_a_list_is_meant() -> None:
    assert schema.check(CREATE, GOOD | {"tags": ["a", "b"]})[0]["tags"] == "a,b"
    execute = schema.load("9.1")["POST /nodes/{node}/qemu/{vmid}/agent/exec"]
    asked = {"node": "pve", "vmid": "200", "command": "id"}
    assert schema.check(execute, asked)[0]["command"] == ["id"]


def test_versions_differ() -> None:
    params = GOOD | {"entrypoint": "/bin/sh"}
    assert not schema.check(CREATE, params)[1]
    assert list(schema.check(schema.load("8.4")["POST /nodes/{node}/lxc"], params)[1]) == ["entrypoint"]


def test_the_key_of_an_alias_is_kept() -> None:
    table = schema.table("9.1", "qemu-net")
    parts = schema.parse(table, "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=on")
    assert parts == {"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0", "firewall": "1"}
    assert schema.render(table, parts) == "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"


WORD = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
MOUNTS = st.fixed_dictionaries(
    {"volume": WORD.map("btr:{}".format), "mp": WORD.map("/{}".format)},
    optional={
        "backup": st.sampled_from("01"),
        "ro": st.sampled_from("01"),
        "size": st.integers(1, 999).map("{}G".format),
    },
)


@given(MOUNTS)
def test_what_is_rendered_is_parsed_as_it_was(parts: dict[str, str]) -> None:
    table = schema.table("9.1", "lxc-mp")
    assert schema.parse(table, schema.render(table, parts)) == parts


@given(st.integers(0, 2**60))
def test_sizes_come_back(size: int) -> None:
    assert formats.parse_size(formats.format_size(size)) == size


FORMATS = [
    ("pve-vmid", "100 999999999", "99 1000000000 0100 abc"),
    ("dns-name", "a a-b A.b-c.d", "-a a_ a..b a-"),
    ("ipv4", "10.0.0.1 255.255.255.255", "10.0.0 10.0.0.256 a"),
    ("ipv6", "::1 fe80::1 2001:db8::", "10.0.0.1 ::g fe80::1%eth0"),
    ("CIDRv4", "10.0.0.1/24 10.0.0.1/32", "10.0.0.1 10.0.0.1/33 10.0.0.1/7"),
    ("pve-ipv4-config", "dhcp manual 10.0.0.1/8", "auto 10.0.0.1"),
    ("pve-ipv6-config", "auto dhcp 2001:db8::1/64", "10.0.0.1/24"),
    ("mac-addr", "BC:24:11:00:00:01 02:00:00:00:00:00", "BD:24:11:00:00:01 BC-24-11-00-00-01 BC:24:11:00:00"),
    ("pve-configid", "ab a_b-1", "a 1a -a"),
    ("pve-storage-id", "local local-lvm a1", "1a a- a"),
    ("pve-volume-id", "local:iso/x.iso", "local :x x"),
    ("pve-poolid", "apps a/b a/b/c", "a/b/c/d a//b é"),
    ("pve-startup-order", "1 order=1,up=2,down=3", "x order=x"),
    ("pve-tag-list", "a a;b,c A_1", "a! é"),
    ("email-opt", "a@b.c", "a@ @b"),
    ("pve-userid", "root@pam a.b@pve", "root @pam a@b:c"),
    ("pve-priv-list", "VM.Audit VM.Audit,Sys.Modify", "VM.Nothing"),
    ("disk-size", "8G 512M 1.5T 7", "8g x 8GB"),
    ("pve-lxc-mp-string", "/data data", "/a/../b ../x /a/."),
    ("pve-fw-dport-spec", "22 80,443 1000:2000 https echo-request", "70000 2000:1000"),
    ("pve-fw-addr-spec", "10.0.0.1 10.0.0.0/8,10.1.1.1 10.0.0.1-10.0.0.9 +set al dc/al", "10.0.0.1/8 10.0.0.1,::1 a!"),
    ("pve-fw-sport-spec", "22 ssh", "echo-request 1,"),
    ("pve-fw-protocol-spec", "tcp 6 icmpv6", "tpc 300"),
    ("pve-fw-icmp-type-spec", "any echo-request", "8 nothing"),
    ("pve-ha-resource-or-vm-id", "101 ct:101", "ct: :101"),
    ("pve-lxc-dev-string", "/dev/fuse", "fuse /dev/../x"),
]


@pytest.mark.parametrize(("name", "good", "bad"), FORMATS)
def test_formats(name: str, good: str, bad: str) -> None:
    for text in good.split():
        formats.verify(name, text)
    for text in bad.split():
        with pytest.raises(schema.FormatError):
            formats.verify(name, text)
