"""cymongoose: the C library mongoose under Python, one thread for all."""

import json
import socket

from cymongoose import MG_EV_CLOSE, MG_EV_HTTP_MSG, MG_EV_WS_MSG, MG_EV_WS_OPEN, Manager

READY = json.dumps({"c": "WSE", "t": "server_ready", "p": {}, "v": 1})
clients = {}


def handle(connection, event, data):
    if event == MG_EV_HTTP_MSG and data.method == "POST":
        for publication in json.loads(data.body_text)["publications"]:
            text = json.dumps(publication["message"], separators=(",", ":"))
            for client in clients.values():
                client.ws_send(text)
        connection.reply(200, "{}")
    elif event == MG_EV_HTTP_MSG:
        connection.ws_upgrade(data)
    elif event == MG_EV_WS_OPEN:
        clients[connection.id] = connection
        connection.ws_send(READY)
    elif event == MG_EV_WS_MSG:
        message = json.loads(data.text)
        if message["t"] == "ping":
            told = message["p"]["timestamp"]
            connection.ws_send(json.dumps({"c": "WSE", "t": "PONG", "p": {"client_timestamp": told}, "v": 1}))
    elif event == MG_EV_CLOSE:
        clients.pop(connection.id, None)


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
manager = Manager(handle)
manager.listen(f"http://127.0.0.1:{port}")
print(f"127.0.0.1:{port} 127.0.0.1:{port}", flush=True)
while True:
    manager.poll(100)
