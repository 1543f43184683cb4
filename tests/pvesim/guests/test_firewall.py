"""The firewall's config and what high availability is told."""

from tests.pvesim.running import Sim

from .conftest import CT, container

FW = "/cluster/firewall"


def test_rules_have_positions(sim: Sim) -> None:
    for port in ("22", "80"):
        asked = {"type": "in", "action": "ACCEPT", "proto": "tcp", "dport": port, "enable": 1, "source": "10.0.0.0/8"}
        assert sim.call("POST", f"{FW}/rules", asked).data is None
    rows = sim.call("GET", f"{FW}/rules").data
    assert [(row["pos"], row["dport"]) for row in rows] == [(0, "80"), (1, "22")]
    assert rows[0]["ipversion"] == 4
    assert sim.call("PUT", f"{FW}/rules/0", {"moveto": 2}).data is None
    assert [row["dport"] for row in sim.call("GET", f"{FW}/rules").data] == ["22", "80"]
    assert sim.call("PUT", f"{FW}/rules/0", {"comment": "ssh", "digest": "0" * 40}).status == 500
    assert sim.call("PUT", f"{FW}/rules/0", {"comment": "ssh", "delete": "source"}).data is None
    rule = sim.call("GET", f"{FW}/rules/0").data
    assert (rule["comment"], "source" in rule, "ipversion" in rule) == ("ssh", False, False)
    assert sim.call("GET", f"{FW}/rules/9").message == "no rule at position 9"
    assert sim.call("DELETE", f"{FW}/rules/0").data is None
    assert len(sim.call("GET", f"{FW}/rules").data) == 1


def test_rules_that_make_no_sense(sim: Sim) -> None:
    container(sim)

    def wrong(path: str, **more: str) -> set[str]:
        return set(sim.call("POST", f"{path}/rules", {"type": "in", "action": "ACCEPT"} | more).errors)

    assert wrong(FW, action="MAYBE") == {"action"}
    assert wrong(FW, dport="22") == {"proto"}
    assert wrong(FW, dport="22", proto="esp") == {"dport"}
    assert wrong(FW, source="nosuchalias") == {"source"}
    assert wrong(FW, source="+nosuchset") == {"source"}
    assert wrong(FW, macro="Nope") == {"macro"}
    assert wrong(FW, source="10.0.0.1", dest="fe80::1") == {"dest"}
    assert wrong(f"{CT}/firewall", iface="eth0") == {"iface"}
    assert wrong(f"{CT}/firewall", type="forward") == {"type"}
    assert sim.call("POST", f"{CT}/firewall/rules", {"type": "in", "action": "ACCEPT", "macro": "ssh"}).data is None
    assert sim.call("GET", f"{CT}/firewall/rules").data[0]["macro"] == "SSH"


def test_aliases_sets_groups_and_references(sim: Sim) -> None:
    container(sim)
    own = f"{CT}/firewall"
    assert sim.call("POST", f"{own}/aliases", {"name": "Home", "cidr": "10.0.0.1"}).data is None
    assert set(sim.call("POST", f"{own}/aliases", {"name": "home", "cidr": "10.0.0.2"}).errors) == {"name"}
    assert sim.call("GET", f"{own}/aliases/HOME").data == {"name": "Home", "cidr": "10.0.0.1", "ipversion": 4}
    assert sim.call("PUT", f"{own}/aliases/home", {"cidr": "10.0.0.3", "rename": "flat"}).data is None
    assert [row["name"] for row in sim.call("GET", f"{own}/aliases").data] == ["flat"]
    assert sim.call("POST", f"{FW}/ipset", {"name": "lan", "comment": "c"}).data is None
    assert sim.call("POST", f"{FW}/ipset/lan", {"cidr": "10.1.0.0/16"}).data is None
    assert set(sim.call("POST", f"{FW}/ipset/lan", {"cidr": "10.1.0.0/16"}).errors) == {"cidr"}
    assert sim.call("GET", f"{FW}/ipset/lan/10.1.0.0/16").data["cidr"] == "10.1.0.0/16"
    assert sim.call("DELETE", f"{FW}/ipset/lan").message == "IPSet 'lan' is not empty"
    assert sim.call("GET", f"{FW}/ipset/nope").message == "no such IPSet 'nope'"
    refs = {row["ref"] for row in sim.call("GET", f"{own}/refs").data}
    assert refs == {"+dc/lan", "guest/flat"}
    assert sim.call("DELETE", f"{FW}/ipset/lan/10.1.0.0/16").data is None
    assert sim.call("DELETE", f"{FW}/ipset/lan").data is None
    assert sim.call("POST", f"{FW}/groups", {"group": "web"}).data is None
    assert sim.call("POST", f"{FW}/groups/web", {"type": "in", "action": "ACCEPT", "macro": "HTTP"}).data is None
    assert sim.call("DELETE", f"{FW}/groups/web").message == "Security group 'web' is not empty"
    assert sim.call("GET", f"{FW}/groups/nope").message == "no such security group 'nope'"
    assert sim.call("DELETE", f"{FW}/groups/web/0").data is None
    assert sim.call("DELETE", f"{FW}/groups/web").data is None


