"""Who takes part in the demo: organisations that exist nowhere else."""

from collections.abc import Sequence

from bars_gateway.demo.stage import Organisation, free_ports

_TITLES = {
    "ambulance": "Northshire Ambulance Service",
    "hospital": "Northshire General Hospital",
    "neighbour": "Southshire Ambulance Service",
}
_ODS_CODES = {"ambulance": "ZX901", "hospital": "ZX902", "neighbour": "ZX903"}
_SERVICES = {"ambulance": "2000000101", "hospital": "2000000202", "neighbour": "2000000303"}
_BY_FOLDER = "ambulance"  # who is given notices in its spool folder, not on its socket


def cast(*parts: tuple[str, str]) -> Sequence[Organisation]:
    """Return each of *parts*, an organisation's name and a node's, with ports of its own."""
    ports = iter(free_ports(2 * len(parts)))
    return [
        Organisation(
            name=name,
            title=_TITLES[name],
            ods_code=_ODS_CODES[name],
            service=_SERVICES[name],
            notices="folder" if name == _BY_FOLDER else "socket",
            node=node,
            port=next(ports),
            status_port=next(ports),
        )
        for name, node in parts
    ]
