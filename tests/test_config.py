"""The settings: where they come from, what is refused, and what is said about it."""

import json
import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from messages import RECEIVER
from pydantic import BaseModel
from variants import a_referral

from bars_gateway import config
from bars_gateway.config import Address, Environment, Settings, TimingSettings, describe, load
from bars_gateway.config.environments import PRESETS
from bars_gateway.config.retention import RetentionOverrides, RetentionSettings
from bars_gateway.config.sources import RENAMED, purpose
from bars_gateway.daemon.parts import overrides_of
from bars_gateway.errors import ConfigurationError
from bars_gateway.standard.bundle import read
from bars_gateway.standard.rule import AgreedSeverity, Side
from bars_gateway.standard.timing import TIMINGS, shipped_timing

SHIPPED = Path(__file__).parent.parent / "config" / "bars-gateway.toml"
TABLES = [
    config.Settings,
    config.Provider,
    config.Software,
    config.OutboundSettings,
    config.InboundSettings,
    config.StoreSettings,
    config.Epr,
    config.Status,
    config.Onboarding,
    config.AlertSettings,
    config.TimingSettings,
    RetentionSettings,
    RetentionOverrides,
]
PROVIDER = """
[providers.example-trust]
ods_code = "RAE"
name = "Example NHS Trust"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000099999"]
key_id = "int-1"
api_key = "key"
private_key_file = "/keys/int-1.pem"
spool_dir = "/spool/example-trust"
"""
INBOUND = """
[inbound]
allowed_client_names = ["proxy.example.nhs.uk"]
"""
GOOD = f'environment = "int"\n{PROVIDER}{INBOUND}'


def within(environment: str) -> str:
    """Return good settings of another environment."""
    return GOOD.replace('"int"', f'"{environment}"', 1).replace('"int-1"', f'"{environment}-1"')


@pytest.fixture
def written(tmp_path):
    """Return a function that loads the settings that it is given as text."""

    def read(text: str, **variables: str) -> Settings:
        path = tmp_path / "bars-gateway.toml"
        path.write_text(text, "utf-8")
        return load(path, {f"BARS_GATEWAY_{name}": value for name, value in variables.items()})

    return read


