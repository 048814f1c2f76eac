"""
What the desks are told about this installation, and what its certificate is checked against.

    Onboarding ──► names of requests and letters ──► `csr`, `certificate`, `letters`, `doctor`

Nothing here changes what the running gateway does. It is written down once, so that a
request, a letter and a check never name three different machines.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bars_gateway.config.values import Section, Text, Url

Fqdn = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
    ),
]


class Onboarding(Section):
    """Who connects, by what name and address: for requests, letters and checks."""

    hosting: Literal["provider", "supplier"] = "provider"
    """
    Whose machine this is: the provider's own, or a supplier's for one or more providers.

    It decides which form the name in the certificate has. Set it before the first request.
    """

    supplier: Text | None = None
    """
    The supplier's name, as in its conformance agreement.

    Set it where a supplier connects, or hosts, for the provider.
    """

    fqdn: Fqdn | None = None
    """
    The name at which the proxy reaches us, which is the common name of our certificate.

    Set it as soon as it is agreed; `bars-gateway csr new` checks its form.
    """

    public_address: Annotated[str, Field(pattern=r"^[0-9A-Fa-f.:]+$")] | None = None
    """
    The public IP address that `fqdn` is to lead to.

    Set it to the outer address of the firewall; the letter for the DNS entry names it.
    """

    receiver_url: Url | None = None
    """
    The base address of our Receiver in the endpoint catalogue; by default made from `fqdn`.

    Set it where the port is not 443, or the path is another one.
    """

    jwks_url: Url | None = None
    """
    Where our public keys can be read by the token service, if we host them.

    Leave it out where NHS England hosts them: then the letter takes the public key along.
    """

    application_id: Text | None = None
    """
    The id of the application in the portal for developers: no key, and not the API key.

    Set it for the letter that registers the public key.
    """

    int_application_id: Text | None = None
    """
    The id that the same application has in INT.

    Set it in the settings of prod: the letter that registers the public key names both.
    """

    contact: Text | None = None
    """
    Whom the desks may ask: name, e-mail address and telephone number, on one line.

    Set it before letters are written.
    """

    @property
    def receiver_address(self) -> str | None:
        """The base address for the endpoint catalogue, or None where nobody knows it yet."""
        return self.receiver_url or (f"https://{self.fqdn}/FHIR/R4" if self.fqdn else None)
