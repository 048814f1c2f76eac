"""Who may see and do what at the console: everybody else is refused, and it is in the audit."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from console_side import Console, sent, served
from console_visitors import PASSWORD, Person, audit, person, users

from bars_gateway.console.access import NEEDS, Rules
from bars_gateway.console.users import User, UserFile, hashed
from bars_gateway.console.visitor import UserRole

SECRET = "what only the server in front knows"
PROXY = Rules(
    proxy="127.0.0.1",
    secret=SECRET,
    names=("bars.trust.example",),
    groups={
        UserRole.VIEWER: ("watch",),
        UserRole.OPERATOR: ("ops", "night"),
        UserRole.REVEAL: ("ig",),
    },
)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Console]:
    """Serve a console with three users: viewer, operator and reveal."""
    async with served(tmp_path, users=users(tmp_path)) as found:
        yield found


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Console]:
    """Serve a console behind a server that logs people in."""
    async with served(tmp_path, rules=PROXY) as found:
        yield found


def by_proxy(name: str, *groups: str, secret: str = SECRET) -> dict[str, str]:
    named = {"X_Remote_User": name, "X_Remote_Groups": ", ".join(groups)}
    return named | {"X_Gateway_Secret": secret}


async def refusals(console: Console) -> list[dict[str, Any]]:
    found = await audit(console, "console.refused")
    return [{name: each[name] for name in each if name != "message"} for each in found]


async def test_nobody_looks_who_has_not_logged_in(guarded: Console) -> None:
    """They are led to the log-in, and from there to what they wanted."""
    async with person(guarded) as somebody:
        page = await somebody.get("/messages?state=held")
        form = await somebody.get(page.headers["Location"])
        came = await somebody.log_in("viewer", next=form.field("next"))
        after = await somebody.get(came.headers["Location"])

    assert 303 == page.status
    assert "/messages?state=held" == came.headers["Location"]
    assert 200 == after.status
    assert [] == await refusals(guarded)


async def test_figures_and_health_need_no_log_in(guarded: Console) -> None:
    """Monitoring has no session, and the log-in has a style."""
    paths = [path for path, need in NEEDS.items() if need is None]
    async with person(guarded) as somebody:
        answers = {path: (await somebody.get(path)).status for path in paths}

    assert {200} == set(answers.values()) - {503}


async def test_every_other_page_does(guarded: Console) -> None:
    """Whatever is added takes a viewer, unless the table says otherwise."""
    routes = [each for each in guarded.site.routes() if each.method == "GET"]
    shut = {each.path for each in routes if NEEDS.get(each.path, UserRole.VIEWER) is not None}
    async with person(guarded) as somebody:
        answers = {
            path: (await somebody.get(re.sub(r"{[^}]*}}?", "1", path))).status for path in shut
        }

    assert dict.fromkeys(shut, 303) == answers


async def test_logging_in_and_out_is_in_the_audit(guarded: Console) -> None:
    """Who, and what they may do; what was typed is nowhere."""
    async with person(guarded, "operator") as somebody:
        out = await somebody.post("/log-out", {"csrf": await somebody.csrf()})
        after = await somebody.get("/")
    (came,) = await audit(guarded, "console.logged_in")
    (left,) = await audit(guarded, "console.logged_out")

    assert (303, 303) == (out.status, after.status)
    assert ("operator (console)", "operator") == (came["who"], came["roles"])
    assert "operator (console)" == left["who"]


async def test_the_cookie_is_for_the_browser_and_this_site_alone(guarded: Console) -> None:
    """No script reads it and no other site's page sends it; over TLS, nothing else carries it."""
    async with person(guarded) as somebody:
        plain = (await somebody.log_in("viewer")).headers["Set-Cookie"]
        page = await somebody.get("/log-in")
        form = {"csrf": page.field("csrf"), "user": "viewer", "password": PASSWORD}
        tls = await somebody.post("/log-in", form, X_Forwarded_Proto="https")

    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(plain.split("; "))
    assert "Secure" in tls.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("name", ["viewer", "nobody", PASSWORD])
async def test_a_wrong_password_is_refused(guarded: Console, name: str) -> None:
    """The page does not say whether there is such a user; no name that is nobody's is kept."""
    async with person(guarded) as somebody:
        page = await somebody.log_in(name, "not the right one")
        after = await somebody.get("/")
    (told,) = await refusals(guarded)

    assert 403 == page.status
    assert "Name and password do not belong together." in page.words
    assert 303 == after.status
    assert "wrong_password" == told["reason"]
    assert ("viewer (console)" if name == "viewer" else None) == told.get("who")
    assert "not the right one" not in json.dumps(told)
    assert PASSWORD not in json.dumps(told)


