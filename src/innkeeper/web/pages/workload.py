"""A new workload in three steps, and the same form for a guest that exists: choose, fill in, review; then commit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi import Form as Field
from starlette.responses import Response

from innkeeper.control.forms import Form, FormOptions, Preview
from innkeeper.manifests.writing import to_yaml
from innkeeper.model.objects import Ref
from innkeeper.web.deps import Operator, Services
from innkeeper.web.pages.actions import to_job
from innkeeper.web.pages.guests import known
from innkeeper.web.parts import Parts
from innkeeper.web.render import page
from innkeeper.web.views import formfields
from innkeeper.web.views.planview import view_of
from innkeeper.web.views.words import guest_path

router = APIRouter()


async def _sent(request: Request) -> Mapping[str, str]:
    """The fields of a form that was sent, without files."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


Sent = Annotated[Mapping[str, str], Depends(_sent)]


@router.get("/new")
async def new(request: Request, actor: Operator, parts: Services) -> Response:
    sent = request.query_params
    options = await parts.commands.options(sent.get("source", ""))
    form = formfields.fresh(options, sent)
    if sent.get("step") != "details":
        chosen = form.profile or ("" if "profile" in sent else next((item.name for item in options.profiles), ""))
        return page(request, "new.html", options=options, form=replace(form, profile=chosen))
    return _form(request, options, form, {})


@router.post("/new/review")
async def review(request: Request, actor: Operator, parts: Services, sent: Sent) -> Response:
    form, unread = formfields.from_browser(sent)
    preview = None if unread else await parts.commands.preview(actor, form)
    problems = {**unread, **(_problems(preview) if preview else {})}
    if preview is None or any(name for name in problems):
        return _form(request, await parts.commands.options(form.source), form, problems, 422)
    return await _review(request, parts, form, preview)


async def _review(request: Request, parts: Parts, form: Form, preview: Preview) -> Response:
    plan = view_of(preview.plan) if preview.plan else None
    return page(
        request,
        "review.html",
        form=form,
        fields=tuple(formfields.to_browser(form)),
        preview=preview,
        findings=[item.diagnostic.to_json() for item in preview.problems],
        service=to_yaml([preview.service]) if preview.service else "",
        plan=plan,
        pull=(await parts.commands.options(form.source)).pull,
    )


@router.post("/new/check")
async def check(request: Request, actor: Operator, parts: Services, sent: Sent) -> Response:
    """What is wrong with a form while it is being filled in, field by field: for the page's script."""
    form, unread = formfields.from_browser(sent)
    problems = {**_problems(await parts.commands.preview(actor, form)), **unread}
    return page(request, "problems.html", problems=problems, names=sorted({*sent} - {"csrf"}))


@router.post("/new/back")
async def back(request: Request, actor: Operator, parts: Services, sent: Sent) -> Response:
    form, unread = formfields.from_browser(sent)
    return _form(request, await parts.commands.options(form.source), form, unread)


@router.post("/new/commit")
async def commit(
    request: Request, actor: Operator, parts: Services, sent: Sent, how: Annotated[str, Field(max_length=10)] = ""
) -> Response:
    form, unread = formfields.from_browser(sent)
    if unread:
        return _form(request, await parts.commands.options(form.source), form, unread, 422)
    return to_job(await parts.commands.propose(actor, form, pull=how == "pull"))


@router.get("/guests/{source}/{kind}/{name}/edit")
async def edit(request: Request, source: str, kind: str, name: str, actor: Operator, parts: Services) -> Response:
    form = await parts.commands.form_of(source, Ref(kind, name))
    return _form(request, await parts.commands.options(source), form, {})


@router.get("/guests/{source}/{kind}/{name}/delete")
async def ask(request: Request, source: str, kind: str, name: str, actor: Operator, parts: Services) -> Response:
    record = await known(parts, source, kind, name)
    return page(request, "delete.html", guest=record, here=guest_path(source, record.ref))


@router.post("/guests/{source}/{kind}/{name}/delete")
async def delete(
    source: str,
    kind: str,
    name: str,
    actor: Operator,
    parts: Services,
    name_typed: Annotated[str, Field(max_length=200)] = "",
) -> Response:
    pull = (await parts.commands.options(source)).pull
    return to_job(await parts.commands.delete(actor, source, Ref(kind, name), name_typed=name_typed, pull=pull))


def _problems(preview: Preview) -> dict[str, str]:
    """A sentence by field; what concerns the whole form is under the empty name."""
    found: dict[str, list[str]] = {}
    for item in preview.problems:
        if item.diagnostic.severity == "error":
            said = " ".join(filter(None, (item.diagnostic.summary, item.diagnostic.detail)))
            found.setdefault(item.field, []).append(said)
    return {name: " ".join(said) for name, said in found.items()}


def _form(
    request: Request, options: FormOptions, form: Form, problems: Mapping[str, str], status: int = 200
) -> Response:
    profile = formfields.profile_of(options, form.profile)
    choices = {"kind": form.kind, "profile": form.profile, "source": form.source, "cluster": form.cluster}
    return page(
        request,
        "form.html",
        status=status,
        form=form,
        options=options,
        cluster=formfields.cluster_of(options, form.cluster),
        profile=profile,
        limits=formfields.limits(profile),
        problems={name: text for name, text in problems.items() if name},
        general=[text for name, text in problems.items() if not name],
        choices=urlencode(choices),
    )
