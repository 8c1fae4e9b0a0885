"""What calls below `/api` are told when something is wrong: `{code, message}`, and `fields` when they can be
named."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from visavis.errors import VisavisError
from visavis.server.talks import NoSuchTalk

STATUS = {
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "AUTH_OFF": 404,
    "NO_SUCH_SESSION": 404,
    "SESSION_ENDED": 410,
    "NO_SUCH_FILE": 404,
    "NO_SUCH_PEER": 404,
    "BUSY": 409,
    "TOO_LARGE": 413,
    "TOO_LONG": 413,
    "NOT_MEDIA": 415,
    "NOT_SDP": 415,
    "NO_SOUND": 415,
    "BAD_SOUND": 415,
    "TOO_MANY_SESSIONS": 429,
    "SERVER_FULL": 503,
    "SERVER_STOPPING": 503,
    "SERVER_GONE": 503,
    "MISSING_EXTRA": 501,
    "MUSE_UNREACHABLE": 502,
    "MUSE_FAILED": 502,
    "ICE_FAILED": 502,
    "AGENT_TIMEOUT": 504,
}
"""HTTP status of an error's code; 422 for the others."""
STATUSES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
"""Codes of what the framework refuses."""
RETRY_AFTER = 30
"""Seconds after which a full server, or a caller with many sessions, may have room, or a server is back."""


class ApiError(Exception):
    """An error in the form of this dialect."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def refuse(request: Request, error: Exception) -> Response:
    """What went wrong, in the form of this dialect."""
    match error:
        case ApiError() | VisavisError():
            code, message = error.code, str(error)
        case NoSuchTalk(ended=True):
            code, message = "SESSION_ENDED", "The session has ended; create another one."
        case NoSuchTalk():
            code, message = "NO_SUCH_SESSION", "There is no such session."
        case HTTPException(status_code=400):
            code, message = "BAD_REQUEST", "The body cannot be read: it must be JSON in UTF-8."
        case HTTPException():
            known = STATUSES.get(error.status_code, "REFUSED")
            told = {"code": known, "message": f"{error.detail}."}
            return JSONResponse(told, error.status_code, headers=error.headers)
        case RequestValidationError():
            fields = [".".join(map(str, detail["loc"])) for detail in error.errors()]
            reasons = "; ".join(
                f"{field}: {detail['msg']}" for field, detail in zip(fields, error.errors(), strict=True)
            )
            request.app.state.metrics.refused("BAD_REQUEST")
            body = {"code": "BAD_REQUEST", "message": reasons, "fields": fields}
            return JSONResponse(body, 422)
        case _:
            raise error
    request.app.state.metrics.refused(code)
    headers = {"Retry-After": str(RETRY_AFTER)} if STATUS.get(code) in (429, 503) else None
    return JSONResponse({"code": code, "message": message}, STATUS.get(code, 422), headers=headers)