async def test_whoever_tries_too_often_waits_a_minute(guarded: Console) -> None:
    """Then the right password is right again: nobody is locked out, and who is in stays in."""
    async with person(guarded, "viewer") as inside, person(guarded) as outside:
        for _ in range(9):
            await outside.log_in("viewer", "not the right one")
        refused = await outside.log_in("viewer")
        still = await inside.get("/")
        other = await outside.log_in("operator")
        guarded.at += timedelta(minutes=1)
        let_in = await outside.log_in("viewer")

    assert (429, "60") == (refused.status, refused.headers["Retry-After"])
    assert (200, 303, 303) == (still.status, other.status, let_in.status)
    assert {"wrong_password", "too_often"} == {e["reason"] for e in await refusals(guarded)}


async def test_many_refusals_of_a_kind_are_one_line_with_their_number(guarded: Console) -> None:
    """The trail cannot be flooded: the first at once, the others as a count."""
    async with person(guarded) as somebody:
        for _ in range(8):
            await somebody.log_in("viewer", "not the right one")
        guarded.at += timedelta(minutes=1)
        await somebody.get("/healthz")
    first, others = await refusals(guarded)

    assert "count" not in first
    assert 7 == others["count"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://evil.example"}, id="another-origin"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, id="another-port"),
        pytest.param({"Origin": "null"}, id="no-origin"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="cross-site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, id="same-site"),
    ],
)
async def test_what_another_site_sends_is_refused(
    guarded: Console, headers: dict[str, str]
) -> None:
    """Even with the cookie and the token: nothing is done."""
    async with person(guarded, "operator") as somebody:
        page = await somebody.post("/log-out", {"csrf": await somebody.csrf()}, **headers)
        after = await somebody.get("/")
    (told,) = await refusals(guarded)

    assert (403, 200) == (page.status, after.status)
    assert ("cross_site", "/log-out", "operator (console)") == (
        told["reason"],
        told["route"],
        told["who"],
    )


@pytest.mark.parametrize("token", ["", "guessed", None])
async def test_a_form_without_the_sessions_token_is_refused(
    guarded: Console, token: str | None
) -> None:
    """None, a wrong one, or another session's: nothing is done."""
    async with person(guarded, "operator") as somebody, person(guarded, "viewer") as other:
        given = await other.csrf() if token is None else token
        page = await somebody.post("/log-out", {"csrf": given})
        after = await somebody.get("/")

    assert (403, 200) == (page.status, after.status)
    assert ["no_token"] == [each["reason"] for each in await refusals(guarded)]


async def test_a_log_in_from_another_page_is_refused(guarded: Console) -> None:
    """Nobody is logged in under somebody else's name without seeing it."""
    async with person(guarded) as somebody:
        form = {"csrf": "guessed", "user": "viewer", "password": PASSWORD}
        guessed = await somebody.post("/log-in", form)
        page = await somebody.get("/log-in")
        form["csrf"] = page.field("csrf")
        elsewhere = await somebody.post("/log-in", form, Origin="https://evil.example")
        after = await somebody.get("/")

    assert (403, 403, 303) == (guessed.status, elsewhere.status, after.status)
    assert ["no_token", "cross_site"] == [each["reason"] for each in await refusals(guarded)]


@pytest.mark.parametrize("host", ["evil.example", "bars.trust.example", "127.0.0.1.evil.example"])
async def test_another_hosts_name_is_refused(guarded: Console, host: str) -> None:
    """A page of theirs would otherwise read ours, under their own name."""
    async with person(guarded, "viewer") as somebody:
        page = await somebody.get("/", Host=host)
        figures = await somebody.get("/metrics", Host=host)

    assert (421, 421) == (page.status, figures.status)
    assert {"other_name"} == {each["reason"] for each in await refusals(guarded)}


async def test_a_configured_name_is_ours(proxied: Console) -> None:
    """The server in front is asked under it."""
    async with person(proxied) as somebody:
        host = "bars.trust.example"
        page = await somebody.get("/", Host=host, **by_proxy("jo", "ops"))
        form = {"csrf": page.field("csrf")}
        own = {"Origin": f"https://{host}", "Host": host}
        out = await somebody.post("/log-out", form, **own, **by_proxy("jo", "ops"))

    assert (200, 303) == (page.status, out.status)