@pytest.fixture
def refused(written):
    """Return a function that loads settings and returns what was said about them, line by line."""

    def read(text: str, **variables: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            written(text, **variables)
        return str(caught.value).splitlines()

    return read


def settings_of(table: type[BaseModel]) -> list[Any]:
    return [pytest.param(table, name, id=f"{table.__name__}.{name}") for name in table.model_fields]


@pytest.mark.parametrize(("table", "name"), [p for each in TABLES for p in settings_of(each)])
def test_every_setting_is_explained(table, name):
    """Each setting says what it does and when to change it; tables refer to what is in them."""
    text = purpose(table, name)

    assert text.strip().endswith(".")
    assert "\n\n" in text or "stands with it" in text or "change it" in text.lower()


@pytest.mark.parametrize(("table", "name"), [p for each in TABLES for p in settings_of(each)])
def test_every_number_has_bounds(table, name):
    """A number without bounds would take a slip of the pen for a wish."""
    field = table.model_fields[name]
    kinds = {field.annotation, *getattr(field.annotation, "__args__", ())}
    if not kinds & {int, float}:
        return
    text = repr(field)

    assert "Ge(" in text
    assert "Le(" in text


def test_the_least_that_must_be_written(written):
    """An environment, a provider and who may call are enough."""
    settings = written(GOOD)

    assert Environment.INT == settings.environment
    assert ["example-trust"] == list(settings.providers)
    assert Path("/var/lib/bars-gateway/gateway.db") == settings.database_path


@pytest.mark.parametrize("environment", [e for e in Environment if e is not Environment.LOCAL])
def test_an_environment_brings_its_preset(written, environment):
    """Addresses and limits come with the environment's name."""
    settings = written(within(environment))
    preset = PRESETS[environment]

    assert preset.token_url == settings.outbound.token_url
    assert preset.proxy_url == settings.outbound.proxy_url
    assert preset.requests_per_minute == settings.outbound.requests_per_minute
    assert preset.token_required is settings.outbound.token_required


def test_the_local_environment_has_no_addresses(refused):
    """The sandbox's ports are not known beforehand, so both addresses must be written."""
    lines = refused(within("local"))

    assert 2 == sum("is required" in line for line in lines)
    assert any("outbound.token_url" in line for line in lines)
    assert any("bars-gateway sandbox" in line for line in lines)


def test_what_a_bundle_brings_can_be_overridden(written):
    """The gateway can be pointed at any conforming token service and proxy."""
    outbound = '[outbound]\ntoken_url = "https://127.0.0.1:9443/token"\nrequests_per_minute = 7\n'
    hosts = 'hosts = ["127.0.0.1", "int.api.service.nhs.uk"]\n'
    settings = written(GOOD + outbound + hosts)

    assert "https://127.0.0.1:9443/token" == settings.outbound.token_url
    assert 7 == settings.outbound.requests_per_minute


@pytest.mark.parametrize("environment", ["sandbox", "int", "prod"])
@pytest.mark.parametrize("key", ["token_url", "proxy_url"])
def test_no_other_host_is_contacted_than_those_of_the_environment(refused, environment, key):
    """A slip of the pen in an address would send patients' data to whoever has that name."""
    variables = {f"OUTBOUND__{key.upper()}": "https://api.service.nhs.uk.example/FHIR/R4"}
    lines = refused(within(environment), **variables)

    assert any(f"outbound.{key}" in line and "api.service.nhs.uk.example" in line for line in lines)


@pytest.mark.parametrize(
    ("environment", "key", "value"),
    [
        ("int", "outbound.token_url", "https://api.service.nhs.uk/oauth2/token"),
        ("int", "outbound.proxy_url", "https://API.service.nhs.uk./FHIR/R4"),
        ("prod", "outbound.token_url", "https://int.api.service.nhs.uk/oauth2/token"),
        ("prod", "outbound.proxy_url", "https://sandbox.api.service.nhs.uk/FHIR/R4"),
        ("local", "outbound.proxy_url", "https://api.service.nhs.uk/FHIR/R4"),
        ("prod", "inbound.allowed_client_names", "int.api.service.nhs.uk"),
        ("prod", "inbound.public_url", "https://bars-int-rae.trust.nhs.uk/FHIR/R4"),
        ("int", "onboarding.fqdn", "BaRS-PROD-RAE.trust.nhs.uk"),
        ("int", "onboarding.receiver_url", "https://BaRS-PROD-RAE.trust.nhs.uk/FHIR/R4"),
        ("prod", "onboarding.jwks_url", "https://int.api.service.nhs.uk/jwks.json"),
        ("prod", "providers.example-trust.key_id", "Example-INT-2"),
        ("int", "providers.example-trust.key_id", "Example-PROD-1"),
        ("int", "providers.example-trust.key_id", "example-local-1"),
        ("sandbox", "providers.example-trust.key_id", "Example-INT-1"),
        ("prod", "providers.example-trust.services", "tests|NHS0001"),
    ],
)
def test_environments_are_not_mixed(refused, environment, key, value):
    """An address, name, key id or service of one environment is refused in another."""
    local = {"OUTBOUND__TOKEN_URL": "https://127.0.0.1/t", "OUTBOUND__PROXY_URL": "https://[::1]/p"}
    variables = local if environment == "local" else {}
    variables = variables | {key.replace(".", "__").upper(): value}
    lines = refused(within(environment), **variables)

    named = f"and this gateway is in {environment}"
    assert any(key in line and "belongs to the env" in line and named in line for line in lines)


def test_what_is_for_trying_things_out_is_one(written):
    """A key that was made for the sandbox of this project may sign for the public one."""
    settings = written(within("sandbox").replace("sandbox-1", "Example-LOCAL-1"))

    assert Environment.SANDBOX is settings.environment


def test_the_environment_brings_the_addresses_of_its_proxy(written):
    """They differ between int and prod, and are overridden as a whole."""
    brought = written(GOOD).caller_addresses
    own = written(GOOD, CALLERS__ADDRESSES="192.0.2.0/24, 2001:db8::1").caller_addresses

    assert ["35.197.254.55/32", "35.246.55.143/32"] == [str(each) for each in brought]
    assert ["192.0.2.0/24", "2001:db8::1/128"] == [str(each) for each in own]


@pytest.mark.parametrize(
    ("key", "value"), [("addresses", ""), ("observe_until", "2026-03-02T09:00:00Z")]
)
def test_prod_keeps_strangers_out(refused, written, key, value):
    """What may be open while connecting is refused where there are real patients."""
    variables = {f"CALLERS__{key.upper()}": value}
    lines = refused(GOOD.replace('"int"', '"prod"'), **variables)

    assert any(f"callers.{key}" in line and "in prod" in line for line in lines)
    assert written(GOOD, **variables)


def test_a_variable_wins_over_the_file(written):
    """The environment overrides the file, tables by two underscores and lists by commas."""
    settings = written(
        GOOD,
        OUTBOUND__MAX_IN_FLIGHT="7",
        INBOUND__ALLOWED_CLIENT_NAMES="a.example, b.example",
        PROVIDERS__EXAMPLE_TRUST__KEY_ID="0e12",
        STORE__GROUP_LIMIT="1",
    )

    assert 7 == settings.outbound.max_in_flight
    assert ("a.example", "b.example") == settings.inbound.allowed_client_names
    assert "0e12" == settings.providers["example-trust"].key_id
    assert 1 == settings.store.group_limit


def test_the_variable_that_names_the_file_is_no_setting(written):
    """The command line's own variable does not make the settings invalid."""
    assert Environment.INT == written(GOOD, CONFIG="/etc/x.toml").environment


def test_other_variables_of_the_process_do_not_count(written, monkeypatch):
    """Only the mapping that load is given is read, so that tests and demos are what they say."""
    monkeypatch.setenv("BARS_GATEWAY_LOG_LEVEL", "debug")

    assert "info" == written(GOOD).log_level


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("log_lvl = 1\n", {}, "log_lvl is not a setting"),
        ("[inbound]\nenabld = true\n", {}, "inbound.enabld is not a setting"),
        ("", {"OUTBOUND__MAX": "1"}, "outbound.max is not a setting"),
        ("[outbound]\nmax_in_flight = 257\n", {}, "outbound.max_in_flight is wrong"),
        ("[outbound]\nlease_seconds = 75\n", {}, "outbound.lease_seconds is not longer"),
        ("[epr]\nscan_seconds = nan\n", {}, "epr.scan_seconds is wrong"),
        ("[epr]\nscan_seconds = 0.01\n", {}, "epr.scan_seconds is wrong"),
        (f'[epr]\nsocket_dir = "/{"x" * 90}"\n', {}, "epr.socket_dir is too long for a Unix"),
        ('[status]\nlisten = "0.0.0.0:8480"\n', {}, "status.listen would show"),
        ('[status]\nlisten = "127.0.0.1:8443"\n', {}, "status.listen is the port of inbound"),
        ('[status]\nlisten = "8480"\n', {}, "status.listen is not an address"),
        ('[outbound]\nproxy_url = "http://proxy.example/R4"\n', {}, "is not protected by TLS"),
        (
            '[outbound]\nproxy_url = "https://u:p@proxy.example/"\n',
            {},
            "is not the address of a service",
        ),
        (
            '[outbound]\negress_proxy = "https://proxy.example"\n',
            {},
            "outbound.egress_proxy is not the address of an egress proxy",
        ),
        (
            '[outbound]\negress_proxy = "http://u:p@proxy.example:3128"\n',
            {},
            "outbound.egress_proxy holds a user or a password",
        ),
        (
            '[outbound]\negress_proxy = "http://proxy.example:3128"\negress_user = "u"\n',
            {},
            "outbound.egress_password_file is missing beside the other",
        ),
        (
            '[outbound]\negress_user = "u"\negress_password_file = "/x"\n',
            {},
            "outbound.egress_proxy is missing",
        ),
        ('[outbound]\nca_file = "ca.pem"\n', {}, "outbound.ca_file is not an absolute path"),
        ("[timing.a9]\n", {}, "timing.a9 is wrong"),
        ('[alerts]\nmail_server = "mail.example"\n', {}, "alerts.mail_from is required where"),
        (
            (
                '[alerts]\nmail_server = "mail.example"\nmail_from = "a@b.example"\n'
                'mail_to = ["c@d.example"]\nmail_security = "none"\n'
            ),
            {},
            "alerts.mail_security would send in the clear",
        ),
        ('[alerts]\nmail_from = "nobody"\n', {}, "alerts.mail_from is wrong"),
        ('[alerts]\nmail_user = "u"\n', {}, "alerts.mail_password_file is missing"),
        (
            (
                '[alerts]\nmaintenance_from = "2026-12-02T22:00:00Z"\n'
                'maintenance_until = "2026-12-01T22:00:00Z"\n'
            ),
            {},
            "alerts.maintenance_until is not after maintenance_from",
        ),
        ("[timing.a1]\nlead_minutes = -1\n", {}, "timing.a1.lead_minutes is wrong"),
        (
            "[timing.a1]\nfirst_retry_seconds = 9\nlongest_retry_seconds = 8\n",
            {},
            "timing.a1.longest_retry_seconds is shorter",
        ),
    ],
)
def test_what_is_refused(refused, text, variables, expected):
    """A setting that is unknown, out of bounds or at odds with another is named and refused."""
    inbound = "" if "[inbound]" in text else INBOUND
    top, table = (text, "") if not text.startswith("[") else ("", text)
    lines = refused(f'{top}environment = "int"\n{PROVIDER}{inbound}{table}', **variables)

    assert any(expected in line for line in lines)


