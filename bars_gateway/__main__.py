"""`bars-gateway`, and `python -m bars_gateway`: begins the command line."""

import sys

from bars_gateway import described

_INTERRUPTED = 130  # as a shell has it


def main() -> None:
    """Run the command line; Ctrl-C ends it in silence, however early."""
    if sys.argv[1:] == ["--version"]:  # known before anything is loaded
        sys.stdout.write(f"{described()}\n")
        return
    try:
        from bars_gateway.cli import begin

        begin.main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
