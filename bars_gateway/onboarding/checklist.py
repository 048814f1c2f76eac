"""
The checklist from an empty machine to a live connection: what is done, who is waited for.

    settings, and what lies where they point ──► ChecklistStep …   printed with numbers

What a file shows is read from it. What only the world outside knows (a DNS entry, an
open firewall) is *not seen from here*: `bars-gateway doctor` goes and looks.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

from bars_gateway.config import Environment, Settings
from bars_gateway.config.doubts import api_key_is_told, is_of_the_example, unknown_callers
from bars_gateway.config.problems import problems_of_inbound, problems_of_keys
from bars_gateway.errors import KeyRingUnusable
from bars_gateway.frozen import frozen
from bars_gateway.keyring import EncryptionRing
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.certificate_rules import form_for
from bars_gateway.onboarding.certificates import requests_in
from bars_gateway.onboarding.contacts import Contact
from bars_gateway.onboarding.encryption import CREDENTIALS
from bars_gateway.onboarding.keys import KeyId, can_be_made
from bars_gateway.options import with_whose

# A file that is wrong is as much left to do as one that is not there.
_CERTIFICATE = {"inbound.certificate_file", "inbound.private_key_file", "environment"}
_AUTHORITIES = {"inbound.client_ca_file", "environment"}


class StepState(StrEnum):
    """How far a step is."""

    DONE = "done"  # there is nothing left to do
    OURS = "to do"  # nobody else is needed
    THEIRS = "waits"  # for whoever is named
    UNSEEN = "look"  # it cannot be seen from here


@frozen(kw_only=True)
class ChecklistStep:
    """One step of the checklist."""

    stage: StepState
    what: str
    who: Contact
    how: str  # a command, or where to look

    def __str__(self) -> str:
        """Return it as one line of the list; what is done needs no more words."""
        if self.stage is StepState.DONE:
            return f"{self.stage:5}  {self.what}"
        return f"{self.stage:5}  {self.what}\n           {self.who}: {self.how}"


def steps(settings: Settings, now: datetime) -> list[ChecklistStep]:
    """Return the checklist of this installation, as it is at *now*."""
    return [
        *_sending(settings),
        *(_receiving(settings, now) if settings.inbound.enabled else ()),
        *_keeping(settings),
        *_together(settings),
    ]


def printed(checklist: list[ChecklistStep]) -> str:
    """Return the checklist as numbered lines."""
    return "\n".join(f"{number:3}  {step}" for number, step in enumerate(checklist, 1))


def callers_of(settings: Settings) -> str:
    """Return who may connect, as a firewall is told of it."""
    single = [
        str(each).removesuffix("/32").removesuffix("/128") for each in settings.caller_addresses
    ]
    return ", ".join(single) or "everybody"


def _step(what: str, how: str, *, done: bool, who: Contact = contacts.OURSELVES) -> ChecklistStep:
    open_stage = (
        StepState.OURS if who in {contacts.OURSELVES, contacts.NETWORK} else StepState.THEIRS
    )
    return ChecklistStep(stage=StepState.DONE if done else open_stage, what=what, who=who, how=how)


def _unseen(what: str, how: str, who: Contact) -> ChecklistStep:
    return ChecklistStep(stage=StepState.UNSEEN, what=what, who=who, how=how)


def _sending(settings: Settings) -> Iterator[ChecklistStep]:
    providers = settings.providers.values()
    yield _step("Write the settings", "bars-gateway init", done=True)
    lacking = [name for name in settings.providers if not _has_key(settings, name)]
    made = [_how_its_key_is_made(settings, name) for name in lacking or settings.providers]
    how = "; ".join(dict.fromkeys(made))
    yield _step("Make the keys that sign", how, done=not lacking)
    if settings.environment is Environment.LOCAL:
        who, how = contacts.OURSELVES, "give the sandbox the JWKS, and set api_key"
    else:
        who, how = contacts.BARS, "bars-gateway letters key; then set api_key to what they tell you"
    what = "Have the public key registered"
    told = all(api_key_is_told(settings, provider) for provider in providers)
    if told and settings.outbound.token_required:  # an API key says nothing of the JWKS
        tries = [
            with_whose("bars-gateway keys probe", settings, name) for name in settings.providers
        ]
        yield _unseen(what, f"{'; '.join(tries)} says whether it is", who)
        return
    yield _step(what, how, done=told, who=who)


def _how_its_key_is_made(settings: Settings, name: str) -> str:
    provider = settings.providers[name]
    file = provider.private_key_file
    if file.exists() or can_be_made(provider):
        return with_whose("bars-gateway keys new --why TEXT", settings, name)
    wanted = KeyId.first(name, settings.environment)
    named = f'key_id = "{wanted}" and private_key_file = "{file.with_name(f"{wanted}.pem")}"'
    return f"for {name}, write {named}; then bars-gateway init makes it"


def _has_key(settings: Settings, name: str) -> bool:
    wrong = {problem.key for problem in problems_of_keys(settings, name)}
    return f"providers.{name}.private_key_file" not in wrong


def _receiving(settings: Settings, now: datetime) -> Iterator[ChecklistStep]:
    onboarding, inbound = settings.onboarding, settings.inbound
    faults = {problem.key for problem in problems_of_inbound(settings, now)}
    installed = faults.isdisjoint(_CERTIFICATE)
    requested = installed or bool(requests_in(settings))
    named = f"set onboarding.fqdn; its form is {form_for(settings)}"
    agreed = onboarding.fqdn is not None and not is_of_the_example(settings, "onboarding", "fqdn")
    yield _step("Agree on the name of the Receiver", named, done=agreed)
    how = "bars-gateway csr new --why TEXT"
    yield _step("Make the request for its certificate", how, done=requested)
    signs = contacts.signer_of(settings.environment)
    asking = "bars-gateway letters certificate"
    if settings.environment is Environment.LOCAL:
        asking = "post it to /certificates of the sandbox's admin port"
    how = f"{asking}; then bars-gateway certificate install FILE --why TEXT"
    yield _step("Have the certificate signed", how, done=installed, who=signs)
    where = f"from pki.nhs.uk (G2) into {inbound.client_ca_file}"
    placed = faults.isdisjoint(_AUTHORITIES)
    yield _step("Fetch the authorities of the callers", where, done=placed)
    known = bool(inbound.allowed_client_names) and not unknown_callers(settings)
    how = "ask for the name in the proxy's certificate, and set inbound.allowed_client_names"
    yield _step("Learn who will call", how, done=known, who=contacts.BARS)
    if settings.environment is Environment.LOCAL:
        return
    yield _unseen("Have the name entered in the DNS", "bars-gateway letters dns", contacts.DNS)
    how = f"let {callers_of(settings)} in to {inbound.listen}, and us out to port 443"
    yield _unseen("Open the firewall", how, contacts.NETWORK)
    how = "bars-gateway letters catalogue"
    yield _unseen("Have the services entered in the endpoint catalogue", how, contacts.BARS)


def _keeping(settings: Settings) -> Iterator[ChecklistStep]:
    """Yield what is left to do for the key without which nobody reads what is stored."""
    file, what = settings.store.encryption_keys_file, "Copy the key ring to another place"
    if file is None:
        return
    how = "bars-gateway encryption copy FILE --why TEXT: apart from the backups and this disk"
    if file.is_relative_to(CREDENTIALS):  # in one of systemd's nothing is noted
        yield _unseen(what, how, contacts.OURSELVES)
        return
    try:
        ring = EncryptionRing.read(file)
    except KeyRingUnusable:
        yield _step(what, "bars-gateway check: the ring cannot be read", done=False)
    else:
        yield _step(what, how, done=all(each.key_id in ring.copied for each in ring.keys))


def _together(settings: Settings) -> Iterator[ChecklistStep]:
    yield _unseen("See everything green", "bars-gateway doctor", contacts.OURSELVES)
    match settings.environment:
        case Environment.INT:
            how = (
                "test with the toolkit and other suppliers, fill in the SCAL (bars-gateway evidence"
                " export), show it end to end"
            )
            yield _unseen("Be assured: SCAL approved, conformance certificate", how, contacts.BARS)
        case Environment.PROD:
            how = "bars-gateway letters live; happy paths first, then business"
            yield _unseen("Go live", how, contacts.BARS)
        case _:
            how = "bars-gateway run, and bars-gateway send FILE"
            yield _unseen("Send the first message", how, contacts.OURSELVES)