def test_nobody_may_call_is_refused(refused):
    """The NHS chain alone would let in every organisation that has a certificate."""
    lines = refused(f'environment = "int"\n{PROVIDER}')

    assert any("inbound.allowed_client_names is required" in line for line in lines)


def test_a_sender_names_no_callers(written):
    """An organisation that only sends needs no list of who may call."""
    settings = written(f'environment = "int"\n{PROVIDER}[inbound]\nenabled = false\n')

    assert settings.inbound.enabled is False


def test_two_providers_share_nothing(refused):
    """One service or folder for two providers could not be told apart."""
    other = PROVIDER.replace("example-trust]", "other]")
    lines = refused(GOOD + other)

    assert any("providers.other.services is shared with" in line for line in lines)
    assert any("providers.other.spool_dir is shared with" in line for line in lines)


def test_all_errors_come_at_once_each_with_place_and_cure(refused, tmp_path):
    """An operator mends the file once, not once per error."""
    lines = refused(
        'environment = "int"\nlog_level = "loud"\n[outbound]\nmax_in_flight = 0\n',
        STORE__GROUP_LIMIT="perhaps",
    )
    causes, cures = lines[::2], lines[1::2]
    path = tmp_path / "bars-gateway.toml"

    assert f"{path}:2: log_level is wrong" in "".join(causes)
    assert f"{path}:4: outbound.max_in_flight is wrong" in "".join(causes)
    assert f"{path}: providers is required" in "".join(causes)
    assert "environment variable BARS_GATEWAY_STORE__GROUP_LIMIT: store.group_limit" in "".join(
        causes
    )
    assert all(cure.startswith("   try: ") for cure in cures)


