"""
Whether a certificate ends in an authority that is trusted, as a handshake would find it.

    leaf, and what came with it ─┐
    authorities, with their roots ┴─flaw─► None, or where the way up breaks off

OpenSSL judges so while somebody connects, and tells nobody beforehand. Here the same is asked
of a file that is not in use yet, and of a caller who is not there: a chain has to end in a root,
which signed itself, and that root has to be in the file.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_LONGEST = 8  # certificates above the leaf: no chain has so many, and a circle would have more


def issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Tell whether *upper* issued *lower*, by name and by signature."""
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether *certificate* may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_root(certificate: x509.Certificate) -> bool:
    """Tell whether *certificate* signed itself."""
    return issued_by(certificate, certificate)


def flaw(
    presented: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> str | None:
    """
    Return why the chain that a caller *presented* does not end in *authorities*, or None.

    The leaf comes first. Its own dates and purpose are not looked at: they are its holder's.
    """
    leaf, *brought = presented
    return _climb(leaf, authorities, brought, now, 0)


def rootless(authorities: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return those *authorities* whose chain ends in no root among them, whatever the date."""
    roots = {_holder(each) for each in authorities if is_root(each)}
    return [
        each
        for each in authorities
        if _holder(each) not in roots and _climb(each, authorities, (), None, 0) is not None
    ]


def dns_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names among the alternative names; none where there are no such names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _climb(
    lower: x509.Certificate,
    authorities: Sequence[x509.Certificate],
    brought: Sequence[x509.Certificate],
    now: datetime | None,
    height: int,
) -> str | None:
    if lower in authorities and is_root(lower):
        return None
    above = [
        upper
        for upper in (*authorities, *brought)
        if upper.subject == lower.issuer and upper != lower and issued_by(lower, upper)
    ]
    if not above or height >= _LONGEST:
        return f"its chain ends below {lower.issuer.rfc4514_string()}, which is not in the file"
    flaws = []
    for upper in above:
        found = _unfit(upper, now, height) or _climb(upper, authorities, brought, now, height + 1)
        if found is None:
            return None
        flaws.append(found)
    return flaws[0]


def _unfit(upper: x509.Certificate, now: datetime | None, height: int) -> str | None:
    """Return why *upper*, with *height* authorities below it, signs nobody at *now*, or None."""
    name = upper.subject.rfc4514_string()
    if now is not None and upper.not_valid_after_utc <= now:
        return f"{name} ended on {upper.not_valid_after_utc:%d %b %Y}"
    if now is not None and upper.not_valid_before_utc > now:
        return f"{name} is not valid before {upper.not_valid_before_utc:%d %b %Y %H:%M} UTC"
    if not is_authority(upper) or not _signs(upper) or height > _below(upper):
        return f"{name} may not have signed it"
    return None


def _signs(upper: x509.Certificate) -> bool:
    try:
        return upper.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _below(upper: x509.Certificate) -> int:
    """Return how many authorities may stand between *upper* and a leaf."""
    length = upper.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    return _LONGEST if length is None else length


def _holder(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """Return name and key: one authority may have several certificates, for one and the same."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.subject.public_bytes(), key


def names_of(certificates: Iterable[x509.Certificate]) -> str:
    """Return their whole names, for people."""
    return ", ".join(each.subject.rfc4514_string() for each in certificates)
