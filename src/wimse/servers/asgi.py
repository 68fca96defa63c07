"""ASGI middleware: the application sees only requests whose sender is known, and its answers go out signed.

    app = WimseMiddleware(app, authenticator=Authenticator(...), source=source)

    async def app(scope, receive, send):
        caller = scope["wimse"]          # an AuthenticatedWorkload
        caller.identity, caller.covered  # who it is, and the values that were signed

Put it outermost: what stands before it is not protected. The rules:

- every request is refused that is not authenticated, whatever its method and path; `exempt` names exact paths;
- bearer tokens are accepted only with `bearer`, only without anything of a proof, and only of callers that it names:
  these are in ``scope["wimse.bearer"]``, so that an application which has not heard of them fails rather than errs;
- the application is not called before everything is verified, and gets the bytes that were verified;
- what fails unexpectedly is closed, not open;
- WebSockets are refused: their frames would not be signed (http-signature §1);
- content is held in memory, both ways, up to limits.

What a refused caller is told: see `wimse.servers.problem`. Our own side is told the whole reason, by the logger
``wimse.servers.asgi``, with `reason`, `reason_class`, `status` and `detail` as fields of the record. Neither tokens nor
signatures nor anything else of the request is logged.
"""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, NamedTuple

from wimse.authentication import AuthenticatedWorkload, Authenticator, BearerCaller, BearerEntrance
from wimse.credentials import WorkloadSource
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable, WimseError
from wimse.httpsig import DEFAULT_LIMITS, Limits, Request, Response
from wimse.servers.inbound import (
    BEARER_EXTENSION,
    EXTENSION,
    Receive,
    Scope,
    Send,
    check_head,
    read_content,
    request_of,
    safe_scope,
    without_proof_token,
    without_unseen_extensions,
)
from wimse.servers.lifespan import run_lifespan
from wimse.servers.outbound import CLOSED, Answer, receive_of, send_problem, unsigned
from wimse.servers.problem import Problem

__all__ = ["WimseMiddleware"]

_LOG: Final = logging.getLogger("wimse.servers.asgi")
_MIB: Final = 1_048_576

App = Callable[[Any, Any, Any], Awaitable[None]]


class _Admitted(NamedTuple):
    request: Request
    content: bytes
    caller: AuthenticatedWorkload | BearerCaller


