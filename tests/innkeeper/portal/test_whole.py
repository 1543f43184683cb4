"""The whole story in a browser, on a real server: from the one-time link to a guest that is gone again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.innkeeper.control.home import container
from tests.innkeeper.portal.conftest import DESKTOP, listen, tab_to
from tests.innkeeper.portal.house import House, opened
from tests.innkeeper.portal.scene import PASSWORD

SECONDS = 30_000
SOON = 10_000
"""Milliseconds within which drift is on the page."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("house"), source="selfHeal: false\nallow: [privileged]") as one:
        # The last guest of a cluster is never pruned: this one stays.
        one.upstream.push("The inn itself", inn=container("inn", 4000))
        yield one


@pytest.fixture
def page(chromium: Browser, house: House) -> Iterator[Page]:
    context = chromium.new_context(base_url=house.url, viewport=DESKTOP)
    context.set_default_timeout(SECONDS)
    complaints: list[str] = []
    found = context.new_page()
    listen(found, complaints)
    yield found
    context.close()
    assert complaints == []


def ended(page: Page, word: str = "Succeeded") -> None:
    """The job whose page is shown ends like this, without the page being loaded again."""
    page.wait_for_url(re.compile(r"/jobs/\d+$"))
    state = page.locator("#job [role=status]")
    expect(state).to_have_text(re.compile("Succeeded|Failed|Cancelled|Waiting"), timeout=SECONDS)
    assert state.inner_text().strip() == word, page.locator("main").inner_text()


@pytest.mark.timeout(400)
def test_the_whole_story(page: Page, house: House) -> None:
    first_sign_in(page, house)
    create_by_the_form(page, house)
    change_in_git(page, house)
    edit_by_the_form(page, house)
    see_drift_and_heal(page, house)
    adopt_drift_into_git(page, house)
    approve_a_replacement(page, house)
    roll_back(page, house)
    delete_by_the_form(page, house)
    everything_is_in_the_audit_log(page)


def first_sign_in(page: Page, house: House) -> None:
    page.goto(house.setup)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the admin").click()
    page.wait_for_url(f"{house.url}/")
    expect(page.get_by_text("Nothing waits for a person.")).to_be_visible()


def create_by_the_form(page: Page, house: House) -> None:
    """By keys alone, from the overview to the commit."""
    page.goto("/")
    tab_to(page, "New workload")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new")
    tab_to(page, field="profile")
    page.keyboard.press("ArrowUp")  # from the first to the last: no profile
    tab_to(page, "Go on")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new?*")
    for field, text in (("name", "garden"), ("memory", "512"), ("disk", "4")):
        tab_to(page, field=field)
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.wait_for_url("**/new/review")
    expect(page.get_by_role("region", name="guests/container-garden.yaml")).to_contain_text("memory: 512Mi")
    tab_to(page, "Commit")
    page.keyboard.press("Enter")
    committed(page)
    assert names(house) == {"inn", "garden"}
    house.upstream.pull()
    assert "kind: Container" in (house.upstream.work / "guests/container-garden.yaml").read_text()
    page.goto("/guests/homelab/Container/garden")
    expect(page.locator("#guest .lead").first).to_contain_text("Healthy")
    expect(page.locator("#guest .lead").first).to_contain_text("Synced")


def vmid(house: House, name: str = "garden") -> int:
    return next(number for number, item in house.guests().items() if item["name"] == name)


def names(house: House) -> set[str]:
    return {str(item["name"]) for item in house.guests().values()}


def change_in_git(page: Page, house: House) -> None:
    file = house.upstream.work / "guests/container-garden.yaml"
    house.upstream.push("More memory", **{"guests/container-garden": file.read_text().replace("512Mi", "768Mi")})
    row = page.locator("tr", has=page.locator("th", has_text=re.compile("^memory")))
    expect(row).to_contain_text("768Mi", timeout=SECONDS)  # the page looks again by itself
    assert house.config(vmid(house))["memory"] == 768


def edit_by_the_form(page: Page, house: House) -> None:
    page.goto("/guests/homelab/Container/garden")
    page.get_by_role("link", name="Edit").click()
    assert page.locator("#memory").input_value() == "768"
    page.locator("#cores").fill("2")
    page.get_by_role("button", name="Review").click()
    expect(page.locator("h2", has_text="Plan:")).to_contain_text("1 to update")
    page.get_by_role("button", name="Commit").click()
    committed(page)
    assert house.config(vmid(house))["cores"] == 2
    page.goto("/guests/homelab/Container/garden")


