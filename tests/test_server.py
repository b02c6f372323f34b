"""Who may talk to a viser server, and with which messages: Python clients, and other pages in a real browser."""

import contextlib
import gzip
import http.client
import http.server
import json
import socket
import threading
import time
import types

import msgspec
import pytest
import viser
import viser.infra._infra as viser_infra
import websockets
from browser import CHROMIUM, Browser, wait
from hypothesis import given, settings
from hypothesis import strategies as st
from viser import _messages
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from viewing.server import MAX_MESSAGE_BYTES, PREFERS_DARK, checked_message, names_this_server, serving

KEY = "a-key-that-nobody-can-guess"
PROTOCOL = f"viser-v{viser.__version__}"


@pytest.fixture(scope="module")
def server():
    with serving(key=KEY) as server:
        yield server


@pytest.fixture
def port(server):
    return server.get_port()


# --- requests of Python clients --------------------------------------------------------------------------------------------


def http_status(port, host, origin=None, path="/", address="127.0.0.1"):
    """Status of a plain request with these headers, in which {port} stands for the port."""
    connection = http.client.HTTPConnection(address, port)
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    connection.request("GET", path, headers={name: value.format(port=port) for name, value in headers.items()})
    status = connection.getresponse().status
    connection.close()
    return status


def websocket_status(port, host, origin=None, path="/", address="127.0.0.1"):
    """The same of a WebSocket handshake: 101, or that of the refusal."""
    url, origin = f"ws://{host.format(port=port)}{path}", origin and origin.format(port=port)
    try:
        connect(url, sock=socket.create_connection((address, port)), subprotocols=[PROTOCOL], origin=origin).close()
    except InvalidStatus as refusal:
        return refusal.response.status_code
    return 101


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
def test_the_page_and_programs_are_let_in(port, host):
    for origin in (None, f"http://{host}"):
        assert (http_status(port, host, origin), websocket_status(port, host, origin)) == (200, 101)


@pytest.mark.parametrize(
    "host, origin",
    [
        ("127.0.0.1:{port}", "http://evil.example"),
        ("127.0.0.1:{port}", "http://127.0.0.1:1"),
        ("127.0.0.1:{port}", "https://127.0.0.1:{port}"),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}.evil.example"),
        ("127.0.0.1:{port}", "null"),
        ("127.0.0.1:{port}", ""),
        ("evil.example:{port}", None),  # DNS rebinding
        ("evil.example:{port}", "http://evil.example:{port}"),
        ("evil.example:{port}", "http://127.0.0.1:{port}"),
        ("127.0.0.1.evil.example:{port}", None),
        ("0.0.0.0:{port}", None),
        ("192.168.0.1:{port}", None),
        ("127.0.0.1:1", None),
    ],
)
def test_everyone_else_is_refused(port, host, origin):
    assert (http_status(port, host, origin), websocket_status(port, host, origin)) == (403, 403)


