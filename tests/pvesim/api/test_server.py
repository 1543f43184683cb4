"""What the HTTPS server does with requests, good and bad."""

from __future__ import annotations

import json
import socket

import pytest

from tests.pvesim.running import ALICE, SECRET, Sim

ROOT = {"Authorization": f"PVEAPIToken=root@pam!full={SECRET}"}
POOL = "/pools"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "No ticket"),
        ({"Authorization": "Bearer abc"}, "No ticket"),
        ({"Authorization": "PVEAPIToken=root@pam!full=wrong"}, "Authentication failed!"),
        ({"Authorization": f"PVEAPIToken=root@pam!nosuch={SECRET}"}, "Authentication failed!"),
        ({"Authorization": f"PVEAPIToken=nobody@pve!full={SECRET}"}, "Authentication failed!"),
        ({"Authorization": "PVEAPIToken root@pam!full=x"}, "Authentication failed!"),
        ({"Cookie": "PVEAuthCookie=PVE:root@pam:00000000::x"}, "permission denied - invalid PVE ticket"),
    ],
)
def test_nobody_is_let_in_without_credentials(sim: Sim, headers: dict[str, str], reason: str) -> None:
    reply = sim.call("GET", "/version", token=None, headers=headers)
    assert (reply.status, reply.reason, reply.body) == (401, reason, "")
    assert reply.headers["connection"] == "close"


def test_the_answer_of_a_missing_method_names_it(sim: Sim) -> None:
    for method, path in [("GET", "/nosuch"), ("POST", "/version"), ("GET", "/nodes/pve/nosuch")]:
        reply = sim.call(method, path)
        assert (reply.status, reply.reason) == (501, f"Method '{method} {path}' not implemented")
        assert reply.body == {"data": None, "message": reply.reason}


def test_verbs_bodies_and_types_that_are_not_taken(sim: Sim) -> None:
    assert sim.call("PATCH", "/version").reason == "method 'PATCH' not available"
    assert sim.call("HEAD", "/version").status == 501
    assert sim.call("DELETE", "/pools/x", body=b"a=1").reason == "Unexpected content for method 'DELETE'"
    text = sim.call("POST", POOL, body=b"poolid=x", headers={"Content-Type": "text/plain"})
    assert (text.status, text.reason) == (506, "upload 'Content-Type 'text/plain' not implemented")
    assert sim.call("POST", POOL, body=b"{broken", headers={"Content-Type": "application/json"}).status == 500
    assert sim.call("POST", POOL, body=b"x" * (512 * 1024 + 1)).reason == "for data too large"
    chunked = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    assert (
        sim.call("POST", POOL, body=b"0\r\n\r\n", headers=chunked).reason == "chunked transfer encoding not supported"
    )
    assert sim.call("GET", "/nosuch", prefix="/api2/yaml").reason == "no such uri"
    assert sim.call("GET", "/version").status == 200


@pytest.mark.parametrize(
    ("body", "comment"),
    [
        (b"poolid=x&comment=a%3Db", "a=b"),
        (b"poolid=x&comment=a=b", "a"),
        (b"poolid=x;comment=a", "a"),
        (b"poolid=x&comment=a%3B%26b", "a;&b"),
        (b"poolid=x&comment=a+b%C3%A4", "a bä"),
        (b"poolid=x&comment=", None),
    ],
)
def test_forms_are_decoded_as_proxmox_decodes_them(sim: Sim, body: bytes, comment: str | None) -> None:
    assert sim.call("POST", POOL, body=body).data is None
    assert sim.call("GET", "/pools/x").data.get("comment") == comment


def test_the_query_replaces_what_the_body_says(sim: Sim) -> None:
    sim.call("POST", POOL, {"poolid": "x"})
    assert sim.call("PUT", "/pools/x?comment=query", {"comment": "body"}).status == 200
    assert sim.call("GET", "/pools/x").data["comment"] == "query"


def test_json_booleans_work_and_words_in_forms_do_not(sim: Sim) -> None:
    path = "/access/users/root@pam/token/ci"
    words = sim.call("POST", path, {"privsep": "true"})
    assert (words.status, words.errors) == (400, {"privsep": "type check ('boolean') failed - got 'true'"})
    body = json.dumps({"privsep": False}).encode()
    assert sim.call("POST", path, body=body, headers={"Content-Type": "application/json"}).status == 200
    assert sim.call("GET", path).data["privsep"] == 0


def test_a_parameter_of_the_path_cannot_be_contradicted(sim: Sim) -> None:
    reply = sim.call("PUT", "/pools/x", {"poolid": "y"})
    assert reply.errors == {"poolid": "duplicate parameter (already defined in URI) with conflicting values!"}


def test_a_connection_serves_a_hundred_requests_and_closes_after_an_error(sim: Sim) -> None:
    connection = sim.connect()
    for left in range(99, -1, -1):
        reply = sim.call("GET", "/version", connection=connection)
        assert reply.headers["connection"].lower() == ("keep-alive" if left else "close")
    connection.close()
    assert sim.call("GET", "/nosuch").headers["connection"] == "close"


def test_headers_and_body_come_in_one_piece(sim: Sim) -> None:
    host, port = sim.urls["pve"].removeprefix("https://").split(":")
    with sim.tls.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) as wire:
        wire.sendall(b"GET /api2/json/version HTTP/1.1\r\nHost: x\r\nAuthorization: " + ROOT["Authorization"].encode())
        wire.sendall(b"\r\n\r\n")
        first = wire.recv(65536)
        wire.sendall(b"nonsense\r\n\r\n")
        assert b"400 bad request" in wire.recv(65536)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"}")


def test_extjs_wraps_errors_in_a_success(sim: Sim) -> None:
    assert sim.call("GET", "/version", prefix="/api2/extjs").body["success"] == 1
    reply = sim.call("GET", "/nosuch", prefix="/api2/extjs")
    assert (reply.status, reply.body["success"], reply.body["status"]) == (200, 0, 501)


def test_rights_are_checked_before_parameters_and_nodes(sim: Sim) -> None:
    alice = {"Authorization": f"PVEAPIToken=alice@pve!nosep={ALICE}"}
    for path in ("/nodes/pve/lxc/101/config", "/nodes/nosuch/lxc/101/config"):
        reply = sim.call("GET", path, {"bogus": 1}, token=None, headers=alice)
        assert (reply.status, reply.message) == (403, "Permission check failed (/vms/101, VM.Audit)")
    reply = sim.call("GET", "/nodes/nosuch/status")
    assert (reply.status, reply.message.partition(" - ")[0]) == (500, "hostname lookup 'nosuch' failed")


def test_the_log_tells_of_every_call(sim: Sim) -> None:
    sim.call("POST", POOL, {"poolid": "x", "comment": "secret"})
    sim.call("GET", "/version", token=None)
    write, read = sim.calls()
    assert write == {
        "method": "POST", "path": "/pools", "params": ["comment", "poolid"], "status": 200, "user": "root@pam!full",
        "node": "pve", "write": True, "upid": None, "fault": None,
    }  # fmt: skip
    assert (read["status"], read["user"], read["write"]) == (401, "", False)
