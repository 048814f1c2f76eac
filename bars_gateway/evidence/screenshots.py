"""Pictures of the console, by a Chromium of this machine; without it, there are none."""

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGES = {"page-overview": "", "page-messages": "messages", "page-alarms": "alarms"}
_SECONDS = 20.0
_OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",  # nobody outside is called
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--window-size=1280,1600",
)


def browser() -> str | None:
    """Return the Chromium on the path, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


async def photographed(chromium: str, url: str, picture: Path, scratch: Path) -> None:
    """Make *picture* of the page at *url*; where that fails, there is none."""
    options = [
        *_OPTIONS,
        f"--user-data-dir={scratch / picture.stem}",
        # Chromium builds no sandbox of its own for root; the pages are ours, of this machine.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        f"--screenshot={picture}",
        url,
    ]
    process = await asyncio.create_subprocess_exec(
        chromium,
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
