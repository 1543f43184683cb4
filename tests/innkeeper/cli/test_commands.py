"""What people and programs see, from the first plan to the last prune."""

import json
import re
import signal
import subprocess
import time
from typing import IO

import pytest
from syrupy.assertion import SnapshotAssertion

from innkeeper.manifests import manifest, to_yaml
from tests.innkeeper.cli.conftest import GUESTS, LIMITED, Desk


def test_plan_apply_and_apply_again(desk: Desk, snapshot: SnapshotAssertion) -> None:
    assert desk.innkeeper("plan").golden == snapshot(name="plan")
    assert desk.innkeeper("plan", "--detailed-exitcode").status == 2
    applied = desk.innkeeper("apply", "--yes", "--parallel", "1")
    assert applied.status == 0, applied
    assert applied.out.splitlines()[-1] == snapshot(name="applied")
    assert desk.innkeeper("apply", "--yes").golden == snapshot(name="again")
    assert desk.innkeeper("plan", "--detailed-exitcode").status == 0
    assert desk.innkeeper("status").golden == snapshot(name="status")


def test_a_plan_for_programs(desk: Desk, snapshot: SnapshotAssertion) -> None:
    said = desk.innkeeper("plan", "-o", "json")
    assert said.golden == snapshot
    plan = said.json
    assert set(plan) == {"summary", "steps", "diagnostics", "calls", "digest"}
    assert plan["summary"] == {"create": 2, "update": 0, "replace": 0, "delete": 0, "adopt": 0, "noop": 0}
    applied = desk.innkeeper("apply", "-o", "json", "--yes")
    assert [(step["name"], step["result"], step["error"]) for step in applied.json["steps"]] == [
        ("db", "done", None),
        ("web", "done", None),
    ]
    again = desk.innkeeper("apply", "-o", "json", "--yes")
    assert (again.json["summary"]["noop"], again.json["calls"]["write"], again.status) == (2, 0, 0)
    states = desk.innkeeper("status", "-o", "json").json["guests"]
    assert [(item["name"], item["sync"], item["health"]) for item in states] == [
        ("db", "Synced", "Healthy"),
        ("web", "Synced", "Suspended"),
    ]


def test_a_change_shows_from_and_to(desk: Desk, snapshot: SnapshotAssertion) -> None:
    assert desk.innkeeper("apply", "--yes").status == 0
    desk.write(
        "guests.yaml", GUESTS.replace("memory: 1Gi", "memory: 2Gi").replace("tags: [web]", "tags: [web, public]")
    )
    assert desk.innkeeper("plan").golden == snapshot


def test_a_repository_that_declares_its_own_source_is_that_source(desk: Desk) -> None:
    own = "apiVersion: innkeeper.dev/v1alpha1\nkind: Source\nmetadata: {name: mine}\nspec: {url: /srv/mine.git}\n"
    desk.write("source.yaml", own)
    assert desk.innkeeper("apply", "--yes").status == 0
    assert "No changes" in desk.innkeeper("plan", "--source", "mine").out
    assert "No changes" in desk.innkeeper("plan").out
    assert desk.innkeeper("plan", "--source", "home").status == 1, "another source's guests"


def test_the_answer_decides(desk: Desk) -> None:
    refused = desk.innkeeper("apply", stdin="no\n")
    assert (refused.status, refused.err) == (1, "Nothing was done.\n")
    silent = desk.innkeeper("apply")
    assert silent.status == 1
    assert "agree with --yes" in silent.err
    assert desk.innkeeper("plan", "-o", "json").json["summary"]["create"] == 2
    agreed = desk.innkeeper("apply", stdin="yes\n")
    assert (agreed.status, "2 created" in agreed.out) == (0, True)


def test_ctrl_c_at_the_question(desk: Desk) -> None:
    with desk.running("apply", stdin=subprocess.PIPE) as (process, out, err):
        assert "Apply this plan?" in _until(out, "[y/N]")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert err.read() == "Interrupted.\n"
    assert desk.innkeeper("plan", "-o", "json").json["summary"]["create"] == 2


def _until(stream: IO[str], word: str) -> str:
    said = ""
    while not said.endswith(word):
        said += stream.read(1) or pytest.fail(f"ended before it said {word}: {said}")
    return said


def test_an_insecure_cluster_is_warned_about_once_each_time(desk: Desk) -> None:
    text = (desk.directory / "cluster.yaml").read_text()
    desk.write("cluster.yaml", re.sub("{caFile: .*}", "{insecure: true}", text))
    for command in ("validate", "plan"):
        said = desk.innkeeper(command)
        assert (said.status, (said.out + said.err).count("insecure")) == (0, 1), said


