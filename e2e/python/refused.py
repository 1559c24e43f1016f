"""Connects the published client with a token that is no good, and says what became of it.

usage: refused.py URL        (the token is in the environment: WSE_TOKEN)

Prints one JSON document: the error messages that the client showed to its application, the state that it
ends in, and how often it tried to reconnect.
"""

import asyncio
import json
import os
import sys

from wse_client import AsyncWSEClient, ConnectionState


async def main(url: str) -> None:
    client = AsyncWSEClient(url, token=os.environ["WSE_TOKEN"])
    errors: list[dict] = []
    client.on("error")(lambda event: errors.append(event.payload))
    # It waits ten seconds for a server_ready that never comes; nobody has to wait for that.
    connecting = asyncio.create_task(client.connect())
    for _ in range(1200):
        if client.state == ConnectionState.ERROR:
            break
        await asyncio.sleep(0.05)
    # Longer than the first delay of a reconnect, if there were one.
    await asyncio.sleep(2)
    print(
        json.dumps(
            {
                "errors": errors,
                "state": client.state.value,
                "reconnects": client.get_stats()["reconnect_count"],
            }
        ),
        flush=True,
    )
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await client.disconnect()


asyncio.run(main(sys.argv[1]))
