"""The portal's pages."""

from fastapi import APIRouter


def routers() -> tuple[APIRouter, ...]:
    return ()
