"""The smaller roles, each seen from outside and run twice."""

from tests.innkeeper.roles.lab import Calls, Lab


def test_web_servers_node_exporter_and_caddy(lab: Lab) -> None:
    guest = lab.create("services")
    guest.configure([("base", {})])
    roles: Calls = [("web", {"web_index": "<h1>hello</h1>"}), ("node_exporter", {}), ("docker", {})]
    trial = guest.play(roles, "--check")
    assert trial.status == 0, trial.output[-3000:]

    exporter = ("node_exporter", {"node_exporter_arguments": ["--collector.systemd"]})
    nginx: Calls = [("web", {"web_index": "<h1>hello</h1>"}), exporter]
    assert guest.configure(nginx)
    assert guest.configure(nginx) == []
    assert guest.get(80) == (200, "<h1>hello</h1>\n")
    assert guest.get(80, "/healthz") == (200, "ok\n")
    assert "node_systemd_unit_state" in guest.get(9100, "/metrics")[1]

    apache: Calls = [("web", {"web_server": "apache", "web_port": 8080, "web_index": "<h1>apache</h1>"})]
    assert guest.configure(apache)
    assert guest.configure(apache) == []
    assert (guest.get(80)[0], guest.get(8080)[1], guest.get(8080, "/healthz")[0]) == (0, "<h1>apache</h1>\n", 200)

    site = {"name": "shop", "domain": f"http://{guest.address}", "backend": "127.0.0.1:8080"}
    caddy: Calls = [("caddy", {"caddy_sites": [site]})]
    assert guest.configure(caddy)
    assert guest.configure(caddy) == []
    assert guest.get(80)[1] == "<h1>apache</h1>\n"
    refused = guest.play([("caddy", {"caddy_sites": [{**site, "backend": "nonsense }"}]})])
    assert "failed to validate" in refused.failure
    assert guest.get(80)[1] == "<h1>apache</h1>\n", "the last configuration stays"


def test_docker(lab: Lab) -> None:
    guest = lab.create("docker")
    roles: Calls = [("base", {}), ("docker", {"docker_users": ["app"], "docker_daemon": {"log-driver": "local"}})]
    assert guest.configure(roles)
    assert guest.configure(roles) == []
    assert guest.shell("runuser -u app -- docker info --format '{{.LoggingDriver}}'").strip() == "local"
