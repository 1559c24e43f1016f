"""The simplest JSON server of cymongoose, for comparison. Prints the address that it has bound."""

import socket

from cymongoose import MG_EV_HTTP_MSG, Manager


def handle(connection, event, data):
    if event == MG_EV_HTTP_MSG:
        connection.reply_json({"epoch": "5f3a9c01", "offset": 1})


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
manager = Manager(handle)
manager.listen(f"http://127.0.0.1:{port}")
print(f"127.0.0.1:{port}", flush=True)
manager.run()
