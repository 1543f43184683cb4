"""Debian's Chromium before a served portal."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from innkeeper.web import logs
from tests.innkeeper.portal.scene import PASSWORD, Portal, served

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 780}
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """It holds an event loop while it runs, so it ends before other modules' tests want one."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs: Chromium (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """The scene, filled anew for each module."""
    folder: Path = tmp_path_factory.mktemp("portal")
    with (folder / "log").open("w") as log:
        logs.configure(log)
        with served(folder) as one:
            yield one


@pytest.fixture
def opened(chromium: Browser, portal: Portal) -> Iterator[Open]:
    """Opens a browser of its own; what it complains of in its console fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(user: str = "ada", **options: Any) -> Page:
        context = chromium.new_context(base_url=portal.url, **({"viewport": DESKTOP} | options))
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        listen(page, complaints)
        if user:
            sign_in(page, user)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def listen(page: Page, complaints: list[str]) -> None:
    """Errors of scripts, and what the browser refused: the policy's violations among them."""
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None)


def sign_in(page: Page, user: str, password: str = PASSWORD) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/")


def tab_to(page: Page, text: str = "", field: str = "") -> None:
    """Press Tab until this link or button, or the field of this id or name, has the focus; and it shows."""
    for _ in range(80):
        page.keyboard.press("Tab")
        here = page.evaluate("(({textContent, id, name}) => [textContent.trim(), id, name])(document.activeElement)")
        if (text and here[0] == text) or (field and field in here[1:]):
            shown = "[document.activeElement, document.activeElement.closest('label')].some(item => "
            assert page.evaluate(shown + "item && getComputedStyle(item).outlineStyle != 'none')")
            return
    raise AssertionError(f"{text or field} cannot be reached by keys")
