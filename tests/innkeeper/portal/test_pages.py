"""Every page, as people see it: light and dark, on a desk and on a phone, for eyes, ears and keys."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, ViewportSize, expect

from innkeeper.model.objects import Ref
from tests.innkeeper.portal.conftest import DESKTOP, PHONE, Open, tab_to
from tests.innkeeper.portal.scene import HOSTILE, PASSWORD, Portal, guests

PAGES = {
    "overview": "/",
    "guests": "/guests",
    "guest": "/guests/homelab/Container/docs",
    "guest-missing": "/guests/homelab/Container/mail",
    "edit": "/guests/homelab/Container/docs/edit",
    "delete": "/guests/homelab/Container/docs/delete",
    "new": "/new",
    "form": "/new?step=details&kind=Container&profile=static-website",
    "machine": "/new?step=details&kind=VirtualMachine",
    "jobs": "/jobs",
    "job": "/jobs/5",
    "job-failed": "/jobs/4",
    "plan": "/jobs/3/plan",
    "sources": "/sources",
    "source": "/sources/homelab",
    "clusters": "/clusters",
    "cluster": "/clusters/attic",
    "profiles": "/profiles",
    "audit": "/audit",
    "settings": "/settings",
}


def grave(page: Page) -> list[str]:
    """What axe calls serious or critical, each with the element."""
    found: Any = Axe().run(page).response["violations"]
    return [
        f"{item['id']}: {node['html'][:200]} {node['any'][0]['message'] if node['any'] else ''}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]


def wider(page: Page) -> int:
    """Pixels by which a page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize(
    ("scheme", "viewport", "judged"),
    [("light", DESKTOP, True), ("dark", DESKTOP, False), ("light", PHONE, False), ("dark", PHONE, True)],
    ids=["light-desk", "dark-desk", "light-phone", "dark-phone"],
)
def test_every_page_is_for_everybody(opened: Open, scheme: str, viewport: ViewportSize, judged: bool) -> None:
    page = opened(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    troubles: dict[str, object] = {}
    for name, address in PAGES.items():
        answer = page.goto(address)
        assert answer is not None and answer.status == 200, name
        assert page.locator("h1").count() == 1, name
        if judged and (found := grave(page)):
            troubles[name] = found
        if (pixels := wider(page)) > 0:
            troubles[f"{name} is too wide"] = pixels
    assert troubles == {}


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_the_doors_are_for_everybody(opened: Open, viewport: ViewportSize) -> None:
    page = opened(user="", viewport=viewport)
    for address in ("/sign-in", "/setup?secret=none"):
        page.goto(address)
        assert grave(page) == []
        assert wider(page) <= 0


def test_errors_say_what_to_do(opened: Open) -> None:
    page = opened(user="vic")
    page.on("console", lambda _: None)
    answer = page.request.get("/jobs/999", headers={"accept": "text/html"})
    assert answer.status == 404
    assert "there is no job 999" in answer.text()
    answer = page.request.get("/new", headers={"accept": "text/html"})
    assert answer.status == 403
    assert "this needs an operator" in answer.text()
    page.set_content(answer.text())
    assert "Back to the overview" in page.content()


def test_a_viewer_is_offered_nothing_that_changes(opened: Open) -> None:
    page = opened(user="vic")
    for name, address in PAGES.items():
        if name in ("new", "form", "machine", "edit", "delete"):
            continue
        page.goto(address)
        actions = {form.get_attribute("action") for form in page.locator("form[method=post]").all()}
        assert actions <= {"/theme", "/sign-out", "/settings/tokens"}, name
    page.goto("/guests")
    assert page.get_by_role("link", name="New workload").count() == 0


def test_html_in_names_and_logs_is_text(opened: Open) -> None:
    page = opened()
    for address in ("/guests", "/guests/homelab/Container/odd", "/jobs/5"):
        page.goto(address)
        assert page.get_by_text(HOSTILE).count() >= 1, address
        assert page.locator("img").count() == 0


def test_the_list_is_searched_while_typing_and_the_address_can_be_shared(opened: Open) -> None:
    page = opened()
    page.goto("/guests")
    page.keyboard.press("/")
    page.keyboard.type("photo")
    expect(page.locator("#guests tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/guests\?text=photo"))
    assert page.evaluate("document.activeElement.id") == "text"
    page.reload()
    expect(page.locator("#guests tbody tr")).to_have_count(1)
    page.goto("/guests?health=Degraded")
    expect(page.locator("#guests tbody th")).to_have_text(["wiki"])
    page.goto("/guests?sort=vmid&down=1")
    assert page.locator("#guests tbody th").first.inner_text().strip() == "app-33"
    assert page.locator("th[aria-sort=descending]").inner_text() == "Id ↓" or page.locator("th[aria-sort]").count() == 1


def test_what_narrows_the_list_is_said_and_stays_while_it_is_searched(opened: Open) -> None:
    page = opened()
    page.goto("/")
    page.get_by_role("link", name="wait for a restart").click()
    names = page.locator("#guests tbody th .guest")
    expect(names).to_have_text(["docs", "photos"])
    expect(page.locator("main")).to_contain_text("Waits for a restart")
    page.locator("#text").fill("photo")
    expect(names).to_have_text(["photos"])
    page.goto("/guests?node=pve1&sort=health")
    page.get_by_label("Sync").select_option("OutOfSync")
    expect(page).to_have_url(re.compile("sync=OutOfSync.*node=pve1"))
    page.get_by_role("link", name="Show others, too").click()
    expect(page).to_have_url(re.compile(r"/guests\?sync=OutOfSync&sort=health$"))
    expect(names.first).to_have_text("mail")  # missing: what is worst comes first


def test_a_page_looks_again_when_something_changes_and_keeps_the_focus(opened: Open, portal: Portal) -> None:
    page = opened()
    page.goto("/jobs/5")
    link = page.locator("#job .crumbs a")
    link.focus()
    portal.wait(portal.store.log(5, "info", "a new line", guest="Container/mail", phase="create"))
    portal.wait(portal.store.update_job(5, ("running",), summary="almost done"))
    portal.parts.bus.tell("log", {"id": 5})
    portal.parts.bus.tell("job", {"id": 5, "state": "running", "source": "lab"})
    expect(page.locator("#lines")).to_contain_text("a new line")
    expect(page.locator("#job")).to_contain_text("almost done")
    assert page.evaluate("document.activeElement.textContent") == "Jobs"
    assert page.locator("#lines li").filter(has_text="a new line").count() == 1


def test_nothing_is_swapped_under_a_hand_that_types(opened: Open, portal: Portal) -> None:
    page = opened()
    page.goto("/guests/homelab/Container/docs")
    page.locator("summary", has_text="Snapshot").click()
    field = page.get_by_label("Name", exact=True)
    field.fill("half-typed")
    record = portal.wait(portal.store.guest("homelab", Ref("Container", "docs")))
    others = [item for item in guests() if item.ref != record.ref]
    portal.wait(portal.store.put_guests("homelab", [replace(record, health="Degraded"), *others], whole=True))
    portal.parts.bus.tell("guest", {"source": "homelab"})
    page.wait_for_timeout(1500)  # longer than a page waits before it looks again
    assert field.input_value() == "half-typed"
    page.keyboard.press("Escape")
    page.locator("h1").click()
    expect(page.locator("h1 + p")).to_contain_text("Degraded")


def test_destroying_asks_for_the_names(opened: Open) -> None:
    page = opened()
    page.goto("/jobs/3/plan")
    button = page.get_by_role("button", name="Approve and carry out")
    expect(button).to_be_disabled()
    page.get_by_label("Type wiki to confirm").fill("wiki")
    expect(button).to_be_disabled()
    page.get_by_label("Type old-proxy to confirm").fill("old-proxy")
    expect(button).to_be_enabled()


def test_the_server_compares_the_typed_name_too(opened: Open) -> None:
    page = opened()
    page.goto("/guests/homelab/Container/docs")
    token = page.locator("form[action$='/restore'] input[name=csrf]").first.input_value()
    sent: dict[str, str | float | bool] = {"csrf": token, "name": "nightly-1", "typed": "another"}
    answer = page.request.post("/guests/homelab/Container/docs/restore", form=sent, max_redirects=0)
    assert answer.status == 422
    sent["typed"] = "docs"
    answer = page.request.post("/guests/homelab/Container/docs/restore", form=sent, max_redirects=0)
    assert answer.status == 303


def test_a_form_is_checked_where_it_was_touched(opened: Open) -> None:
    page = opened()
    page.goto(PAGES["form"])
    page.locator("#memory").fill("99999")
    page.locator("#name").focus()
    expect(page.locator("#problem-memory")).to_have_text("static-website allows 256Mi to 4Gi of memory")
    assert page.locator("#memory").get_attribute("aria-invalid") == "true"
    assert page.locator("#problem-name").inner_text() == ""
    page.locator("#memory").fill("512")
    page.locator("#name").focus()
    expect(page.locator("#problem-memory")).to_have_text("")


def test_the_colours_are_remembered(opened: Open) -> None:
    page = opened(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    dark = page.get_by_role("button", name="Dark")
    dark.click()
    expect(dark).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(ground) != light
    page.goto("/jobs")
    assert page.evaluate(ground) != light
    auto = page.get_by_role("button", name="Auto")
    auto.click()
    expect(auto).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(ground) == light


def test_by_keys_alone_from_sign_in_to_the_review(opened: Open) -> None:
    page = opened(user="")
    page.goto("/sign-in")
    page.keyboard.type("olga")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.goto("/")
    tab_to(page, "New workload")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new")
    tab_to(page, "Go on")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new?*step=details*")
    tab_to(page, field="name")
    page.keyboard.type("garden")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new/review")
    expect(page.get_by_role("heading", name="Review garden")).to_be_visible()
    expect(page.get_by_role("region", name="guests/garden.yaml")).to_contain_text("kind: Container")


def test_without_a_script_everything_can_be_read_and_done(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    page.goto("/guests")
    page.get_by_label("Search").fill("photo")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**text=photo**")
    expect(page.locator("#guests tbody tr")).to_have_count(1)
    page.goto("/new")
    page.get_by_text("Static Website").click()
    page.get_by_role("button", name="Go on").click()
    page.locator("#name").fill("garden")
    page.get_by_text("Publish through the reverse proxy").click()
    page.locator("#domain").fill("garden.example.org")
    page.get_by_role("button", name="Review").click()
    expect(page.locator("pre[aria-label='Service definition']")).to_contain_text("garden.example.org")
    page.get_by_role("button", name="Back to the form").click()
    assert page.locator("#name").input_value() == "garden"
    assert page.locator("#expose").is_checked()
    page.goto("/guests/homelab/Container/docs")
    page.get_by_role("button", name="Put it back").click()
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sync of Container/docs")


def test_a_token_is_shown_once(opened: Open) -> None:
    page = opened(user="olga")
    page.goto("/settings")
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make a token").click()
    secret = page.locator(".secret").inner_text()
    assert secret.startswith("ink_")
    assert page.get_by_label("May do as").locator("option").all_inner_texts() == ["viewer", "operator"]
    page.goto("/settings")
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.locator("tbody tr")).to_have_count(0)