def committed(page: Page) -> None:
    """The commit, and the sync that follows it, succeed."""
    ended(page)
    page.locator("section[aria-labelledby=facts] a", has_text="job").click()
    ended(page)


def adopt_drift_into_git(page: Page, house: House) -> None:
    number = vmid(house)
    house.sim.call("PUT", f"/nodes/{house.node(number)}/lxc/{number}/config", {"memory": 1024})
    page.get_by_role("button", name="Adopt into git").click(timeout=SOON)
    committed(page)
    house.upstream.pull()
    assert "memory: 1Gi" in (house.upstream.work / "guests/container-garden.yaml").read_text()
    assert house.config(number)["memory"] == 1024


def see_drift_and_heal(page: Page, house: House) -> None:
    number = vmid(house)
    house.sim.call("PUT", f"/nodes/{house.node(number)}/lxc/{number}/config", {"memory": 2048})
    expect(page.locator("section[aria-labelledby=drift]")).to_contain_text("768Mi → 2Gi", timeout=SOON)
    page.goto("/")
    expect(page.locator(".attention li", has_text="garden")).to_contain_text("Drifted")
    page.locator(".attention li", has_text="garden").get_by_role("button", name="Heal").click()
    ended(page)
    assert house.config(number)["memory"] == 768
    page.goto("/guests/homelab/Container/garden")
    expect(page.locator(".timeline")).to_contain_text("memory is as declared again")
    expect(page.locator("section[aria-labelledby=drift]")).to_have_count(0)


def approve_a_replacement(page: Page, house: House) -> None:
    house.upstream.push("Privileged", old=container("old", 4242, unprivileged="true"))
    page.goto("/guests")
    expect(page.locator("#guests tbody")).to_contain_text("old", timeout=SECONDS)
    house.upstream.push("Not privileged", old=container("old", 4242, unprivileged="false"))
    page.goto("/")
    expect(page.locator(".attention li", has_text="Approval")).to_be_visible(timeout=SECONDS)
    page.locator(".attention li", has_text="Approval").get_by_role("link", name=re.compile("^Decide")).click()
    page.wait_for_url("**/plan")
    expect(page.get_by_role("heading", name=re.compile("Replaces guests"))).to_be_visible()
    expect(page.locator(".step", has_text="unprivileged").locator("td code")).to_have_attribute(
        "title", house.upstream.git("rev-parse", "HEAD")
    )
    button = page.get_by_role("button", name="Approve and carry out")
    expect(button).to_be_disabled()
    page.get_by_label("Type old to confirm").fill("old")
    button.click()
    ended(page)
    assert house.config(vmid(house, "old")).get("unprivileged", 0) == 0


def roll_back(page: Page, house: House) -> None:
    page.goto("/sources/homelab")
    row = page.locator("tr", has_text="More memory")
    row.locator("summary").click()
    row.get_by_role("button", name="Plan the rollback").click()
    ended(page, "Waiting for approval")
    page.get_by_role("link", name="Look at the plan", exact=True).click()
    page.get_by_label("Type old to confirm").fill("old")
    page.get_by_role("button", name="Approve and carry out").click()
    ended(page)
    assert names(house) == {"inn", "garden"}
    page.goto("/sources/homelab")
    expect(page.get_by_text("Newer revisions wait until it is released.")).to_be_visible()
    house.upstream.push("No old one any more", old=None)
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Newer revisions wait")).to_have_count(0)


def delete_by_the_form(page: Page, house: House) -> None:
    page.goto("/guests/homelab/Container/garden")
    page.get_by_role("link", name="Delete").click()
    button = page.get_by_role("button", name="Delete garden")
    expect(button).to_be_disabled()
    page.get_by_label("Type garden to confirm").fill("garden")
    button.click()
    committed(page)
    assert names(house) == {"inn"}


def everything_is_in_the_audit_log(page: Page) -> None:
    page.goto("/audit")
    said = page.locator("main").inner_text()
    for word in ("sign-in", "approve", "rollback", "release", "garden"):
        assert word in said, word


def test_who_has_the_link_can_use_it_once(page: Page, house: House) -> None:
    page.goto("/sign-in")
    token = page.locator("input[name=csrf]").first.input_value()
    secret = house.setup.partition("secret=")[2]
    again = page.request.post(
        "/setup", form={"csrf": token, "secret": secret, "name": "eve", "password": PASSWORD}, max_redirects=0
    )
    assert again.status == 403
