"""
Loads the gateway and runs it: with all that it runs on, and nothing beside it.

    libraries ─► our own parts ─► the settings, and what is wrong with them ─► `gateway.serve`

Nothing that reads or prints commands is loaded on this way: it would stay for as long as the
gateway runs.
"""

import gc
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bars_gateway import libraries


def start(config: Path, environ: Mapping[str, str]) -> None:
    """Run a gateway until it is told to stop (SIGTERM or SIGINT); raise what keeps it from that."""
    with libraries.no_garbage():
        libraries.load_structlog()
        libraries.load_aiohttp()
        libraries.spare_pydantic()
        from bars_gateway import log
        from bars_gateway.config import load
        from bars_gateway.config.problems import problems
        from bars_gateway.daemon import gateway
        from bars_gateway.errors import ConfigurationError

        gc.collect()  # of each class with slots there were two, for one
        libraries.settle()
    settings = load(config, environ)
    with log.of_service(settings.log_level) as lines:
        found = [each for each in problems(settings, datetime.now(UTC)) if each.stops_start]
        if found:
            raise ConfigurationError("\n".join(map(str, found)))
        gateway.serve(settings, partial(load, config, environ), lines)