def test_an_unknown_environment_is_one_error_not_three(refused):
    """What the environment would have brought is not reported as missing as well."""
    lines = refused(GOOD.replace('"int"', '"test"'))

    assert 2 == len(lines)
    assert "environment is wrong" in lines[0]


def test_a_misspelt_setting_is_recognised(refused):
    """The nearest setting is proposed."""
    assert "   try: Did you mean log_level?" in refused(f"log_levle = 1\n{GOOD}")


def test_a_use_case_that_there_is_not_cannot_be_switched_off(refused):
    """It would stay on, and nobody would notice."""
    lines = refused(GOOD.replace("ods_code", 'refused_use_cases = ["a4t33"]\nods_code', 1))

    assert any("refused_use_cases" in line and "not a use case" in line for line in lines)
    assert "   try: Did you mean a4t3?" in lines


def test_no_value_is_repeated(refused):
    """Somebody will paste a key where its path belongs."""
    text = GOOD.replace("/keys/int-1.pem", "canary-key")

    assert "canary" not in "\n".join(refused(text))


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"environment = int", "is not TOML"), (b"\xff", "is not UTF-8"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_read(tmp_path, content, expected):
    """The file itself is named, with what is wrong with it."""
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=expected):
        load(path, {})


def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path):
    """Notepad writes one, and TOML has no place for it."""
    path, found = tmp_path / "x.toml", []
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text(GOOD, encoding)
        found.append(load(path, {}))

    assert found[0] == found[1]


