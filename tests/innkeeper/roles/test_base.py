"""The roles that every guest and every application start from."""

from tests.innkeeper.roles.lab import Calls, Lab

PORTS = "python3 -m http.server {0} >/dev/null 2>&1 </dev/null & sleep 1"


def test_the_operator_gets_in_the_firewall_keeps_others_out_and_a_second_run_changes_nothing(lab: Lab) -> None:
    guest = lab.create("base")
    key = (lab.folder / "key.pub").read_text().strip()
    roles: Calls = [
        ("base", {"base_authorized_keys": [key], "base_timezone": "Europe/Berlin", "base_extra_packages": ["jq"]}),
        ("base_os", {"base_os_authorized_keys": [key], "base_os_ports": ["8001", "8002/tcp"]}),
    ]
    trial = guest.play(roles, "--check")
    assert trial.status == 0, trial.output[-3000:]
    assert guest.shell("id app || echo nobody; ls /etc/ssh/sshd_config.d").split() == ["nobody"]
    assert guest.configure(roles)
    assert guest.configure(roles) == []
    assert guest.shell("id -gn; date +%Z; which jq", user="app").split()[0] == "config"
    assert guest.shell("date +%Z").strip() in ("CET", "CEST")
    assert guest.shell("sudo id -un", user="appuser").strip() == "root"
    assert "permitrootlogin without-password" in guest.shell("sshd -T")
    upgrades = guest.shell("unattended-upgrade --dry-run -v 2>&1 | grep -i 'allowed origins'")
    assert "-security,label=Debian-Security" in upgrades
    assert "label=Debian," not in upgrades
    for port in (8001, 8002, 8003):
        guest.shell(PORTS.format(port))
    assert [guest.get(port)[0] for port in (8001, 8002, 8003)] == [200, 200, 0]

    guest.shell("ufw allow 8003/tcp && ufw delete allow 8001/tcp && ufw --force disable")
    roles = [roles[0], ("base_os", {"base_os_ports": ["8001"]})]
    assert guest.configure(roles) == [
        "base_os : Let the operator in",
        "base_os : Let in SSH and the application",
        "base_os : Close what is no longer wanted",
        "base_os : Turn the firewall on",
    ]
    assert [guest.get(port)[0] for port in (8001, 8002, 8003)] == [200, 0, 200], "a rule made by hand stays"