@pytest.mark.parametrize(
    ("path", "roles"), [(path, need) for path, need in NEEDS.items() if need is not None]
)
async def test_a_role_that_is_missing_is_told(guarded: Console, path: str, roles: UserRole) -> None:
    """Each route of the table that takes more than looking: nothing is done."""
    async with person(guarded, "viewer") as somebody:
        routes = [each for each in guarded.site.routes() if _plain(each.path) == path]
        form = {"csrf": await somebody.csrf()}
        answers = [
            (await somebody.post(_some(path), form) if each.method == "POST" else None)
            or await somebody.get(_some(path))
            for each in routes
            if roles is not UserRole.VIEWER
        ]
    told = await refusals(guarded)

    assert routes
    assert {403} >= {each.status for each in answers}
    assert {"missing_role"} >= {each["reason"] for each in told}
    assert bool(answers) == bool(told)


def _plain(path: str) -> str:
    return re.sub(r":[^{}]*({[^}]*})?}", "}", path)


def _some(path: str) -> str:
    return re.sub(r"{[^}]*}", "1", path)


@pytest.mark.parametrize(
    ("minutes", "times", "is_in"), [(29, 3, True), (30, 1, False), (29, 25, False)]
)
async def test_a_session_ends(guarded: Console, minutes: int, times: int, *, is_in: bool) -> None:
    """After half an hour without a request, and after twelve in any case."""
    async with person(guarded, "viewer") as somebody:
        for _ in range(times):
            guarded.at += timedelta(minutes=minutes)
            page = await somebody.get("/")

    assert is_in == (page.status == 200)
    assert ([] if is_in else ["stale_session"]) == [e["reason"] for e in await refusals(guarded)]


async def test_a_form_of_a_session_that_has_ended_does_nothing(guarded: Console) -> None:
    """It says so, and where to log in."""
    async with person(guarded, "operator") as somebody:
        form = {"csrf": await somebody.csrf()}
        guarded.at += timedelta(hours=1)
        page = await somebody.post("/log-out", form)

    assert 403 == page.status
    assert "You were logged out meanwhile." in page.words
    assert ["stale_session"] == [each["reason"] for each in await refusals(guarded)]


async def test_a_guessed_session_is_refused(guarded: Console) -> None:
    """It has never been given to anybody."""
    async with person(guarded) as somebody:
        page = await somebody.get("/messages", Cookie="bars_console=guessed")

    assert 303 == page.status
    assert [("unknown_session", "/messages")] == [
        (each["reason"], each["route"]) for each in await refusals(guarded)
    ]


@pytest.mark.parametrize(
    ("name", "path", "route"),
    [
        ("viewer", "/messages/4711", "/messages/{number}"),
        ("viewer", "/conversations/4711", "/conversations/{correlation}"),
        ("operator", "/did/4711", "/did/{name}"),
        ("operator", "/act?verb=hold&of=4711", "/act"),
        ("operator", "/attach?quarantine=4711", "/attach"),
        ("operator", "/attach?quarantine=4711&workflow=4711", "/attach"),
        ("operator", "/confirm?workflow=4711", "/confirm"),
        ("operator", "/confirm?workflow=4711&state=completed", "/confirm"),
        ("operator", "/handle?alarm=4711", "/handle"),
        ("reveal", "/messages/4711/reveal", "/messages/{number}/reveal"),
    ],
)
async def test_a_guessed_id_is_told(guarded: Console, name: str, path: str, route: str) -> None:
    """Without the id, which a stranger chose."""
    async with person(guarded, name) as somebody:
        page = await somebody.get(path)
    told = await refusals(guarded)

    assert 404 == page.status
    assert [("unknown_id", route)] == [(each["reason"], each["route"]) for each in told]
    assert "4711" not in json.dumps(told)


