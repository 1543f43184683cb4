"""Handlers and facts belong together."""

from __future__ import annotations

import pytest

from pvesim import schema
from pvesim.api.method import Call, method, routes
from pvesim.api.router import Router, discover


@pytest.mark.parametrize("version", ["8.4.1", "9.1.9"])
def test_nothing_is_served_without_facts(version: str) -> None:
    router = Router(version)
    assert router.unknown == set()
    assert router.served <= schema.load(version).keys()


def test_no_method_has_two_handlers() -> None:
    names = [f"{verb} {path}" for verb, path, _ in discover()]
    assert len(names) == len(set(names))


def test_a_path_is_taken_apart() -> None:
    router = Router("9.1.9")
    found = router.find("GET", "/nodes/pve/storage/local/content/local:vztmpl/debian-12.tar.zst")
    assert found
    assert found[0].method.path == "/nodes/{node}/storage/{storage}/content/{volume}"
    assert found[1] == {"node": "pve", "storage": "local", "volume": "local:vztmpl/debian-12.tar.zst"}
    exact = router.find("GET", "/nodes/pve/lxc/101/status/current")
    assert exact
    assert exact[1] == {"node": "pve", "vmid": "101"}
    for verb, path in [
        ("GET", "/nodes/pve/nosuch"),
        ("POST", "/version"),
        ("GET", "/nodes/pve/lxc/101/status/current/x"),
    ]:
        assert router.find(verb, path) is None


def test_a_handler_may_serve_several_methods() -> None:
    @method("GET", "/version")
    @method("GET", "/nosuch")
    def handler(call: Call) -> object:
        return None

    listed = routes({"handler": handler, "other": 1})
    assert {(verb, path) for verb, path, _ in listed} == {("GET", "/version"), ("GET", "/nosuch")}
    router = Router("9.1.9", listed)
    assert router.served == {"GET /version"}
    assert router.unknown == {"GET /nosuch"}
