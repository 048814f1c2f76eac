"""A Receiver of another make: it answers reads as a test says, and passes on the rest."""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from world import JSON, World

IDS = ("X-Request-Id", "X-Correlation-Id")


@dataclass(frozen=True, slots=True)
class Said:
    """What is answered to one read; with the ids of the request, unless it is told otherwise."""

    document: object
    status: int = 200
    echoes: bool = True
    ids: Mapping[str, str] = field(default_factory=dict)  # in place of those of the request
    beside: Mapping[str, str] = field(default_factory=dict)  # what other headers say


@dataclass(slots=True)
class Script:
    """What was read, as it came, and what to answer."""

    says: Callable[[str, str | None], Said]  # the resource and its id
    heard: list[str] = field(default_factory=list)

    def answer(self, request: web.BaseRequest) -> web.Response:
        self.heard.append(request.path_qs)
        kind, _, identifier = request.path.removeprefix("/").partition("/")
        said = self.says(kind, identifier or None)
        raw = isinstance(said.document, bytes)
        body = said.document if raw else json.dumps(said.document).encode()
        headers = {name: request.headers[name] for name in IDS} if said.echoes else {}
        headers |= {**said.ids, **said.beside}
        return web.Response(status=said.status, body=body, content_type=JSON, headers=headers)


@asynccontextmanager
async def answering_reads(
    world: World, says: Callable[[str, str | None], Said]
) -> AsyncIterator[Script]:
    """Stand where the hospital's gateway stood for the proxy, and pass messages on to it."""
    script = Script(says)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own = world.hospital.registered
    context.load_cert_chain(own.folder / "server.pem", own.folder / "server.key")
    async with world.as_proxy(auto_decompress=False) as session:

        async def answer(request: web.BaseRequest) -> web.Response:
            if request.method == "GET":
                return script.answer(request)
            url = world.hospital.url + request.path_qs
            body = await request.read()
            async with session.post(url, data=body, headers=request.headers) as passed:
                return web.Response(
                    status=passed.status, body=await passed.read(), headers=passed.headers
                )

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        await world.sandbox.register(own.name, list(own.services), url)
        try:
            yield script
        finally:
            await runner.cleanup()
            await world.hospital.register()