class WimseMiddleware:
    """Wraps an ASGI application."""

    def __init__(
        self,
        app: App,
        *,
        authenticator: Authenticator,
        source: WorkloadSource | None,
        scheme: str = "https",
        path_prefix: str = "",
        max_body_bytes: int = _MIB,
        max_response_bytes: int = _MIB,
        sign_all: bool = True,
        exempt: Collection[str] = (),
        bearer: BearerEntrance | None = None,
        wish_for_signatures: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Wrap `app`.

        Args:
            app: an ASGI application, or the next middleware.
            authenticator: says who calls.
            source: of our own credential, to sign answers with. One that is opened with ``async with``, such as
                `WorkloadAPISource`, is opened and closed with the server (ASGI lifespan). With None a request for a
                signed answer gets 501 before the application is called.
            scheme: by which callers reach us; never taken from a message.
            path_prefix: what a proxy before us takes off the path, if it does. Default nothing.
            max_body_bytes: of a request's content. Default 1 MiB.
            max_response_bytes: of an answer that is signed. Default 1 MiB. A larger one is replaced by a 501 if the
                caller asked for a signature, and else goes out unsigned.
            sign_all: whether to sign also where the caller did not ask. Then answers are held back until they are
                complete; False lets those stream. Default True.
            exempt: paths that anybody may call, exactly as they are sent, without a query. The application gets no
                identity there.
            bearer: who may still come with a bearer token alone, and what verifies it. Such a request is neither
                signed nor new, and its answer is not signed. Default None: nobody.
            wish_for_signatures: whether refusals carry Accept-Signature with all that a request has to cover
                (http-signature §3.4: MAY). It tells strangers what is configured, so it is off by default.
            limits: how many fields a head may have, and how large.

        Raises:
            ConfigurationError: for limits below 1; for an exempt or a prefix that is no path; without an authenticator;
                for a `bearer` that is none; for a wish for signatures where none is accepted.
        """
        if not isinstance(authenticator, Authenticator):
            raise ConfigurationError("the middleware needs an Authenticator")
        if not isinstance(bearer, BearerEntrance | None):
            raise ConfigurationError("bearer is a BearerEntrance, which says who may come with a bearer token")
        if wish_for_signatures and not authenticator.accepts_signatures:
            raise ConfigurationError("wish_for_signatures needs a revision of http-signature")
        if min(max_body_bytes, max_response_bytes) < 1:
            raise ConfigurationError("max_body_bytes and max_response_bytes must be at least 1")
        # A single string is a collection too: of its characters, "/" among them.
        if isinstance(exempt, str) or not all(path.startswith("/") and path.isascii() for path in exempt):
            raise ConfigurationError("exempt is a collection of paths, each with its slash, as they are sent")
        if path_prefix and (not path_prefix.startswith("/") or path_prefix.endswith("/")):
            raise ConfigurationError("path_prefix begins with a slash and does not end with one")
        self._app = app
        self._authenticator = authenticator
        self._source = source
        self._scheme = scheme
        self._path_prefix = path_prefix
        self._max_body_bytes = max_body_bytes
        self._max_response_bytes = max_response_bytes
        self._sign_all = sign_all
        self._exempt = frozenset(path.encode("ascii") for path in exempt)
        self._bearer = bearer
        self._wish_for_signatures = wish_for_signatures
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            ConfigurationError: for a kind of connection that is not known here.
        """
        kind = scope["type"]
        if kind == "http":
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await run_lifespan(self._app, self._source, scope, receive, send)
        elif kind == "websocket":
            _LOG.info("refused: websocket", extra={"reason": "websocket"})
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            raise ConfigurationError("this kind of ASGI scope is not known, and so not served")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Now, and not after the content: some servers add trailers to these fields, which were not in the head.
        inner = safe_scope(scope)
        if scope.get("raw_path") in self._exempt:
            await self._app(inner, receive, send)
            return
        try:
            admitted = await self._admit(scope, receive)
        except WimseError as error:
            _log_refusal(error)
            await send_problem(send, self._problem_of(error), head_only=scope["method"] == "HEAD")
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours must not become a way in
            _log_fault(error)
            await send_problem(send, CLOSED, head_only=scope["method"] == "HEAD")
            return
        if admitted is not None:
            await self._run(admitted, inner, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> _Admitted | None:
        """Everything that comes before the application; None when the caller has gone away."""
        request = request_of(scope, scheme=self._scheme, path_prefix=self._path_prefix, limits=self._limits)
        bearer = None if self._bearer is None else await self._by_bearer_token(request, self._bearer)
        if bearer is None:
            self._authenticator.check_head(request)
        declared = check_head(request, max_body_bytes=self._max_body_bytes)
        content = await read_content(receive, declared=declared, max_body_bytes=self._max_body_bytes)
        if content is None:
            return None
        if bearer is not None:
            return _Admitted(request, content, bearer)
        caller = await self._authenticator.authenticate_async(request, content, now=int(time.time()))
        if self._authenticator.response_must_be_signed(caller):
            self._check_can_sign()
        return _Admitted(request, content, caller)

    async def _by_bearer_token(self, request: Request, entrance: BearerEntrance) -> BearerCaller | None:
        """The caller, if it came with a bearer token alone and may; None where the WIT decides."""
        try:
            caller = await entrance.authenticate(request)
        except Refused as refused:
            if refused.reason is Reason.WIT_MISSING:
                self._authenticator.check_head(request)  # which says the same, with its own challenge
            raise
        if caller is not None:
            extra = {"reason": "bearer", "identity": str(caller.identity)}
            _LOG.info("admitted by a bearer token: %s", caller.identity, extra=extra)
        return caller

    def _problem_of(self, error: WimseError) -> Problem:
        problem = Problem.of(error)
        # Not where the caller did all that could be asked for, and has to try again.
        if self._wish_for_signatures and error.http_status < 500:
            wish = self._authenticator.wishing(Response(status=problem.status)).fields
            problem.fields.extend((name.lower().encode("ascii"), value.encode("ascii")) for name, value in wish)
        return problem

    def _check_can_sign(self) -> None:
        """Refuse before the application does what its caller would then not learn of (http-signature §3.4)."""
        if self._source is None:
            raise Unavailable(Reason.RESPONSE_NOT_SIGNABLE, "this server has no credential to sign answers with")
        try:
            self._source.snapshot().credential.check_usable(int(time.time()))
        except WimseError as error:
            raise Unavailable(Reason.RESPONSE_NOT_SIGNABLE, str(error)) from error

    async def _run(self, admitted: _Admitted, inner: Scope, receive: Receive, send: Send) -> None:
        caller = admitted.caller
        if isinstance(caller, BearerCaller):
            inner[BEARER_EXTENSION] = caller
            await self._app(inner, receive_of(receive, admitted.content), unsigned(send))
            return
        required = self._authenticator.response_must_be_signed(caller)
        inner[EXTENSION] = caller
        without_proof_token(inner, caller)
        signing = required or (self._sign_all and self._authenticator.signs_responses(caller))
        if self._source is None or not signing:
            await self._app(inner, receive_of(receive, admitted.content), unsigned(send))
            return
        without_unseen_extensions(inner)
        answer = Answer(
            send,
            sign=self._signer(admitted.request, caller, self._source),
            required=required,
            head_only=admitted.request.method == "HEAD",
            max_bytes=self._max_response_bytes,
        )
        try:
            await self._app(inner, receive_of(receive, admitted.content, answer), answer.send)
        except Exception:
            if not answer.refused:  # else it is the application's surprise at having been stopped
                raise
        if not answer.complete:
            raise ConfigurationError("the application ended without completing its answer")

    def _signer(
        self, request: Request, caller: AuthenticatedWorkload, source: WorkloadSource
    ) -> Callable[[Response, bytes], Response]:
        def sign(response: Response, content: bytes) -> Response:
            return self._authenticator.sign_response(
                response,
                content,
                source.snapshot().credential,
                request=request,
                caller=caller,
                now=int(time.time()),
                nonce=secrets.token_urlsafe(16),
            )

        return sign


def _log_refusal(error: WimseError) -> None:
    extra = {
        "reason": error.reason.code,
        "reason_class": error.reason_class.value,
        "status": error.http_status,
        "detail": error.detail,
    }
    _LOG.log(logging.WARNING if error.http_status >= 500 else logging.INFO, "refused: %s", error, extra=extra)


def _log_fault(error: Exception) -> None:
    # The places, and not the message: what a foreign exception says may quote the request.
    where = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("closed: %s while authenticating\n%s", type(error).__name__, where, extra={"reason": "fault"})
