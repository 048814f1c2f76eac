"""What is written in the settings, beyond what makes them load."""

from urllib.parse import urlsplit

from bars_gateway.config import Provider
from bars_gateway.config.environments import environment_of_host
from bars_gateway.config.placeholders import api_key_is_told, unknown_callers
from bars_gateway.config.provider import Software
from bars_gateway.config.sources import NOT_A_SETTING, PREFIX
from bars_gateway.onboarding import desks
from bars_gateway.onboarding.doctor.checks import (
    Check,
    Seen,
    Site,
    failed,
    for_each,
    of_doubts,
    passed,
    skipped,
    warned,
)
from bars_gateway.onboarding.key_ids import KeyId

_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
_WRITABLE = 0o022


def _file_mode(site: Site) -> Seen:
    mode = site.config.stat().st_mode & 0o777
    if mode & _WRITABLE:
        return failed(f"{site.config} has mode {mode:04o}", f"chmod 0640 {site.config}")
    of_the_file = [doubt for doubt in site.doubts if not doubt.key]
    if of_the_file:
        return warned(f"{site.config} {of_the_file[0].cause}", of_the_file[0].cure)
    return passed(f"only its owner may write {site.config}")


def _variables(site: Site) -> Seen:
    names = sorted(n for n in site.environ if n.startswith(PREFIX) and n not in NOT_A_SETTING)
    if names:
        cure = "Write them into the file, or see that the service has them too."
        return warned(f"set in this shell, over the file: {', '.join(names)}", cure)
    return passed("nothing in this shell changes the file's settings")


def _services(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        odd = [s for s in provider.services if s.partition("|")[0] != _SYSTEM]
        if odd:
            cure = f"Write it as {_SYSTEM}|<service id>, exactly."
            return warned(f"{odd[0]!a} is in another naming system", cure)
        return passed(f"{len(provider.services)} in the directory of services' own system")

    return for_each(site, look)


def _api_key(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if not api_key_is_told(site.settings, provider):
            cure = "Set api_key to what you were told when the application was approved."
            return failed("nobody has told us the API key yet", cure)
        return passed("an API key is set")

    return for_each(site, look)


def _callers(site: Site) -> Seen:
    if not site.settings.inbound.enabled:
        return skipped("the gateway does not receive")
    if unknown_callers(site.settings):
        cure = "Set inbound.allowed_client_names to the name in the proxy's certificate."
        return failed("nobody has told us yet what the proxy's certificate is called", cure)
    return passed(f"let in: {', '.join(site.settings.inbound.allowed_client_names)}")


def _key_ids(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if not KeyId.fits(provider.key_id):
            cure = "With the next key: <supplier or provider>-<environment>-<rotation>."
            return warned(f"{provider.key_id!a} keeps not to the convention", cure)
        return passed(provider.key_id)

    return for_each(site, look)


def _addresses(site: Site) -> Seen:
    outbound, environment = site.settings.outbound, site.settings.environment
    hosts = {urlsplit(url).hostname or "" for url in (outbound.token_url, outbound.proxy_url)}
    strange = sorted(h for h in hosts if environment_of_host(h) is not environment)
    if site.settings.bundle.hosts and strange:
        cure = "Take token_url and proxy_url out of the settings: the environment brings them."
        return warned(f"{strange[0]} is no address of {environment}", cure)
    return passed(", ".join(sorted(hosts)))


def _product(site: Site) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if site.national and provider.software.identifier_value == Software().identifier_value:
            cure = "Set software.identifier_value to the product id of the agreement."
            return warned("the product has no id of its own", cure)
        return passed(f"{provider.software.name} {provider.software.version}")

    return for_each(site, look)


CHECKS = (
    Check(
        name="settings.file",
        title="Only its owner may write the settings file",
        why="Whoever writes it decides where patients' data goes.",
        ask=desks.OURSELVES,
        look=_file_mode,
    ),
    Check(
        name="settings.variables",
        title="The settings are those of the file",
        why="A variable of this shell is not there when the service starts.",
        ask=desks.OURSELVES,
        look=_variables,
    ),
    Check(
        name="settings.services",
        title="Services are named in the right system",
        why="For a system that it does not know, the proxy answers 500, which looks passing.",
        ask=desks.BARS,
        look=_services,
    ),
    Check(
        name="settings.own",
        title="Name and services are your own",
        why="With those of the example file, you speak for an organisation that is not yours.",
        ask=desks.OURSELVES,
        look=of_doubts("no provider is that of the example file", "providers.*.name", "*.services"),
    ),
    Check(
        name="settings.api_key",
        title="The API key is known",
        why="Without it there is no access token, and nothing is sent.",
        ask=desks.BARS,
        look=_api_key,
    ),
    Check(
        name="settings.callers",
        title="It is known who may call",
        why="The NHS chain alone would let in every other organisation, and a wrong name nobody.",
        ask=desks.BARS,
        look=_callers,
    ),
    Check(
        name="settings.key_id",
        title="Key ids keep to the convention",
        why="The desk that registers a key goes by it, and so does the guard of environments.",
        ask=desks.OURSELVES,
        look=_key_ids,
    ),
    Check(
        name="settings.addresses",
        title="The addresses are those of the environment",
        why="A request that goes to production with a test key comes back as a riddle.",
        ask=desks.OURSELVES,
        look=_addresses,
    ),
    Check(
        name="settings.product",
        title="The product names itself",
        why="Receivers and the BaRS team find a fault by the product's id.",
        ask=desks.BARS,
        look=_product,
    ),
)
