"""wse-server with the settings of its own benchmark: a client's message is parsed inside it and dropped. What a
backend publishes reaches it through Python's own HTTP server."""

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wse_server._wse_accel import RustWSEServer

NAME = "wse-bench"
SECRET = b"bench-secret-key-for-testing-only"


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for publication in json.loads(body)["publications"]:
            server.broadcast_all(json.dumps(publication["message"], separators=(",", ":")))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
server = RustWSEServer("127.0.0.1", port, 20000, jwt_secret=SECRET, jwt_issuer=NAME, jwt_audience=NAME)
server.start()
backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
print(f"127.0.0.1:{port} 127.0.0.1:{backend.server_port}", flush=True)
backend.serve_forever()
