"""Errors as every one of them is answered: ``{"error": {"what", "where", "hint"}}``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from reclora_cli.errors import RecloraError
from reclora_cli.serving.limits import Busy, Failed

_OPTION = re.compile(r"--(?=\w)")
_TYPE = re.compile(r"(constrained-)?(str|int)|list\[.*\]")


class Problem(BaseModel):
    """What is wrong, where in the request, and what mends it."""

    what: str
    where: str | None
    hint: str | None


class ProblemBody(BaseModel):
    """The body of every answer that is no success."""

    error: Problem


BAD: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemBody, "description": "The body could not be read."},
    413: {"model": ProblemBody, "description": "The body is too long."},
    422: {
        "model": ProblemBody,
        "description": "The body does not fit, or names a user, an item or a value that is not.",
    },
    500: {"model": ProblemBody, "description": "An error of the server's own."},
}
BUSY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": ProblemBody,
        "description": "The queue is full, it took too long, or the server is stopping.",
        "headers": {
            "Retry-After": {
                "description": "Seconds, by the pace of the last forward passes.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        },
    }
}


def answered(
    status: int,
    what: str,
    where: str | None = None,
    hint: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """An error's answer."""
    problem = {"what": _plain(what), "where": _plain(where), "hint": _plain(hint)}
    return JSONResponse({"error": problem}, status, headers=headers)


def install(app: FastAPI) -> None:
    """Let ``app`` answer all errors so."""
    app.add_exception_handler(RecloraError, _reclora)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def busy(error: Busy) -> JSONResponse:
    """503, and when to ask again."""
    headers = {"Retry-After": str(error.retry_after_s)}
    return answered(503, error.what, error.where, error.hint, headers)


async def _reclora(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RecloraError)
    if isinstance(error, Busy):
        return busy(error)
    if isinstance(error, Failed):
        return answered(500, error.what, error.where, error.hint)
    # What is worded for the command line names options; a request has keys.
    where, hint = (text and _OPTION.sub("", text) for text in (error.where, error.hint))
    return answered(422, error.what, where, hint)


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    first, more = found[0], len(found) - 1
    if first["type"] == "json_invalid":
        return answered(400, f"no JSON: {first['ctx']['error']}", "body", "See /docs.")
    where, hint = _place(first["loc"]), "See /docs."
    if where == "body" and "json" not in request.headers.get("content-type", ""):
        hint = "Send it with the header Content-Type: application/json."
    elif more:
        hint = f"{more} more of this kind; the schema is at /openapi.json."
    return answered(422, str(first["msg"]), where, hint)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    hint = "See /docs." if error.status_code in {404, 405} else None
    return answered(error.status_code, str(error.detail), request.url.path, hint, headers)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    return answered(500, f"unexpected: {type(error).__name__}", request.url.path, None)


def _place(loc: Sequence[Any]) -> str:
    """``("body", "user", "pairs", 3, "item", "int")`` as ``pairs[3].item``.

    The second says whom the body is about, and the last may be one of the types that would do.
    """
    text = ""
    for part in loc[2:]:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not _TYPE.fullmatch(part):
            text += f".{part}"
    return text.removeprefix(".") or "body"


def _plain(text: str | None) -> str | None:
    """Without halves of characters, which JSON may hold and UTF-8 may not."""
    return text and text.encode("utf-8", "replace").decode()