def test_completion_of_the_shell(desk: Desk) -> None:
    shown = desk.innkeeper("--show-completion", "bash")
    assert shown.status == 0, shown
    assert "_INNKEEPER_COMPLETE=complete_bash" in shown.out


def test_only_the_approved_plan_is_applied(desk: Desk) -> None:
    # The digest is masked in what tests see, so it is read from the plan itself.
    command = desk.command("plan", "-o", "json")
    plan = subprocess.run(
        command, cwd=desk.directory, env=desk.environment, capture_output=True, text=True, check=True
    ).stdout
    digest = json.loads(plan)["digest"]
    desk.write("guests.yaml", GUESTS.replace("1Gi", "2Gi"))
    stale = desk.innkeeper("apply", "--yes", "--plan-digest", digest)
    assert stale.status == 1
    assert "not the plan that was approved" in stale.err
    desk.write("guests.yaml", GUESTS)
    assert desk.innkeeper("apply", "--yes", "--plan-digest", digest).status == 0


def test_prune_asks_and_keeps_what_is_protected(desk: Desk, snapshot: SnapshotAssertion) -> None:
    desk.write("guests.yaml", GUESTS.replace("  running: true\n", "  running: true\n  protected: true\n"))
    assert desk.innkeeper("apply", "--yes").status == 0
    web = GUESTS.split("---\n")[1].replace("  needs: [Container/db]\n", "")
    desk.write("guests.yaml", web)
    assert desk.innkeeper("plan", "--prune").golden == snapshot(name="protected")
    db = GUESTS.split("---\n")[0].replace("running: true", "running: true\n  protected: true")
    desk.write("guests.yaml", db)
    assert desk.innkeeper("plan").golden == snapshot(name="orphan")
    done = desk.innkeeper("apply", "--prune", stdin="y\n")
    assert (done.status, "1 deleted" in done.out) == (0, True)


def test_import_and_adopt(desk: Desk, snapshot: SnapshotAssertion) -> None:
    (desk.directory / "guests.yaml").unlink()
    assert desk.innkeeper("import").golden == snapshot(name="manifests")
    assert desk.innkeeper("import", "--output-dir", "legacy", "300").golden == snapshot(name="files")
    again = desk.innkeeper("import", "--output-dir", "legacy", "300")
    assert (again.status, again.err) == (1, "error: legacy/container-legacy.yaml exists already and is kept.\n")
    assert desk.innkeeper("plan").golden == snapshot(name="adopt")
    assert desk.innkeeper("apply", "--yes").status == 0
    assert desk.innkeeper("plan", "--detailed-exitcode").status == 0
    (found,) = desk.innkeeper("import", "-o", "json", "300").json["manifests"]
    assert (found["kind"], found["spec"]["vmid"]) == ("Container", 300)
    nowhere = desk.innkeeper("import", "--output-dir", "cluster.yaml/x", "300")
    assert (nowhere.status, nowhere.err) == (1, "error: cluster.yaml/x cannot be made: Not a directory.\n")
    missing = desk.innkeeper("import", "999")
    assert (missing.status, "no guest 999" in missing.err) == (1, True)


def test_import_of_our_own_guests_is_what_we_set(desk: Desk, snapshot: SnapshotAssertion) -> None:
    assert desk.innkeeper("apply", "--yes", "--source", "home").status == 0
    (desk.directory / "guests.yaml").unlink()
    assert desk.innkeeper("import", "101", "102").out == snapshot
    assert desk.innkeeper("import", "101", "102", "--output-dir", ".").status == 0
    assert desk.innkeeper("plan", "--source", "home", "--detailed-exitcode").out.startswith("No changes: 2 of 2")


def test_a_foreign_guest_is_left_alone(desk: Desk, snapshot: SnapshotAssertion) -> None:
    desk.write("guests.yaml", GUESTS.replace("vmid: 102", "vmid: 300"))
    assert desk.innkeeper("plan", "--only", "web").golden == snapshot


def test_validate_finds_what_the_cluster_does_not_have(desk: Desk, snapshot: SnapshotAssertion) -> None:
    wrong = GUESTS.replace("node: pve1", "node: pve3").replace("{size: 4Gi}", "{size: 4Gi, storage: fst}")
    wrong = wrong.replace("ip: dhcp", "ip: dhcp, bridge: vmbr1").replace("tags:", "template: debian-11\n  tags:")
    desk.write("guests.yaml", wrong)
    assert desk.innkeeper("validate").golden == snapshot(name="online")
    assert desk.innkeeper("validate", "--offline").golden == snapshot(name="offline")


