"""Templates to pages. Everything is escaped unless it is markup of our own; a name that a page lacks is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from innkeeper.web import cookies
from innkeeper.web.parts import Parts

HERE = Path(__file__).parent
THEMES = ("light", "dark")
THEME_COOKIE = "innkeeper-theme"


def environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(request: Request, template: str, *, status: int = 200, **context: object) -> HTMLResponse:
    """A whole page, or the part of one that a script asked for.

    Every template has besides its context: `actor` (None: signed out), `csrf` (for the hidden field of that name in
    every form), `path` (of this page), `theme` (`light`, `dark`, or empty: what the browser prefers), `request`.
    """
    parts: Parts = request.app.state.parts
    caller = getattr(request.state, "caller", None)
    session = caller.session if caller else None
    theme = request.cookies.get(THEME_COOKIE, "")
    text = request.app.state.templates.get_template(template).render(
        {
            "request": request,
            "actor": caller.actor if caller else None,
            "csrf": session.csrf if session else cookies.form_token(request),
            "path": request.url.path,
            "theme": theme if theme in THEMES else "",
            **context,
        }
    )
    response = HTMLResponse(text, status_code=status)
    if session is None and not cookies.read(request, "form"):
        cookies.write(response, "form", cookies.form_token(request), parts)
    return response
