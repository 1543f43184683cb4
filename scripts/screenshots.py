"""Pictures of every page of the portal, light and dark, for the documentation: `make screenshots`.

They show the scene that the portal's tests look at, so that each picture shows the same guests in the same states.
"""

import base64
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from innkeeper.web import logs

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images" / "portal"
PAGES = {
    "overview": "/",
    "guests": "/guests?sort=health",
    "guest": "/guests/homelab/Container/docs",
    "new": "/new",
    "form": "/new?step=details&kind=Container&profile=static-website",
    "review": "",
    "plan": "/jobs/3/plan",
    "jobs": "/jobs",
    "job": "/jobs/5",
    "sources": "/sources",
    "source": "/sources/homelab",
    "clusters": "/clusters",
    "cluster": "/clusters/attic",
    "profiles": "/profiles",
    "audit": "/audit",
    "settings": "/settings",
    "delete": "/guests/homelab/Container/docs/delete",
    "error": "/jobs/999",
}
_TALLEST = 940
"""Pixels of a page that are shown."""
_QUALITY = 56


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from tests.innkeeper.portal.scene import PASSWORD, served

    program = shutil.which("chromium")
    if program is None:
        sys.exit("needs: Chromium (apt install chromium)")
    logs.configure(level=logging.ERROR)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as portal, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scheme, width in (("light", 1280), ("dark", 1280), ("phone", 360)):
            context = browser.new_context(
                base_url=portal.url,
                viewport={"width": width, "height": 800},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto("/sign-in")
            if scheme != "phone":
                _take(page, f"sign-in-{scheme}")
            page.get_by_label("Name").fill("ada")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.wait_for_url("**/")
            for name, address in PAGES.items():
                if scheme == "phone" and name not in ("overview", "guest"):
                    continue
                if name == "review":
                    _fill_in(page)
                else:
                    page.goto(address)
                _take(page, f"{name}-{scheme}")
        browser.close()


def _fill_in(page: Page) -> None:
    page.goto(PAGES["form"])
    page.locator("#name").fill("garden")
    page.get_by_text("Publish through the reverse proxy").click()
    page.locator("#domain").fill("garden.example.org")
    page.get_by_role("button", name="Review").click()
    page.wait_for_url("**/new/review")


def _take(page: Page, name: str) -> None:
    """A WebP of the page's upper part; Chromium makes it, nothing else is needed."""
    height = min(_TALLEST, int(page.evaluate("document.documentElement.scrollHeight")))
    size = page.viewport_size or {"width": 1280, "height": 800}
    page.set_viewport_size({"width": size["width"], "height": height})
    session = page.context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": _QUALITY})
    session.detach()
    page.set_viewport_size(size)
    file = PICTURES / f"{name}.webp"
    file.write_bytes(base64.b64decode(shot["data"]))
    print(f"{file.relative_to(ROOT)} {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
