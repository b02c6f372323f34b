"""A viser server that lets in only its own page, and listens only to what that page sends.

Any web page that the reader has open can send requests to this machine, by DNS rebinding even under a name of its own.  viser
compares neither `Origin` nor `Host` with its address, and hands every message to its handlers: one asks for a public tunnel,
others raise in the middle of viser.  `serving` therefore gives the websockets server inside viser a check of each request and
a connection class that drops messages.

Behind jupyter-server-proxy or Colab's port forwarding, `Host` and `Origin` are those of a server whose address the kernel does
not know, and a WebSocket handshake that was forwarded looks like one after DNS rebinding: jupyter-server-proxy adds nothing to
it, and any page can add X-Forwarded headers to a plain request.  A page in a notebook therefore has a path that nobody can guess,
as JupyterLab's own address has a token, and whoever knows the path is let in.
"""

import asyncio
import contextlib
import dataclasses
import functools
import gzip
import io
import ipaddress
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Annotated, Any, Literal
from unittest import mock

import msgspec
import viser
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from training.cli import in_notebook

# --- which requests are let in ---------------------------------------------------------------------------------------------

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
EVERY_ADDRESS = {"", "0.0.0.0", "::"}

REFUSAL = (
    "This address is refused. Open the page at the address that was printed when it started, without anything added to it.\n"
)


def names_this_server(header: str, host: str, port: int) -> bool:
    """Whether a Host header has the port and a name of this machine: a loopback name or the address that was asked for.

    A server that listens on every address also accepts any IP address, which DNS rebinding cannot use, and the machine's name.

    Args:
        header: value of the header, such as "localhost:8008".
        host: address that the server listens on.
        port: port that the server listens on.
    """
    name = header.lower().removesuffix(f":{port}")
    if name == header.lower() and port != 80:  # browsers leave out port 80
        return False
    name = name.removeprefix("[").removesuffix("]")
    if host not in EVERY_ADDRESS:
        return name in LOOPBACK | {host.lower()}
    return name in LOOPBACK | {socket.gethostname().lower()} or is_ip_address(name)


def is_ip_address(name: str) -> bool:
    """Whether a name is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def request_check(
    inner: Callable[[ServerConnection, Request], Any] | None, host: str, key: str
) -> Callable[[ServerConnection, Request], Any]:
    """A `process_request` for websockets that answers 403 to everyone but the page itself.

    Args:
        inner: viser's own, which answers plain HTTP requests; it is asked about requests that pass.
        host: address that the server listens on.
        key: first part of the path under which a notebook shows the page; empty without a notebook.
    """

    def process_request(connection: ServerConnection, request: Request) -> Any:
        first, _, rest = request.path.removeprefix("/").partition("/")
        if has_key := bool(key) and secrets.compare_digest(first.encode(errors="replace"), key.encode()):
            request = dataclasses.replace(request, path=f"/{rest}")
        else:
            hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
            known = len(hosts) == 1 and names_this_server(hosts[0], host, connection.local_address[1])
            # programs that are no browsers send no Origin; a query could tell viser's page to obey another server
            if not known or origins not in ([], [f"http://{hosts[0]}"]) or "?" in request.path:
                return connection.respond(403, REFUSAL)
        response = inner(connection, request) if inner else None
        if isinstance(response, Response):
            follow_color_scheme(response)
            if not has_key:
                response.headers["Content-Security-Policy"] = (
                    "frame-ancestors 'none'"  # no other page may lay itself over this one
                )
        return response

    return process_request


# --- light or dark ---------------------------------------------------------------------------------------------------------

PREFERS_DARK = 'matchMedia("(prefers-color-scheme: dark)").matches'
"""JavaScript: whether the visitor's browser asks for dark pages."""


def follow_color_scheme(response: Response) -> None:
    """Makes viser's page, if the response is that, as light or dark as the visitor's browser asks for.

    viser's theme is the same for all visitors, but its page has a switch of its own, which otherwise only a saved page uses.
    """
    if response.headers.get("Content-Type", "").startswith("text/html"):
        response.body = _with_color_scheme(bytes(response.body), response.headers.get("Content-Encoding") == "gzip")
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(response.body))


@functools.lru_cache(4)  # viser keeps the page too
def _with_color_scheme(page, is_zipped):
    """The page with the script in its head."""
    page = gzip.decompress(page) if is_zipped else page
    script = f"<script>window.__VISER_EMBED_CONFIG__ = {{darkMode: {PREFERS_DARK}}}</script>"
    page = page.replace(b"</head>", script.encode() + b"</head>", 1)
    return gzip.compress(page) if is_zipped else page


# --- which messages are listened to ----------------------------------------------------------------------------------------

MAX_MESSAGE_BYTES = 2**16
"""A longer message ends its connection.  The page's own have less than a kilobyte."""

