"""`bars-gateway`, and `python -m bars_gateway`: begins the command line."""

import sys

_INTERRUPTED = 130  # as a shell has it


def main() -> None:
    """Run the command line; Ctrl-C ends it in silence, however early."""
    try:
        from bars_gateway.cli import main

        main.main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
