"""The keys that sign, and the JWKS as the token service sees it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bars_gateway.config import Provider
from bars_gateway.errors import EgressBlocked, IdentityError, OnboardingError
from bars_gateway.onboarding import desks
from bars_gateway.onboarding.delivery import read_key
from bars_gateway.onboarding.doctor.checks import (
    Check,
    Seen,
    Site,
    failed,
    for_each,
    of_problems,
    passed,
    skipped,
    warned,
)
from bars_gateway.onboarding.doctor.fetching import cause_of, fetch
from bars_gateway.onboarding.files import read
from bars_gateway.onboarding.key_ids import KeyId
from bars_gateway.onboarding.keys import OLD, KeyFiles, jwk, read_public
from bars_gateway.outbound.egress import egress_proxy_of

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_HOUR = "The token service keeps its copy for an hour: ask again after that."


def _owner(site: Site) -> Seen:
    ours = site.settings.state_dir.stat().st_uid

    def look(_name: str, provider: Provider) -> Seen:
        file = provider.private_key_file
        found = file.stat().st_uid
        if found != ours and not file.is_relative_to(site.machine.credentials):
            cure = f"chown {ours} {file}"
            return failed(f"{file} belongs to user {found}, and the gateway is {ours}", cure)
        return passed("the keys belong to the gateway's user")

    return for_each(site, look)


def _folder(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        folder = provider.private_key_file.parent
        mode = folder.stat().st_mode & 0o777
        if mode & 0o022:
            return failed(f"{folder} has mode {mode:04o}", f"chmod 0700 {folder}")
        return passed("nobody else can put keys there")

    return for_each(site, look)


def _credentials(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if provider.private_key_file.is_relative_to(site.machine.credentials):
            cure = "Plan a restart for each new key, or use a file of mode 0600."
            return warned("the key is a credential of systemd, read at the start only", cure)
        return passed("a new key is taken without a restart")

    return for_each(site, look)


def _public(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        files = _files(provider)
        if files is None or not files.public.exists():
            return skipped("there is no public half beside the key")
        if read_key(files.private).public_key() != read_public(files.public):
            cure = f"Move {files.public} away, and register the public half of the key in use."
            return failed(f"{files.public} is the public half of another key", cure)
        return passed("the public half beside it belongs to it")

    return for_each(site, _explained(look))


def _age(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        files = _files(provider)
        if files is None or not files.public.exists():
            return skipped("nobody knows when it was made")
        made = datetime.fromtimestamp(files.public.stat().st_mtime, UTC)
        if site.now() - made > OLD:
            cure = "Make its successor: bars-gateway keys new"
            return warned(f"{provider.key_id} was made on {made:%Y-%m-%d}", cure)
        return passed(f"{provider.key_id} was made on {made:%Y-%m-%d}")

    return for_each(site, look)


def _file(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        files = _files(provider)
        if files is None or not files.jwks.exists():
            return skipped("no JWKS lies beside the key")
        return _judged(json.loads(read(files.jwks)), provider)

    return for_each(site, _explained(look))


def _address(site: Site) -> Seen:
    url = site.settings.onboarding.jwks_url
    if url is None:
        return skipped("NHS England hosts it")
    if not urlsplit(url).path:
        cure = "Host it below a path, such as /bars/jwks.json, and register that address."
        return failed("its address has a host and no path: the token service fails on it", cure)
    return passed(url)


async def _reachable(site: Site) -> Seen:
    url = site.settings.onboarding.jwks_url
    assert url is not None, "the address was looked at first"
    try:
        reply = await fetch(url, None, egress=egress_proxy_of(site.settings.outbound))
    except IdentityError as error:
        return failed(str(error), error.advice)
    except EgressBlocked as blocked:
        cure = f"{blocked.advice} Or read it from outside: the token service does not pass there."
        return warned(f"{url} cannot be read from here: {blocked}", cure)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        cure = "See that the whole Internet can read it, with a certificate that all trust."
        return failed(f"{url} cannot be read from here: {cause_of(error)}", cure)
    if reply.status != 200:  # noqa: PLR2004
        cure = "Let the address itself answer 200: the token service follows no redirect."
        return failed(f"{url} answers {reply.status}", cure)
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        found = None
    site.jwks = found if isinstance(found, dict) else {}
    return passed(f"{url} answers 200")


def _shape(site: Site) -> Seen:
    if not isinstance((site.jwks or {}).get("keys"), list):
        cure = 'Publish {"keys": [...]}, as `bars-gateway keys new` writes it, and no bare key.'
        return failed("what is published there is no set of keys", cure)
    return passed("it is a set of keys")


def _published(site: Site) -> Seen:
    return for_each(site, _explained(lambda _name, provider: _judged(site.jwks, provider)))


def _judged(document: Any, provider: Provider) -> Seen:
    """Return what is wrong with a JWKS for the key that *provider* signs with."""
    keys = [key for key in document.get("keys", []) if isinstance(key, dict)]
    if any(_PRIVATE_MEMBERS & key.keys() for key in keys):
        cure = "Take it down at once, and make a new key: this one is known to the world."
        return failed("it holds PRIVATE members of a key", cure)
    ours = [key for key in keys if key.get("kid") == provider.key_id]
    if not ours:
        cure = f"Publish the JWKS with it: bars-gateway keys list. {_HOUR}"
        return failed(f"the key id {provider.key_id} is not in it", cure)
    private = read_key(provider.private_key_file)
    assert isinstance(private, RSAPrivateKey), "`check` saw that it is"
    wanted = jwk(provider.key_id, private.public_key())
    odd = [name for name in wanted if ours[0].get(name) != wanted[name]]
    if {"n", "e"} & set(odd):
        cure = f"Publish the JWKS of the key in use. {_HOUR}"
        return failed(f"{provider.key_id} in it is another key", cure)
    if odd:
        cure = f"Write {', '.join(f'{name}={wanted[name]}' for name in odd)} into it."
        return failed(f"{provider.key_id} in it lacks {', '.join(odd)}", cure)
    return passed(f"{provider.key_id} is in it, with public members only")


def _files(provider: Provider) -> KeyFiles | None:
    file = provider.private_key_file
    if not KeyId.fits(provider.key_id) or file.stem != provider.key_id:
        return None
    return KeyFiles.of(file.parent, KeyId.parse(provider.key_id))


Looking = Callable[[str, Provider], Seen]


def _explained(look: Looking) -> Looking:
    """Return *look*, which says what it cannot read instead of raising it."""

    def explained(name: str, provider: Provider) -> Seen:
        try:
            return look(name, provider)
        except OnboardingError as error:
            return failed(str(error), error.advice)
        except (ValueError, AttributeError, TypeError):
            return failed(
                "it is no JSON object with keys", "bars-gateway keys new writes it again."
            )

    return explained


CHECKS = (
    Check(
        name="keys.file",
        title="The signing keys are private RSA keys of the right size",
        why="The token service takes RS512 with 4096 bits, and whoever reads a key can send as us.",
        ask=desks.OURSELVES,
        look=of_problems("right kind, right size, mode 0600", "providers.*.private_key_file"),
    ),
    Check(
        name="keys.owner",
        title="The keys belong to the gateway's user",
        why="A key that root made by hand cannot be read by the service.",
        ask=desks.OURSELVES,
        look=_owner,
        after=("keys.file", "folders.state"),
    ),
    Check(
        name="keys.folder",
        title="Nobody else can put keys there",
        why="Whoever can write the folder can replace a key.",
        ask=desks.OURSELVES,
        look=_folder,
        after=("keys.file",),
    ),
    Check(
        name="keys.credentials",
        title="A new key is taken without a restart",
        why="What systemd hands over at the start stays as it was until the next one.",
        ask=desks.OURSELVES,
        look=_credentials,
        after=("keys.file",),
    ),
    Check(
        name="keys.public",
        title="The public half belongs to the key",
        why="The half that is attached to the letter is the one that is registered.",
        ask=desks.OURSELVES,
        look=_public,
        after=("keys.file",),
    ),
    Check(
        name="keys.age",
        title="No key is over a year old",
        why="The longer a key is in use, the more people have had it before them.",
        ask=desks.OURSELVES,
        look=_age,
        after=("keys.file",),
    ),
    Check(
        name="jwks.file",
        title="The JWKS to publish has our key, and nothing private",
        why="It is put where the whole world reads it.",
        ask=desks.OURSELVES,
        look=_file,
        after=("keys.file",),
    ),
    Check(
        name="jwks.address",
        title="The JWKS has an address with a path",
        why="The token service cannot fetch from a host alone.",
        ask=desks.NETWORK,
        look=_address,
    ),
    Check(
        name="jwks.reachable",
        title="The JWKS can be read from outside",
        why="Without it every request for a token is refused with 403.",
        ask=desks.NETWORK,
        look=_reachable,
        online=True,
        after=("jwks.address",),
    ),
    Check(
        name="jwks.shape",
        title="The JWKS is a set of keys",
        why="A bare key makes the token service fail without a useful word.",
        ask=desks.OURSELVES,
        look=_shape,
        online=True,
        after=("jwks.reachable",),
    ),
    Check(
        name="jwks.key",
        title="The published JWKS has the key that we sign with",
        why="What is not in it is refused, and the refusal may last an hour.",
        ask=desks.BARS,
        look=_published,
        online=True,
        after=("jwks.shape", "keys.file"),
    ),
)