def test_validate_without_a_way_to_the_cluster(desk: Desk, snapshot: SnapshotAssertion) -> None:
    desk.cluster(endpoints="https://127.0.0.1:9")
    assert desk.innkeeper("validate").golden == snapshot


def test_mistakes_stop_everything(desk: Desk, snapshot: SnapshotAssertion) -> None:
    desk.write("guests.yaml", GUESTS.replace("memory: 1Gi", "memroy: 1Gi").replace("vmid: 102", "vmid: 101"))
    for command in ("validate", "plan", "apply", "status"):
        said = desk.innkeeper(command)
        assert said.status == 1
        assert "guests.yaml:8:3: error UnknownField: spec.memroy" in said.out + said.err
    assert desk.innkeeper("validate", "-o", "json").golden == snapshot
    for command in ("plan", "apply", "status"):
        found = desk.innkeeper(command, "-o", "json").json["diagnostics"]
        assert [(item["code"], item["line"], item["column"]) for item in found] == [("UnknownField", 8, 3)]


def test_an_unreachable_cluster(desk: Desk, snapshot: SnapshotAssertion) -> None:
    desk.cluster(endpoints="https://127.0.0.1:9")
    assert desk.innkeeper("plan").golden == snapshot(name="plan")
    assert desk.innkeeper("status").golden == snapshot(name="status")


def test_a_secret_that_is_not_there(desk: Desk) -> None:
    said = desk.innkeeper("plan", secret=" ")
    assert said.status == 1
    assert "the environment variable LAB_SECRET is empty" in said.err


def test_doctor(desk: Desk, snapshot: SnapshotAssertion) -> None:
    healthy = desk.innkeeper("doctor")
    assert (healthy.status, "has every privilege" in healthy.out) == (0, True)
    desk.cluster(token="ops@pve!ci")
    limited = desk.innkeeper("doctor", secret=LIMITED)
    assert limited.status == 1
    assert [line.strip() for line in limited.out.splitlines() if "pveum" in line] == snapshot(name="pveum")
    found = desk.innkeeper("doctor", "-o", "json", secret=LIMITED).json["clusters"][0]
    assert {item["status"] for item in found["findings"] if item["topic"] == "privileges"} == {"error"}


def test_schema_is_json(desk: Desk) -> None:
    assert desk.innkeeper("schema").json["properties"]["kind"]["enum"][0] == "Application"


def test_usage(desk: Desk, snapshot: SnapshotAssertion) -> None:
    assert desk.innkeeper().golden == snapshot(name="nothing")
    assert desk.innkeeper("apply", "--help").golden == snapshot(name="apply")
    for words in (
        ("plna",),
        ("plan", "--purne"),
        ("plan", "nowhere.yaml"),
        ("import", "web"),
        ("apply", "--parallel", "0"),
    ):
        said = desk.innkeeper(*words)
        assert said.status == 1, words
        assert said.err, words


def test_a_reader_that_goes_away(desk: Desk) -> None:
    with desk.running("schema") as (_, out, err):
        out.close()
        assert err.read() == ""


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_between_calls(desk: Desk, times: int) -> None:
    """Guests in a row, each needing the one before, so that there is always a next call to stop before."""
    rows = [{"rootDisk": {"size": "1Gi"}, "needs": [f"Container/c{index - 1}"] if index else []} for index in range(60)]
    desk.write("guests.yaml", to_yaml(manifest("Container", f"c{index}", row) for index, row in enumerate(rows)))
    with desk.running("apply", "--yes") as (process, out, err):
        assert any("c1: create" in line for line in out)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        rest, errors = out.read(), err.read()
        status = process.wait(30)
    assert "Traceback" not in errors
    assert status in (1, 130)
    assert "Stopping once the calls that run are done" in rest
    if times == 1:
        assert rest.splitlines()[-1].startswith("Stopped: ")
    left = desk.innkeeper("apply", "--yes")
    assert left.status == 0, left
    assert desk.innkeeper("plan", "-o", "json").json["summary"]["noop"] == 60


def test_status_is_said_again_when_something_changes(desk: Desk) -> None:
    assert desk.innkeeper("apply", "--yes").status == 0
    with desk.running("status", "--watch", "--interval", "0.2", "-o", "json") as (process, out, err):
        first = json.loads(out.readline())
        assert {item["sync"] for item in first["guests"]} == {"Synced"}
        desk.write("guests.yaml", GUESTS.replace("[web]", "[web, public]"))
        assert desk.innkeeper("apply", "--yes").status == 0
        second = json.loads(out.readline())
        assert [item["sync"] for item in second["guests"]] == ["Synced", "OutOfSync"]
        process.send_signal(signal.SIGINT)
        errors = err.read()
        assert process.wait(30) == 130
    assert errors == "Interrupted.\n"