def test_addresses_are_read_and_written_alike(written):
    """An address survives the way from text to value and back, IPv6 included."""
    settings = written(GOOD, INBOUND__LISTEN="[::1]:0")

    assert Address("::1", 0) == settings.inbound.listen
    assert "[::1]:0" == str(settings.inbound.listen)


def test_what_was_set_replaces_what_is_shipped(written):
    """Only what the safety officer changed, and only where they changed it."""
    settings = written(f"{GOOD}[timing.a4]\nlead_minutes = 3\n")
    shipped = shipped_timing("a4t1")

    assert replace(shipped, lead=timedelta(minutes=3)) == settings.timing_for("a4t1")
    assert shipped_timing("a3t1") == settings.timing_for("a3t1")


def test_describe_says_where_a_value_comes_from(written, tmp_path):
    """Default, file, environment and variable are told apart."""
    settings = written(f"{GOOD}[outbound]\nmax_in_flight = 7\n", LOG_LEVEL="debug")
    origins = {row.key: row.origin for row in describe(settings)}

    assert "environment variable BARS_GATEWAY_LOG_LEVEL" == origins["log_level"]
    assert f"{tmp_path}/bars-gateway.toml:15" == origins["outbound.max_in_flight"]
    assert "environment" == origins["outbound.token_url"]
    assert "default" == origins["outbound.answer_seconds"]
    assert "default" == origins["providers.example-trust.software.name"]


@pytest.mark.parametrize(
    "spelt",
    [
        'log_level = "debug"\nstore = { group_limit = 7 }',
        'log_level = "debug"\nstore.group_limit = 7',
        'log_level = "debug"\nstore . group_limit = 7',
        'log_level = "debug"\n"store"."group_limit" = 7',
    ],
)
def test_describe_knows_what_is_written_in_whatever_form(written, tmp_path, spelt):
    """TOML has four for a table; what somebody has written is never called a default."""
    settings = written(f"{spelt}\n{GOOD}")
    origins = {row.key: row.origin for row in describe(settings)}

    assert origins["store.group_limit"].startswith(f"{tmp_path}/bars-gateway.toml")
    assert "default" == origins["store.minimum_free_bytes"]


