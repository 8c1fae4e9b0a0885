"""The head that does not come with Visavis, beside those that do: `/avatars/NAME/`."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from visavis.video.stills import STILLS


class HeadRoutes:
    """Its file and its stills, named as the others' are."""

    def __init__(self, name: str, head: Path) -> None:
        self._name, self._head = name, head

    def router(self) -> APIRouter:
        """The routes; they go before the folder of the others."""
        routes = APIRouter(include_in_schema=False)
        folder = f"/avatars/{self._name}"
        routes.add_api_route(f"{folder}/{self._name}.glb", self.head, methods=["GET", "HEAD"])
        routes.add_api_route(f"{folder}/{{kind}}.webp", self.still, methods=["GET", "HEAD"])
        return routes

    async def head(self) -> Response:
        """The `.glb`."""
        return FileResponse(self._head, media_type="model/gltf-binary")

    async def still(self, request: Request, kind: str) -> Response:
        """What is shown until the head is there, drawn when somebody first asks."""
        if kind not in STILLS:
            raise HTTPException(404)
        return Response(await request.app.state.pictures.still(kind), media_type="image/webp")
