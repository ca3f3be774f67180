"""The page: the files of `myha/page`, under a policy that lets them load nothing else."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from myha.api.answers import problem

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
INDEX = "index.html"
GZIP_FROM_BYTES = 500


@dataclass(frozen=True, slots=True)
class PageFile:
    body: bytes
    packed: bytes | None
    kind: str
    tag: str
    signature: tuple[int, int]


class PageFiles:
    """By their paths below the folder; read again only when one has changed."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = Path(str(resources.files("myha") / "page")) if folder is None else folder
        self._known: dict[str, PageFile] = {}

    def get(self, name: str) -> PageFile | None:
        """None where there is no such file; nothing outside of the folder is ever looked at."""
        path = self._folder / name
        parts = name.split("/")
        if path.suffix not in KINDS or any(not part or part.startswith(".") for part in parts):
            return None
        try:
            status = path.stat()
            signature = (status.st_mtime_ns, status.st_size)
            found = self._known.get(name)
            if found is None or found.signature != signature:
                found = self._known[name] = _read(path, signature)
        except (OSError, ValueError):
            return None
        return found


def _read(path: Path, signature: tuple[int, int]) -> PageFile:
    body = path.read_bytes()
    kind = KINDS[path.suffix]
    packs = len(body) >= GZIP_FROM_BYTES and not kind.startswith(("image/png", "font/"))
    packed = gzip.compress(body, mtime=0) if packs else None
    return PageFile(body, packed, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"', signature)


def page(files: PageFiles) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(request: Request) -> Response:
        return _answer(files.get(INDEX), request)

    @router.get("/{name:path}")
    async def file(name: str, request: Request) -> Response:
        return _answer(files.get(name), request)

    return router


def _answer(found: PageFile | None, request: Request) -> Response:
    if found is None:
        return problem("there is nothing here: / has the page, /api/v1/openapi.json the API", 404)
    headers = {
        "content-security-policy": POLICY,
        "cache-control": "no-cache",
        "etag": found.tag,
        "vary": "accept-encoding",
        "cross-origin-opener-policy": "same-origin",
    }
    tags = request.headers.get("if-none-match", "")
    if found.tag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]:
        return Response(None, 304, headers)
    body = found.body
    if found.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = found.packed, "gzip"
    return Response(body, 200, headers, media_type=found.kind)
