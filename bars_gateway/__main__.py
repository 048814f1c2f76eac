"""`python -m bars_gateway` is `bars-gateway`."""

from bars_gateway.cli import main

main()