@pytest.mark.parametrize("missing", ["proxy", "proxy_secret_file"])
def test_a_proxy_is_believed_by_its_secret(written, missing):
    """Every program of this machine connects from the same address."""
    both = {"proxy": '"127.0.0.1"', "proxy_secret_file": '"/etc/secret"'}
    lines = [f"{name} = {value}" for name, value in both.items() if name != missing]
    with pytest.raises(ConfigurationError, match=r"console\.proxy"):
        written(SHIPPED.read_text("utf-8").replace("[console]\n", "[console]\n" + lines[0] + "\n"))


@pytest.mark.parametrize(
    ("more", "leads_to"),
    [
        ("", "http://127.0.0.1:8480"),
        ('[status]\nlisten = "[::1]:18480"\n', "http://[::1]:18480"),
        ('[alerts]\npage_url = "https://bars.example.org"\n', "https://bars.example.org"),
    ],
)
def test_links_lead_to_where_the_page_is(written, more, leads_to):
    """Whoever is woken follows the link of the alert: it is no other port's."""
    settings = written(GOOD + more)

    assert leads_to == settings.page_url


def uncommented(text: str) -> str:
    """Return the shipped file with every default written out."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


def rows(settings: Settings) -> dict[str, object]:
    return {row.key: row.value for row in describe(settings)}


def test_the_shipped_file_holds_the_defaults(written):
    """What the file shows as defaults are the defaults; some are examples, having none."""
    text = SHIPPED.read_text("utf-8")
    plain, shown = rows(written(text)), rows(written(uncommented(text)))
    examples = {
        "node",
        "console.names",
        "console.operators",
        "console.proxy",
        "console.proxy_secret_file",
        "console.reveal",
        "console.users_file",
        "console.viewers",
        "inbound.public_url",
        "outbound.ca_file",
        "outbound.egress_password_file",
        "outbound.egress_proxy",
        "outbound.egress_user",
        "store.encryption_keys_file",
        "store.password_file",
        "store.path",
        "store.url",
    } | {
        f"callers.{name}"
        for name in ("addresses", "issuers", "observe_until", "revocation_list_files")
    }
    examples |= {key for key in rows(written(text)) if key.startswith("onboarding.")}
    of_mail = ("server", "ca_file", "user", "password_file", "from", "to")
    examples |= {f"alerts.mail_{name}" for name in of_mail}
    examples |= {"alerts.command", "alerts.maintenance_from", "alerts.maintenance_until"}
    examples |= {"alerts.page_url"}
    shown = {
        key: value
        for key, value in shown.items()
        if not key.startswith(("timing.", "retention.use_cases."))
    }
    examples |= {key for key in shown if key.startswith("providers.example-trust.retention.")}

    assert plain.keys() == shown.keys()
    assert {k: v for k, v in plain.items() if k not in examples} == {
        k: v for k, v in shown.items() if k not in examples
    }


def test_the_shipped_file_shows_the_shipped_timing(written):
    """The example of a4 is what a4 has."""
    shown = written(uncommented(SHIPPED.read_text("utf-8"))).timing["a4"]
    timing = TIMINGS["a4"]

    assert timing.first_retry.total_seconds() == shown.first_retry_seconds
    assert timing.longest_retry.total_seconds() == shown.longest_retry_seconds
    assert timing.delayed_after.total_seconds() == shown.delayed_after_seconds
    assert timing.give_up_after.total_seconds() == shown.give_up_after_minutes * 60
    assert timing.lead.total_seconds() == shown.lead_minutes * 60
    assert timing.unread_after.total_seconds() == shown.unread_after_minutes * 60


def test_the_shipped_file_shows_every_setting():
    """A setting that the file does not show would not be found."""
    shown = tomllib.loads(uncommented(SHIPPED.read_text("utf-8")))
    provider = shown["providers"]["example-trust"]

    assert set(Settings.model_fields) == set(shown)
    assert set(config.Provider.model_fields) == set(provider)
    assert set(config.Software.model_fields) == set(provider["software"])
    assert set(TimingSettings.model_fields) == set(shown["timing"]["a4"])
    for name in ("outbound", "inbound", "callers", "store", "retention", "epr", "status"):
        assert set(Settings.model_fields[name].annotation.model_fields) == set(shown[name])


@pytest.mark.parametrize(("table", "name"), [p for each in TABLES[1:] for p in settings_of(each)])
def test_the_shipped_file_explains_as_the_program_does(table, name):
    """File and program give the same explanation, word for word."""
    comments = " ".join(
        line.removeprefix("#").strip()
        for line in SHIPPED.read_text("utf-8").splitlines()
        if re.match(r"# ", line)
    )

    assert " ".join(purpose(table, name).split()) in comments


def agreed(lines: str, environment: str = "int") -> str:
    text = f'environment = "{environment}"\n{PROVIDER}[providers.example-trust.rules]\n{lines}\n'
    return f"{text}{INBOUND}"


def agreement(settings, side):
    provider = settings.providers["example-trust"]
    message = read(json.dumps(a_referral()).encode())
    return overrides_of(settings, provider, side).with_the_other_side(message, side)


def test_a_service_is_known_in_each_spelling(written):
    """As everywhere: three of them are published, and they are one."""
    spelt = RECEIVER.replace("https", "http").replace("/Id/", "/id/")
    settings = written(agreed(f'"{spelt}" = {{ R18 = "warning" }}'))

    assert {"R18": AgreedSeverity.WARNING} == agreement(settings, Side.SENDING)


def test_one_severity_counts_for_everybody(written):
    """Under the name of the asterisk."""
    settings = written(agreed('"*" = { B20 = "warning" }'))

    assert {"B20": AgreedSeverity.WARNING} == agreement(settings, Side.RECEIVING)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param('RAE = { R99 = "off" }', "R99 is not a rule", id="unknown-rule"),
        pytest.param('RAE = { B01 = "off" }', "B01 is not a rule", id="structure"),
        pytest.param('RAE = { B04 = "off" }', "B04 is fixed", id="fixed-rule"),
        pytest.param('RAE = { R18 = "loud" }', "R18 is wrong", id="unknown-severity"),
        pytest.param('"x|" = { R18 = "off" }', "is not a counterparty", id="no-counterparty"),
    ],
)
def test_what_cannot_be_agreed(refused, lines, expected):
    """The place and the cure; what is safe for the patient is no matter of agreement."""
    assert any(expected in line for line in refused(agreed(lines)))


def test_a_near_id_is_recognised(refused):
    """Whoever mistypes one is told which is meant."""
    assert any("Did you mean R18?" in line for line in refused(agreed('RAE = { RI8 = "off" }')))


@pytest.mark.parametrize(
    ("environment", "side", "expected"),
    [
        ("prod", Side.SENDING, {"P02": AgreedSeverity.ERROR, "P02P": AgreedSeverity.ERROR}),
        ("prod", Side.RECEIVING, {}),
        ("int", Side.SENDING, {}),
    ],
)
def test_a_number_that_is_nobodys_never_leaves_for_production(written, environment, side, expected):
    """Elsewhere it is a warning: test numbers fail it."""
    assert expected == agreement(written(within(environment)), side)


@pytest.mark.parametrize(
    ("former", "new", "text"),
    [
        ("inbound.port", "inbound.listen", "[inbound]\nport = 1\n"),
        ("providers.*.folder", "providers.*.spool_dir", "[providers.a-trust]\nfolder = 1\n"),
    ],
    ids=["of the gateway", "of a provider"],
)
def test_a_setting_that_was_renamed_gives_the_new_name(
    tmp_path: Path, monkeypatch, former: str, new: str, text: str
) -> None:
    """Whoever upgrades is told what to write, and where it stands."""
    monkeypatch.setitem(RENAMED, former, new)
    file = tmp_path / "gateway.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    said = str(refused.value).replace("a-trust", "*")

    assert f"{file}:2: {former} has another name in this version" in said
    assert f"try: Write {new} in its place" in said
