"""
`bars-gateway nodes`: the gateways that share one database, and one that will never come back.

    list              who there is, since when, last seen, what each alone does
    remove NAME       takes one out that is away for good; what that leaves undone is said

A node that is away is told of until it is there again. What it alone did has passed on to others
by then: to take it out ends no more than the telling.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Annotated, NoReturn

import typer

from bars_gateway.cli.output import print_lines
from bars_gateway.config import Settings, load
from bars_gateway.engine import node_removed, nodes_of
from bars_gateway.model.nodes import Node
from bars_gateway.onboarding.reported import WhyOrAsked, reason, report_done
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.store.nodes import folder_lease

app = typer.Typer(
    name="nodes",
    help="The gateways that share one database on a server.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="As its settings call it: node.")]


@app.command(name="list")
def show(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """List them: whether each is there, since when, its clock, and what it alone does."""
    settings = load(config, os.environ)
    nodes = [] if settings.store.url is None else nodes_of(settings)
    if as_json:
        print_lines(map(_document, nodes))
        return
    for each in nodes:
        typer.echo(str(each))
    if not nodes:
        typer.echo("No other gateway works on this database: see `store.several_nodes`.")


@app.command()
def remove(name: Name, config: Config = DEFAULT_CONFIG, why: WhyOrAsked = None) -> None:
    """
    Take a node out that will never come back, so that nobody is told of it any more.

    One that lives is refused: stop it, and it is listed no more. What its machine alone has is not
    brought over by that: what is printed says where to look.
    """
    settings = load(config, os.environ)
    if settings.store.url is None:
        _refuse(name, "everything is in a file, which one gateway has to itself")
    why = reason(settings, why)
    removed = node_removed(settings, name)
    nodes = nodes_of(settings)
    if removed is None:
        there = [each for each in nodes if each.name == name]
        seen = f"it lives: it was seen {there[0].silent.total_seconds():.0f} s ago" if there else ""
        _refuse(name, seen or f"there is none of that name ({', '.join(map(_name, nodes))})")
    report_done(settings, "nodes.removed", node=name, why=why)
    for line in _left_undone(settings, *removed, nodes):
        typer.echo(line)


def _name(node: Node) -> str:
    return node.name


def _refuse(name: str, cause: str) -> NoReturn:
    raise typer.BadParameter(f"{name} cannot be taken out: {cause}", param_hint="NAME")


def _document(node: Node) -> dict[str, object]:
    return {
        "name": node.name,
        "version": node.version,
        "started_at": node.started_at,
        "seen_at": node.seen_at,
        "is_away": node.is_away,
        "clock_ahead_seconds": node.clock_ahead.total_seconds(),
        "alone_does": list(node.leases),
    }


def _left_undone(
    settings: Settings, node: Node, sending: int, others: Sequence[Node]
) -> Iterator[str]:
    """Yield, in words, what was done, and what is left for people to do."""
    yield f"{node.name}: taken out. It was last seen {node.seen_at:%d %b %H:%M} UTC."
    if sending:
        yield (
            f"{sending} of its messages were on their way: another node sends them again once its"
            " claim has run out (outbound.lease_seconds), under the same ids."
        )
    yield (
        "What lies in the folders of its machine is taken by nobody: drop what is in outbox/new"
        " with another node, have the EPR take what is in inbox/new, and then empty them."
    )
    living = [each for each in others if not each.is_away]
    for provider in settings.providers:
        lease = folder_lease(provider)
        if lease in node.leases and not any(lease in each.leases for each in living):
            yield (
                f"No living gateway writes into the folder of {provider}: let its EPR collect from"
                " a socket, or start one that has it."
            )
    yield "If it is started again all the same, it is listed again."
