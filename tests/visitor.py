"""A visitor to the page on which one steers, without a browser."""

import socket
import threading

import msgspec
import viser
from viser import _messages
from websockets.sync.client import connect


class Visitor:
    """What a browser is to the server, without the pictures: it says where its camera is, reads all it is sent, and clicks."""

    def __init__(self, port):
        self.socket = connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{viser.__version__}"], max_size=None)
        camera = {"wxyz": (1, 0, 0, 0), "position": (0, 0, 3), "fov": 1.0, "near": 0.1, "far": 100.0, "image_height": 300}
        camera |= {"image_width": 400, "look_at": (1, 0, 0), "up_direction": (0, 0, 1)}
        self.say(_messages.ViewerCameraMessage(**camera))
        self.received = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for message in self.socket:
                self.received += len(message)
        except Exception:  # it was closed, one way or the other
            pass

    def say(self, message):
        self.socket.send(msgspec.msgpack.encode(message.as_serializable_dict([])))

    def click(self, direction):
        self.say(_messages.ScenePointerMessage("click", (0.0, 0.0, 3.0), tuple(direction), ((0.5, 0.5),), None))

    def vanish(self):
        """As when a phone loses its network: the connection is cut without a goodbye."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)
