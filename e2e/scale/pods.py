"""Answers for gateways at many addresses: `GET /load`, and nothing else. usage: pods.py ADDRESS-FILE PORT

The file has an address a line; `dead ADDRESS` takes connections and never answers."""

import asyncio
import json
import resource
import socket
import sys

TOTAL = {"total": 0, "perSecond": 0.0}
LOAD = {
    "version": "0.1.0", "node": "a", "uptimeSeconds": 100, "connections": 0,
    "capacity": {"connections": 10_000, "configured": None, "nofile": 20_000, "nofileHard": 20_000},
    "handshakes": TOTAL, "messagesIn": TOTAL, "messagesOut": TOTAL, "bytesIn": TOTAL, "bytesOut": TOTAL,
    "largestTopic": 0, "cpuSeconds": 1.0,
    "memory": {"residentBytes": 20_000_000, "limitBytes": None, "groupBytes": None},
    "outboundQueuedBytes": 0, "somaxconn": 4096, "drain": "serving", "degraded": False,
    "cpuCores": 0.01, "reactors": 1, "sysctls": {},
}  # fmt: skip
BODY = json.dumps(LOAD).encode()
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
ELSE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK if head.startswith(b"GET /load ") else ELSE)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


def listen(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)
    return listener


async def main(file: str, port: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    dead = []
    for line in open(file):
        *what, address = line.split()
        listener = listen(address, port)
        if what:
            dead.append(listener)
        else:
            await asyncio.start_server(gateway, sock=listener)
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
