"""A website on a real container, made by the portal's form in a real browser, reached through a real Caddy."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.innkeeper.control.home import container
from tests.innkeeper.portal.house import House, opened
from tests.innkeeper.publish.services import free_port, program, until
from tests.innkeeper.publish.services import running as runs
from tests.pvesim import running

NET = f"10.{30 + os.getpid() % 90}.67"
DOMAIN = "site.example.org"
SITE, MANIFEST = "/guests/homelab/Container/site", "guests/container-site.yaml"
MINUTES = 900_000
"""Milliseconds: a package or two is installed for real."""
_PUBLISH = """\
---
apiVersion: innkeeper.dev/v1alpha1
kind: Server
metadata: {{name: innkeeper}}
spec:
  publish:
    - type: caddy
      name: front
      directory: {sites}
      caddyfile: {caddyfile}
      admin: http://127.0.0.1:{admin}
      tls: "off"
"""


def cluster(sim: running.Sim) -> str:
    way = sim.ready["ssh"]["pve"]
    return (
        "  defaults: {node: pve, storage: btr, bridge: vmbr0, template: debian-12}\n"
        f"  ssh: {{keyFile: {sim.ready['ssh_key']}, hosts: {{pve: '{way['host']}:{way['port']}'}}}}"
    )


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The port of a Caddy that imports what is published, and the server's manifest that publishes there."""
    place = tmp_path_factory.mktemp("caddy")
    port, admin, sites, file = free_port(), free_port(), place / "sites", place / "Caddyfile"
    sites.mkdir()
    options = f"admin 127.0.0.1:{admin}\n\thttp_port {port}\n\tauto_https off"
    file.write_text(f"{{\n\t{options}\n}}\nhttp://127.0.0.1 {{\n\trespond here\n}}\nimport {sites}/*.caddy\n")
    command = [program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]
    home = {**os.environ, "HOME": str(place), "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)}
    with runs(command, place / "caddy.log", port, env=home):
        yield port, _PUBLISH.format(sites=sites, caddyfile=file, admin=admin)


@pytest.fixture(scope="module")
def house(template: None, front: tuple[int, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place: Path = tmp_path_factory.mktemp("house")
    with opened(
        place,
        cluster=cluster,
        source="selfHeal: false",
        more=front[1],
        seed=running.ONE_NODE,
        options=("--backend", "lxc"),
    ) as one:
        # The last guest of a cluster is never pruned: this one, which never runs, stays.
        one.upstream.push("The inn itself", inn=container("inn", 4000, node="pve"))
        yield one


@pytest.fixture(scope="module")
def page(house: House) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs: Chromium (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_context(base_url=house.url, viewport={"width": 1280, "height": 800}).new_page()
        browser.close()


def ended(page: Page, how: str = "Succeeded") -> None:
    page.wait_for_url(re.compile(r"/jobs/\d+$"))
    state = page.locator("#job [role=status]")
    expect(state).to_have_text(re.compile("Succeeded|Failed|Cancelled|Waiting"), timeout=MINUTES)
    assert state.inner_text().strip() == how, page.locator("main").inner_text()


def through_caddy(port: int) -> int:
    """The status that the domain answers with."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/healthz", headers={"Host": DOMAIN})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=10) as answer:
            return int(answer.status) if b"ok" in answer.read() else 0
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_website_from_the_form_to_its_page_and_away_again(page: Page, house: House, front: tuple[int, str]) -> None:
    sign_in(page, house)
    create_by_the_form(page)
    healthy(page, front)
    change_in_git(page, house)
    see_drift_and_heal(page, house)
    assert through_caddy(front[0]) == 200
    roll_back_and_release(page, house)
    approve_a_replacement(page, house)
    healthy(page, front)
    delete(page, house)
    assert list(house.guests()) == [4000]
    until(lambda: through_caddy(front[0]) != 200, 60)


def sign_in(page: Page, house: House) -> None:
    page.goto(house.setup)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Make the admin").click()
    page.wait_for_url(f"{house.url}/")


def create_by_the_form(page: Page) -> None:
    answer = page.goto("/new?profile=static-website")
    assert answer is not None and answer.ok, page.locator("main").inner_text()
    page.get_by_role("button", name="Go on").click()
    page.locator("#name").fill("site")
    page.get_by_text("Static", exact=True).click()
    page.locator("#address").fill(f"{NET}.101/24")
    page.locator("#gateway").fill(f"{NET}.1")
    page.get_by_text("Publish through the reverse proxy").click()
    page.locator("#domain").fill(DOMAIN)
    page.get_by_role("button", name="Review").click()
    expect(page.locator("pre[aria-label='Service definition']")).to_contain_text(DOMAIN)
    page.get_by_role("button", name="Commit").click()
    committed(page)


def healthy(page: Page, front: tuple[int, str]) -> None:
    page.goto(SITE)
    expect(page.locator("#guest .lead").first).to_contain_text("Healthy", timeout=MINUTES)
    until(lambda: through_caddy(front[0]) == 200, 60)


def committed(page: Page) -> None:
    """The commit, and the sync that follows it, succeed."""
    ended(page)
    page.locator("section[aria-labelledby=facts] a", has_text="job").click()
    ended(page)


def number_of(house: House) -> int:
    return next(number for number, item in house.guests().items() if item["name"] == "site")


def pushed(house: House, message: str, pattern: str, text: str) -> None:
    """Change the site's manifest in the repository, as whoever cloned it would."""
    house.upstream.pull()
    before = (house.upstream.work / MANIFEST).read_text()
    after = re.sub(pattern, text, before, count=1)
    assert after != before, before
    house.upstream.push(message, **{MANIFEST.removesuffix(".yaml"): after})


def change_in_git(page: Page, house: House) -> None:
    pushed(house, "More memory", r"memory: \S+", "memory: 640Mi")
    row = page.locator("tr", has=page.locator("th", has_text=re.compile("^memory")))
    expect(row).to_contain_text("640Mi", timeout=MINUTES)  # the page looks again by itself
    assert house.config(number_of(house))["memory"] == 640
    expect(page.locator("#guest .lead").first).to_contain_text("Synced", timeout=MINUTES)


def see_drift_and_heal(page: Page, house: House) -> None:
    number = number_of(house)
    house.sim.call("PUT", f"/nodes/pve/lxc/{number}/config", {"memory": 768})
    drift = page.locator("section[aria-labelledby=drift]")
    expect(drift).to_contain_text("768Mi", timeout=15_000)
    expect(drift).to_contain_text("by whom Proxmox did not record")
    page.get_by_role("button", name="Put it back").click()
    ended(page)
    assert house.config(number)["memory"] == 640


def roll_back_and_release(page: Page, house: House) -> None:
    number = number_of(house)
    page.goto("/sources/homelab")
    row = page.locator("tr", has_text="Add Container/site")
    row.locator("summary").click()
    row.get_by_role("button", name="Plan the rollback").click()
    ended(page, "Waiting for approval")
    assert house.config(number)["memory"] == 640, "it is shown first"
    page.get_by_role("link", name="Look at the plan", exact=True).click()
    page.get_by_role("button", name="Approve and carry out").click()
    ended(page)
    assert house.config(number)["memory"] == 512
    page.goto("/sources/homelab")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Newer revisions wait")).to_have_count(0)
    until(lambda: house.config(number)["memory"] == 640, 60)


def approve_a_replacement(page: Page, house: House) -> None:
    pushed(house, "Another vmid", r"spec:\n", "spec:\n  vmid: 4100\n")
    page.goto("/")
    expect(page.locator(".attention li", has_text="Approval")).to_be_visible(timeout=MINUTES)
    page.locator(".attention li", has_text="Approval").get_by_role("link", name=re.compile("^Decide")).click()
    page.wait_for_url("**/plan")
    assert sorted(house.guests()) != [4000, 4100], "nobody has approved it yet"
    page.get_by_label("Type site to confirm").fill("site")
    page.get_by_role("button", name="Approve and carry out").click()
    ended(page)
    assert sorted(house.guests()) == [4000, 4100]


def delete(page: Page, house: House) -> None:
    page.goto(f"{SITE}/delete")
    page.get_by_label("Type site to confirm").fill("site")
    page.get_by_role("button", name="Delete site").click()
    committed(page)