MAX_MESSAGES_PER_SECOND = 500
"""Of one connection.  Further messages wait at the sender."""

Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]  # NaN is refused too
Point = tuple[Number, Number, Number]


class CameraMessage(msgspec.Struct, tag_field="type", tag="ViewerCameraMessage", forbid_unknown_fields=True):
    """Where a viewer looks from."""

    wxyz: tuple[Number, Number, Number, Number]
    position: Point
    fov: Number
    near: Number
    far: Number
    image_height: Number
    image_width: Number
    look_at: Point
    up_direction: Point


class ClickMessage(msgspec.Struct, tag_field="type", tag="ScenePointerMessage", forbid_unknown_fields=True):
    """A click on the scene."""

    event_type: Literal["click"]
    ray_origin: Point
    ray_direction: Point
    screen_pos: tuple[tuple[Number, Number]]
    modifier: Literal["shift"] | None


class ControlMessage(msgspec.Struct, tag_field="type", tag="GuiUpdateMessage", forbid_unknown_fields=True):
    """A button, a checkbox or a choice from a menu."""

    class Updates(msgspec.Struct, forbid_unknown_fields=True):
        """What it changes to."""

        value: bool | str

    uuid: str
    updates: Updates


DECODER = msgspec.msgpack.Decoder(CameraMessage | ClickMessage | ControlMessage)


def checked_message(data: str | bytes, controls: Mapping[str, Any]) -> bytes | None:
    """A message as the page sends it, encoded anew, or None if it is any other.

    Args:
        data: what arrived.
        controls: {uuid: handle} of viser's buttons, checkboxes and menus.
    """
    try:
        message = DECODER.decode(data)  # type: ignore[arg-type]  # text raises a TypeError
    except (ValueError, TypeError, RecursionError):
        return None
    if isinstance(message, ControlMessage):
        control, value = controls.get(message.uuid), message.updates.value
        if control is None or type(value) is not type(control.value) or value not in getattr(control, "options", [value]):
            return None
    return msgspec.msgpack.encode(message)


class PageConnection(ServerConnection):
    """A connection from which only messages of the page are received, at no more than `MAX_MESSAGES_PER_SECOND`.

    Args:
        controls: returns what `checked_message` takes.
        args, kwargs: for `ServerConnection`.
    """

    def __init__(self, *args: Any, controls: Callable[[], Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.controls = controls

    async def recv(self, decode: bool | None = None) -> bytes:  # type: ignore[override]
        """The next message of the page.

        Raises:
            websockets.ConnectionClosed: the connection has ended.
        """
        while True:
            await asyncio.sleep(1 / MAX_MESSAGES_PER_SECOND)
            if message := checked_message(await super().recv(decode), self.controls()):
                return message


# --- the server ------------------------------------------------------------------------------------------------------------

_starting = threading.Lock()


@contextlib.contextmanager
def serving(host: str = "127.0.0.1", port: int = 0, key: str = "") -> Iterator[viser.ViserServer]:
    """A viser server for its own page only, which is stopped afterwards.

    Args:
        host: address to listen on; 127.0.0.1 is this machine only.
        port: port to listen on, or the next free one if it is taken; 0 for any.
        key: the page is also at /key/, whatever `Host` and `Origin` are; empty for nowhere else.

    Raises:
        RuntimeError: this version of viser starts its server in another way, so that nothing can be checked.
    """
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # logs an error for each client that leaves in a handshake
    original, started = websockets.asyncio.server.serve, threading.Event()
    controls: Mapping[str, Any] = {}

    def serve(*args: Any, process_request: Any = None, **options: Any) -> websockets.asyncio.server.serve:
        started.set()
        options["create_connection"] = partial(PageConnection, controls=lambda: controls)
        check = request_check(process_request, host, key)
        return original(*args, process_request=check, **options | {"max_size": MAX_MESSAGE_BYTES})

    # viser prints its address even with verbose=False, and has no argument for any of this
    with _silent(), _starting, mock.patch.object(websockets.asyncio.server, "serve", serve):
        server = viser.ViserServer(host=host, port=port, verbose=False)
    try:
        if not started.is_set():
            raise RuntimeError(
                f"viser {viser.__version__} does not start its server with websockets.asyncio.server.serve, so that its visitors "
                "cannot be checked: install the version that pyproject.toml pins."
            )
        controls = server.gui._gui_input_handle_from_uuid
        yield server
    finally:
        with _silent():
            server.stop()


def _silent() -> AbstractContextManager[Any]:
    """A context without viser's messages, which it prints, or in a notebook displays."""
    if not in_notebook():
        return contextlib.redirect_stdout(io.StringIO())
    from IPython.utils.capture import capture_output

    return capture_output()
