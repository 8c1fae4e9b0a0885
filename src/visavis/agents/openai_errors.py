"""What OpenAI's refusals and failures mean to a person, without the key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed, InvalidStatus

from visavis.agents.upstream import Refused
from visavis.errors import VisavisError

_KEYS = frozenset(("invalid_api_key", "account_deactivated", "invalid_organization"))
_QUOTAS = frozenset(("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"))
_MODELS = frozenset(("model_not_found", "invalid_model"))
_KEY = re.compile(r"\b(sk|ek|eyJ)[-\w*.]{6,}")
"""What looks like a key or a part of one; OpenAI repeats a wrong key with stars in its middle."""
_LONGEST = 300
"""Characters of a provider's message that are passed on."""


class Errors:
    """Failures of one server, as sentences."""

    def __init__(self, url: str, model: str, key: str) -> None:
        self._url, self._model, self._key = url, model, key

    def of_event(self, error: Mapping[str, Any]) -> VisavisError:
        """The failure in an `error` event or a failed response; `Refused` when only a person can mend it."""
        code = str(error.get("code") or error.get("type") or "")
        return self._of_code(code) or VisavisError(
            "UPSTREAM_ERROR", f"OpenAI reports a problem: {self._plain(error.get('message') or code)}"
        )

    def of_status(self, failure: InvalidStatus) -> VisavisError:
        """The failure of a handshake that was answered with an HTTP status."""
        status = failure.response.status_code
        error = _error_in(failure.response.body or b"")
        if known := self._of_code(str(error.get("code") or "")):
            return known
        if status in (401, 403):
            return self._of_code("invalid_api_key") or self.lost()
        if status == 404:
            return self._of_code("model_not_found") or self.lost()
        if status == 429:
            return self._of_code("rate_limit_exceeded") or self.lost()
        said = self._plain(error.get("message") or failure.response.reason_phrase)
        return VisavisError(
            "UPSTREAM_UNREACHABLE",
            f"OpenAI at {self._url} answered {status}: {said}. Please try again later.",
        )

    def of_close(self, closed: ConnectionClosed) -> VisavisError:
        """The failure of a connection that was closed; its reason may end in a code, after a dot."""
        if closed.rcvd is None:
            return self.lost()
        reason = closed.rcvd.reason
        if known := self._of_code(reason.rpartition(".")[2]):
            return known
        if closed.rcvd.code >= 3000 and reason:  # below they are about the connection itself (RFC 6455)
            return self.of_event({"message": reason})
        return self.lost()

    def unreachable(self, failure: Exception) -> VisavisError:
        """No connection could be made."""
        return VisavisError(
            "UPSTREAM_UNREACHABLE",
            f"OpenAI at {self._url} cannot be reached ({type(failure).__name__}). "
            "Check the network and OPENAI_BASE_URL.",
        )

    def lost(self) -> VisavisError:
        """The connection is gone, or nothing comes any more."""
        return VisavisError("UPSTREAM_LOST", "The connection to OpenAI was lost. Please say that again.")

    def _of_code(self, code: str) -> VisavisError | None:
        if code in _KEYS:
            return Refused("KEY_REFUSED", "OpenAI refused the key. Check OPENAI_API_KEY.")
        if code in _QUOTAS:
            return Refused("QUOTA", "OpenAI has no quota left for this key. Check the plan and its billing.")
        if code in _MODELS:
            return Refused(
                "MODEL_UNKNOWN", f"OpenAI does not offer the model {self._model!r}. Check OPENAI_MODEL."
            )
        if code == "rate_limit_exceeded":
            return VisavisError("RATE_LIMITED", "OpenAI asks for patience. Please try again in a moment.")
        if code == "session_expired":
            return self.lost()
        return None

    def _plain(self, message: object) -> str:
        text = " ".join(str(message).split())
        if self._key:
            text = text.replace(self._key, "(key)")
        return _KEY.sub("(key)", text)[:_LONGEST].rstrip(".") + "."


def _error_in(body: bytes | bytearray) -> Mapping[str, Any]:
    try:
        error = orjson.loads(body)["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {"message": error}
