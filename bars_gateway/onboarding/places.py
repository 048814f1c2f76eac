"""Where an installation keeps what it has: the folders of the system, or one folder with all."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one installation."""

    config: Path  # the settings file
    keys: Path
    tls: Path
    state: Path
    spool: Path  # with one folder for each provider
    run: Path

    @classmethod
    def of_the_system(cls) -> "Places":
        """Return those that the systemd unit knows."""
        etc = Path("/etc/bars-gateway")
        return cls(
            config=etc / "bars-gateway.toml",
            keys=etc / "keys",
            tls=etc / "tls",
            state=Path("/var/lib/bars-gateway"),
            spool=Path("/var/spool/bars-gateway"),
            run=Path("/run/bars-gateway"),
        )

    @classmethod
    def below(cls, folder: Path) -> "Places":
        """Return those of an installation that is in one folder."""
        return cls(
            config=folder / "bars-gateway.toml",
            keys=folder / "keys",
            tls=folder / "tls",
            state=folder / "state",
            spool=folder / "spool",
            run=folder / "run",
        )