def test_forwarded_headers_let_nobody_in(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    forwarded = {"X-Forwarded-Host": f"127.0.0.1:{port}", "X-Forwarded-Context": "/proxy", "X-Forwarded-For": "127.0.0.1"}
    connection.request("GET", "/", headers={"Host": "evil.example", **forwarded})
    assert connection.getresponse().status == 403


def test_two_host_headers_or_none_are_refused(port):
    for hosts in ("", f"Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"GET / HTTP/1.1\r\n{hosts}\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 403 ")


def test_a_query_cannot_tell_the_page_to_obey_another_server(port):
    for query in ("?websocket=ws://evil.example", "?playbackPath=http://evil.example/a.viser"):
        assert http_status(port, "127.0.0.1:{port}", path=f"/{query}") == 403


def test_who_knows_the_key_is_let_in_through_any_proxy(port):
    proxy = ("hub.example", "https://hub.example")
    assert http_status(port, *proxy, path=f"/{KEY}/") == http_status(port, *proxy, path=f"/{KEY}/?token=a") == 200
    assert websocket_status(port, *proxy, path=f"/{KEY}") == websocket_status(port, *proxy, path=f"/{KEY}/") == 101
    for path in ("/", "//", f"/{KEY[:-1]}/", f"/{KEY}a/", f"/a/{KEY}/", f"/?{KEY}", f"/../{KEY}/", "/%ff/"):
        assert (http_status(port, *proxy, path=path), websocket_status(port, *proxy, path=path)) == (403, 403), path


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_the_page_is_as_dark_as_the_browser_asks_for(port, encoding):
    for _ in range(2):  # the second answer is kept from the first
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/", headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        page = response.read()  # as many bytes as Content-Length says
        page = gzip.decompress(page) if encoding == "gzip" else page
        assert response.headers["Content-Encoding"] == encoding and page.rstrip().endswith(b"</html>")
        head, _, _ = page.partition(b"</head>")
        assert head.count(PREFERS_DARK.encode()) == 1
        connection.close()


def test_without_a_key_no_path_is_special():
    with serving() as server:
        for path in ("/", "//", "/None/"):
            assert http_status(server.get_port(), "hub.example", path=path) == 403


def test_the_address_that_was_asked_for_is_let_in():
    with serving("127.0.0.2") as server:
        for host, status in (("127.0.0.2:{port}", 101), ("evil.example:{port}", 403), ("192.168.0.1:{port}", 403)):
            assert websocket_status(server.get_port(), host, f"http://{host}", address="127.0.0.2") == status


@pytest.mark.parametrize(
    "header, host, port, known",
    [
        ("192.168.0.7:8008", "192.168.0.7", 8008, True),
        ("Robot.Local:8008", "robot.local", 8008, True),
        ("localhost:8008", "192.168.0.7", 8008, True),
        ("192.168.0.7:8008", "0.0.0.0", 8008, True),  # DNS rebinding needs a name
        ("[fe80::1]:8008", "::", 8008, True),
        (f"{socket.gethostname()}:8008", "0.0.0.0", 8008, True),
        ("evil.example:8008", "0.0.0.0", 8008, False),
        ("evil.example:8008", "", 8008, False),
        ("192.168.0.7", "0.0.0.0", 8008, False),
        ("localhost", "127.0.0.1", 80, True),
        ("localhost:80", "127.0.0.1", 80, True),
        ("localhost:8008", "127.0.0.1", 80, False),
        ("localhost:18008", "127.0.0.1", 8008, False),
        ("", "", 8008, False),
        (":8008", "", 8008, False),
    ],
)
def test_names_of_this_server(header, host, port, known):
    assert names_this_server(header, host, port) == known


def test_a_viser_that_starts_its_server_in_another_way_is_not_used(monkeypatch):
    """Otherwise its visitors would not be checked."""
    serve = websockets.asyncio.server.serve
    elsewhere = types.SimpleNamespace(asyncio=types.SimpleNamespace(server=types.SimpleNamespace(serve=serve)))
    elsewhere.datastructures, elsewhere.exceptions = websockets.datastructures, websockets.exceptions
    monkeypatch.setattr(viser_infra, "websockets", elsewhere)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(RuntimeError, match="its visitors cannot be checked: install the version"), serving(port=port):
        pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "it still listens"
    assert websockets.asyncio.server.serve is serve


# --- other pages in a browser ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def another_site(html):
    """The port of a web server on this machine that answers every request with a page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        try:
            yield site.server_port
        finally:
            site.shutdown()


def attempt(browser, url):
    """What the browser's page gets that opens a WebSocket: "open" or "refused"."""
    return browser.evaluate(
        f"new Promise(done => {{ const socket = new WebSocket({json.dumps(url)}, {json.dumps(PROTOCOL)});"
        "socket.onopen = () => { socket.close(); done('open') }; socket.onerror = () => done('refused') })"
    )


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path, resolve={"evil.example": "127.0.0.1"})
    yield browser
    browser.close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_page_of_another_origin_cannot_connect_in_a_browser(port, browser):
    with another_site("<p>evil</p>") as other:
        for page in (f"http://127.0.0.1:{other}/", f"http://evil.example:{other}/"):
            browser.open(page)
            for name in ("127.0.0.1", "localhost"):
                assert attempt(browser, f"ws://{name}:{port}/") == "refused"
            assert attempt(browser, f"ws://127.0.0.1:{port}/{KEY}") == "open", "only the key is missing"
    browser.open(f"http://localhost:{port}/")
    assert attempt(browser, f"ws://localhost:{port}/") == "open"
    assert attempt(browser, f"ws://127.0.0.1:{port}/") == "refused", "another name is another origin"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_dns_rebinding_in_a_browser(port, browser):
    """A page whose name now leads to this machine shares its origin with what it asks for."""
    browser.open(f"http://evil.example:{port}/")
    assert "This address is refused" in browser.evaluate("document.body.innerText")
    assert browser.evaluate("fetch('/').then(answer => answer.status)") == 403
    assert attempt(browser, f"ws://evil.example:{port}/") == "refused"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_page_of_another_origin_cannot_frame_the_page(server, port, browser):
    """Otherwise it could make the reader click there.  A notebook frames the page at its path with the key."""
    frame = "<iframe width=600 height=400 src='http://127.0.0.1:{}{}'></iframe>"
    with another_site(frame.format(port, "/")) as evil, another_site(frame.format(port, f"/{KEY}/")) as notebook:
        browser.open(f"http://127.0.0.1:{evil}/")
        time.sleep(5)
        assert not server.get_clients()
        browser.open(f"http://127.0.0.1:{notebook}/")
        wait(server.get_clients, 60, "the page in the frame did not connect")


# --- messages --------------------------------------------------------------------------------------------------------------

CAMERA = _messages.ViewerCameraMessage(
    wxyz=(1, 0, 0, 0), position=(0, 0, 3), fov=1.0, near=0.1, far=100.0, image_height=300, image_width=400, look_at=(1, 0, 0),
    up_direction=(0, 0, 1),
)  # fmt: skip
CLICK = _messages.ScenePointerMessage("click", (0.0, 0.0, 3.0), (1.0, 0.0, -1.0), ((0.5, 0.5),), None)
CONTROLS = {
    "button": types.SimpleNamespace(value=False),
    "menu": types.SimpleNamespace(value="any point", options=("any point", "one point")),
}
encode = msgspec.msgpack.encode


def control(uuid, **updates):
    return encode({"type": "GuiUpdateMessage", "uuid": uuid, "updates": updates})


def test_messages_of_the_page_reach_viser_as_they_are():
    for message in (
        CAMERA,
        CLICK,
        _messages.ScenePointerMessage("click", (0.0, 0.0, 3.0), (1.0, 0.0, -1.0), ((0.5, 0.5),), "shift"),
        _messages.GuiUpdateMessage("button", {"value": True}),
        _messages.GuiUpdateMessage("menu", {"value": "one point"}),
    ):
        checked = checked_message(encode(message.as_serializable_dict([])), CONTROLS)
        assert _messages.Message.deserialize(checked) == message


CLICK_FIELDS = CLICK.as_serializable_dict([])
WRONG = [
    "text",
    b"",
    b"\xff" * 100,
    encode(None),
    encode([]),
    encode({}),
    encode({"type": "nothing"}),
    encode({"type": ["GuiUpdateMessage"]}),
    encode({"type": "ShareUrlRequest"}),  # would open a public tunnel
    encode({"type": "GuiFormDirtyMessage", "uuid": "x"}),  # would be sent to everyone
    encode({"type": "FileTransferStartUpload", "source_component_uuid": "x"}),
    encode({"type": "RunJavascriptMessage", "source": "alert(1)"}),
    control("button"),
    control("button", update_cb=True),
    control("button", value=True, update_cb=True),
    control("button", value="True"),
    control("button", value=1),
    control("menu", value="nobody"),
    control("menu", value=True),
    control("menu", value=["any point"]),
    control("menu", options=["nobody"]),
    control("nothing", value=True),
    control(None, value=True),
    encode(CLICK_FIELDS | {"ray_origin": None}),
    encode(CLICK_FIELDS | {"ray_origin": (0.0, 0.0)}),
    encode(CLICK_FIELDS | {"ray_origin": ("0", "0", "0")}),
    encode(CLICK_FIELDS | {"ray_origin": (0.0, 0.0, float("nan"))}),
    encode(CLICK_FIELDS | {"ray_direction": (0.0, 0.0, float("-inf"))}),
    encode(CLICK_FIELDS | {"event_type": "rect-select"}),
    encode(CLICK_FIELDS | {"screen_pos": ()}),
    encode(CLICK_FIELDS | {"owner": "x"}),
    encode({name: value for name, value in CLICK_FIELDS.items() if name != "modifier"}),
    b"\x91" * 60_000 + b"\x90",  # lists in lists
    b"\x82\xa4type\xb0GuiUpdateMessage\xa4uuid" + b"\x91" * 60_000,
    b"\x82\xa4uuid" + b"\x91" * 60_000 + b"\x90\xa4type\xb0GuiUpdateMessage",
    b"\x82\xa4type\xb0GuiUpdateMessage\xa4type\xafShareUrlRequest",  # Python's dictionaries keep the second
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_any_other_message_is_dropped(data):
    assert checked_message(data, CONTROLS) is None


@settings(max_examples=500, deadline=None)
@given(field=st.sampled_from(sorted(CAMERA.as_serializable_dict([]))), value=VALUES)
def test_a_field_of_any_value_is_dropped_or_understood_by_viser(field, value):
    checked = checked_message(encode(CAMERA.as_serializable_dict([]) | {field: value}), CONTROLS)
    assert checked is None or isinstance(_messages.Message.deserialize(checked), _messages.ViewerCameraMessage)


@settings(max_examples=500, deadline=None)
@given(data=st.binary() | VALUES.map(encode))
def test_random_bytes_and_values_are_dropped(data):
    assert checked_message(data, CONTROLS) is None


def test_a_huge_message_ends_its_connection_and_no_other(server, port):
    """One byte too many, 200 MB in one frame, and 200 MB in frames of which each is short enough."""
    url = f"ws://127.0.0.1:{port}"
    with connect(url, subprotocols=[PROTOCOL], max_size=None) as neighbour:
        for message in (
            bytes(MAX_MESSAGE_BYTES + 1),
            bytes(200_000_000),
            (bytes(MAX_MESSAGE_BYTES // 2) for _ in range(6_000)),
        ):
            with connect(url, subprotocols=[PROTOCOL], max_size=None) as client, pytest.raises(ConnectionClosed):
                client.send(message)
                while True:
                    client.recv(timeout=20)
        neighbour.send(encode(CAMERA.as_serializable_dict([])))
        wait(server.get_clients, 10, "the neighbour is not heard")
