"""Receives numbered messages with the published client, and says what it saw.

usage: receive.py URL TOPIC EXPECTED        (the token is in the environment: WSE_TOKEN)

Prints one JSON document a line: {"probe": true} when a message of type `probe` arrives for the first time,
so that the caller knows that the subscription is in force; then, after EXPECTED messages of type `numbered`
or when none has come for a minute, what was received: the payload's `topic` and `number` of each, in order.
"""

import asyncio
import json
import os
import sys

from wse_client import AsyncWSEClient


async def main(url: str, topic: str, expected: int) -> None:
    numbers: dict[str, list[int]] = {}
    probed = False
    # Room for everything: the client drops its oldest event when the queue is full.
    client = AsyncWSEClient(url, token=os.environ["WSE_TOKEN"], queue_size=2 * expected)
    async with client:
        await client.subscribe([topic])
        received = 0
        while received < expected:
            try:
                event = await client.recv(timeout=60)
            except asyncio.TimeoutError:
                break
            if event.type == "probe" and not probed:
                probed = True
                print(json.dumps({"probe": True}), flush=True)
            elif event.type == "numbered":
                received += 1
                numbers.setdefault(event.payload["topic"], []).append(event.payload["number"])
        # A duplicate of the last message would be right behind it.
        await asyncio.sleep(1)
        while client.queue_size:
            event = await client.recv(timeout=1)
            if event.type == "numbered":
                numbers.setdefault(event.payload["topic"], []).append(event.payload["number"])
        stats = client.get_stats()
    print(json.dumps({"numbers": numbers, "reconnects": stats["reconnect_count"]}), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
