"""Templates to pages. Everything is escaped unless it is markup of our own; a name that a page lacks is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse

from innkeeper.web import cookies
from innkeeper.web.parts import Parts
from innkeeper.web.views import words

HERE = Path(__file__).parent
THEMES = ("light", "dark")
THEME_COOKIE = "innkeeper-theme"


def environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words.install(found)
    return found


def page(request: Request, template: str, *, status: int = 200, **context: object) -> HTMLResponse:
    """A whole page, or the part of one that a script asked for: the block that the header `X-Fragment` names.

    Every template has besides its context: `actor` (None: signed out), `csrf` (for the hidden field of that name in
    every form), `path` (of this page), `theme` (`light`, `dark`, or empty: what the browser prefers), `request`, `now`.
    """
    parts: Parts = request.app.state.parts
    caller = getattr(request.state, "caller", None)
    session = caller.session if caller else None
    theme = request.cookies.get(THEME_COOKIE, "")
    found: Template = request.app.state.templates.get_template(template)
    values = {
        "request": request,
        "actor": caller.actor if caller else None,
        "csrf": session.csrf if session else cookies.form_token(request),
        "path": request.url.path,
        "theme": theme if theme in THEMES else "",
        "now": parts.clock(),
        **context,
    }
    part = found.blocks.get(request.headers.get("x-fragment", ""))
    text = "".join(part(found.new_context(values))) if part else found.render(values)
    response = HTMLResponse(text, status_code=status, headers={"Vary": "X-Fragment, Cookie"})
    if session is None and not cookies.read(request, "form"):
        cookies.write(response, "form", cookies.form_token(request), parts)
    return response
