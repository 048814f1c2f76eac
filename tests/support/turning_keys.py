"""A process that stores messages by one key, says so, and encrypts all of it by another."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from store_values import NOW, arrival, payload

from bars_gateway.keyring import EncryptionRing, RingKey, Vault
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

FIRST = RingKey(key_id="first", secret=bytes(range(32)))
SECOND = RingKey(key_id="second", secret=bytes(range(1, 33)))
BOTH = Vault(EncryptionRing(keys=(FIRST, SECOND)))
MESSAGES = 40
FILLED = b"filled\n"


async def main(database: Path) -> None:
    async with open_database(database, vault=Vault(EncryptionRing(keys=(FIRST,)))) as opened:
        store = Store(opened, node="here")
        for number in range(MESSAGES):
            body = f'{{"number":{number}}}'.encode()
            await store.inbound.receive(arrival(body=body, request=payload(body)), NOW)
    os.write(sys.stderr.fileno(), FILLED)
    async with open_database(database, vault=BOTH) as opened:
        encryption = Store(opened, node="here").encryption
        await encryption.begin_encryption(NOW + timedelta(days=1))
        while await encryption.step(NOW):
            pass


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