@pytest.mark.parametrize("change", ["removed", "password", "unusable"])
async def test_whoever_is_shut_out_is_out_at_once(
    guarded: Console, tmp_path: Path, change: str
) -> None:
    """With their next request, and without a restart."""
    async with person(guarded, "viewer") as somebody:
        file = UserFile(tmp_path / "users.json")
        if change == "removed":
            file.change(lambda found: found.pop("viewer"))
        elif change == "password":
            new = User(name="viewer", roles=frozenset({UserRole.VIEWER}), password=hashed("x" * 12))
            file.change(lambda found: found.update(viewer=new))
        else:
            file.path.chmod(0o644)
        page = await somebody.get("/")
        form = await somebody.get("/log-in")

    assert 303 == page.status
    assert ["stale_session"] == [each["reason"] for each in await refusals(guarded)]
    assert (change == "unusable") == ("Nobody can log in" in form.words)


async def test_a_session_is_not_taken_over_from_before(guarded: Console) -> None:
    """Whoever planted a cookie does not know the one that the log-in gives."""
    async with person(guarded) as somebody:
        first = (await somebody.log_in("viewer")).headers["Set-Cookie"]
        second = (await somebody.log_in("viewer")).headers["Set-Cookie"]

    assert first.split(";")[0] != second.split(";")[0]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "/log-out", "x"]
)
async def test_the_log_in_leads_nowhere_else(guarded: Console, elsewhere: str) -> None:
    """A link to it cannot send people to another site."""
    async with person(guarded) as somebody:
        came = await somebody.log_in("viewer", next=elsewhere)

    assert "/" == came.headers["Location"]


class TestByProxy:
    """A server in front of the console logs people in."""

    @pytest.mark.parametrize(
        ("groups", "status", "role"),
        [
            (("watch",), 200, "viewer"),
            (("other", "night"), 200, "operator"),
            (("ig", "ops"), 200, "operator, reveal"),
            ((), 403, None),
            (("opsx",), 403, None),
        ],
    )
    async def test_groups_give_roles(
        self, proxied: Console, groups: tuple[str, ...], status: int, role: str | None
    ) -> None:
        """As the settings say; whoever is in none may not even look."""
        async with person(proxied) as somebody:
            page = await somebody.get("/", **by_proxy("jo.bloggs", *groups))

        assert status == page.status
        assert role is None or f"jo.bloggs ({role})" in page.words

    async def test_it_is_believed_by_its_secret(self, proxied: Console) -> None:
        """Any program of this machine could name somebody."""
        async with person(proxied) as somebody:
            page = await somebody.get("/", **by_proxy("jo", "ops", secret="guessed"))
            without = await somebody.get("/")

        assert (403, 303) == (page.status, without.status)
        assert ["proxy_secret"] == [each["reason"] for each in await refusals(proxied)]

    async def test_it_is_believed_from_its_address(self, tmp_path: Path) -> None:
        """And from no other."""
        rules = Rules(proxy="127.0.0.2", secret=SECRET, groups={UserRole.OPERATOR: ("ops",)})
        async with served(tmp_path, rules=rules) as console, person(console) as somebody:
            page = await somebody.get("/", **by_proxy("jo", "ops"))

        assert 403 == page.status

    async def test_nobody_keeps_anothers_session(self, proxied: Console) -> None:
        """Whose browser it is decides the server in front, with each request."""
        async with person(proxied) as somebody:
            await somebody.get("/", **by_proxy("jo", "ops"))
            other = await somebody.get("/", **by_proxy("ann", "watch"))
            alone = await somebody.get("/")

        assert "ann (viewer)" in other.words
        assert 303 == alone.status

    async def test_without_a_proxy_its_headers_mean_nothing(self, guarded: Console) -> None:
        """Anybody can send them."""
        async with person(guarded) as somebody:
            page = await somebody.get("/", **by_proxy("operator", "ops"))

        assert 303 == page.status


async def test_without_users_everybody_looks_and_nobody_acts(console: Console) -> None:
    """The page says so; no form is taken."""
    await sent(console.store)
    async with person(console) as somebody:
        page = await somebody.get("/messages/1")
        tried = await somebody.post("/log-out", {"csrf": ""})

    assert 200 == page.status
    assert "No users are configured: this can be read and not acted on" in page.words
    assert 'method="post"' not in page.text
    assert 403 == tried.status
    assert ["no_token"] == [each["reason"] for each in await refusals(console)]


async def test_a_person_without_javascript_or_headers_is_let_in(guarded: Console) -> None:
    """A program that sends no Origin has the token to show."""
    async with person(guarded) as somebody:
        page = await somebody.get("/log-in")
        form = {"csrf": page.field("csrf"), "user": "viewer", "password": PASSWORD}
        answer = await Person._ask(somebody, "POST", "/log-in", data=form)

    assert 303 == answer.status