def test_a_rule_outlives_what_it_names(sim: Sim) -> None:
    assert sim.call("POST", f"{FW}/aliases", {"name": "home", "cidr": "10.0.0.1"}).data is None
    assert sim.call("POST", f"{FW}/ipset", {"name": "lan"}).data is None
    assert sim.call("POST", f"{FW}/ipset/lan", {"cidr": "home"}).data is None
    assert sim.call("POST", f"{FW}/rules", {"type": "in", "action": "ACCEPT", "source": "home"}).data is None
    before = sim.call("GET", f"{FW}/rules/0").data
    assert "errors" not in before
    assert sim.call("DELETE", f"{FW}/aliases/home").data is None
    after = sim.call("GET", f"{FW}/rules/0").data
    assert after == before | {"errors": {"source": "no such alias 'home'"}}
    assert sim.call("GET", f"{FW}/ipset/lan").data[0]["errors"] == {"cidr": "no such alias 'home'"}


def test_options(sim: Sim) -> None:
    container(sim)
    empty = sim.call("GET", f"{CT}/firewall/options").data
    assert empty == {"digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}
    assert sim.call("PUT", f"{CT}/firewall/options", {"enable": 1, "policy_in": "DROP"}).data is None
    options = sim.call("GET", f"{CT}/firewall/options").data
    assert (options["enable"], options["policy_in"]) == (1, "DROP")
    assert sim.call("PUT", f"{CT}/firewall/options", {"delete": "policy_in"}).data is None
    assert "policy_in" not in sim.call("GET", f"{CT}/firewall/options").data
    assert set(sim.call("PUT", f"{CT}/firewall/options", {"delete": "bogus"}).errors) == {"delete"}
    assert sim.call("GET", "/nodes/pve/firewall/options").data == empty
    assert sim.call("GET", f"{FW}/macros").data[0].keys() == {"macro", "descr"}
    assert sim.call("PUT", f"{CT}/firewall/options", {"enable": 1}, token="alice@pve!nosep").message == (
        "Permission check failed (/vms/101, VM.Config.Network)"
    )


def test_high_availability(sim: Sim) -> None:
    container(sim)
    container(sim, 102)
    base = "/cluster/ha"
    assert sim.call("POST", f"{base}/resources", {"sid": "ct:999"}).message == (
        "resource 'ct:999' does not exists in cluster"
    )
    assert sim.call("POST", f"{base}/resources", {"sid": "101", "max_restart": 2}).data is None
    assert sim.call("POST", f"{base}/resources", {"sid": "ct:101"}).message == (
        "create resource failed: resource ID 'ct:101' already defined"
    )
    (row,) = sim.call("GET", f"{base}/resources").data
    assert (row["sid"], row["type"], row["max_restart"]) == ("ct:101", "ct", 2)
    rule = {"rule": "keep", "type": "node-affinity", "resources": "ct:101", "nodes": "pve"}
    assert sim.call("POST", f"{base}/rules", rule | {"resources": "ct:102"}).message == (
        "create ha rule failed: cannot use unmanaged resource(s) ct:102."
    )
    assert sim.call("POST", f"{base}/rules", rule).data is None
    assert [found["rule"] for found in sim.call("GET", f"{base}/rules").data] == ["keep"]
    assert sim.call("GET", f"{base}/groups").message == "cannot index groups: ha groups have been migrated to rules"
    assert {row["type"] for row in sim.call("GET", f"{base}/status/current").data} >= {"quorum", "service"}
    assert sim.call("PUT", f"{base}/resources/ct:101", {"state": "stopped"}).data is None
    assert sim.call("GET", f"{base}/resources/ct:101").data["state"] == "stopped"
    assert sim.call("DELETE", f"{base}/resources/ct:101").data is None
    assert sim.call("GET", f"{base}/rules").data == []
    assert sim.call("DELETE", f"{base}/resources/ct:101").message == ("cannot delete service 'ct:101', not HA managed!")
