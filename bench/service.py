"""What hands out tunnels to the connectors under test, and proves their URLs to them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

__all__ = ["Service"]


class Service:
    """POST /tunnel of protocol.md §1, for cloudflared too: `with Service() as service`.

    The names it hands out lead back to it. There it answers the readiness check of our connector,
    which would otherwise go on asking while something is measured.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """For QUICKTUNNEL_SERVICE_URL and --quick-service."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        port = self.server.server_address[1]
        result = {
            "id": "00112233-4455-6677-8899-aabbccddeeff",
            "name": "",
            "hostname": f"http://bench.localhost:{port}",
            "account_tag": "bench",
            "secret": base64.b64encode(bytes(range(32))).decode(),
        }
        self._answer(json.dumps({"success": True, "result": result, "errors": []}).encode())

    def do_GET(self) -> None:
        nonce = self.path.rpartition("/")[2]
        self._answer(hashlib.sha256(nonce.encode()).hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: standard error is the benchmark's."""
