"""The portal's pages. A page asks the store and the commands, makes a view of what it gets, and fills a template."""

from fastapi import APIRouter

from innkeeper.web.pages import actions, clusters, guests, jobs, overview, reading, settings, sources, workload


def routers() -> tuple[APIRouter, ...]:
    pages = (overview, workload, guests, actions, jobs, sources, clusters, reading, settings)
    return tuple(module.router for module in pages)
