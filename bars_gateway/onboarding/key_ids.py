"""
Key ids by the convention: who signs, where, and how often the key was changed.

    Northshire-INT-2 ──► owner Northshire · environment int · rotation 2

The id goes into a URL, a JSON file and a file name, and e-mail carries it to those who
register it. So it has letters, digits and hyphens, and nothing that is escaped anywhere.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from bars_gateway.config import Environment
from bars_gateway.errors import OnboardingError

LONGEST_OWNER = 40
_FORM = re.compile(
    r"(?P<owner>[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)-(?P<where>LOCAL|SANDBOX|INT|PROD)-(?P<count>[1-9]\d{0,3})",
    re.IGNORECASE,
)
_CONVENTION = (
    "Write it as <supplier or provider>-<environment>-<rotation>, such as Northshire-INT-1."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyId:
    """The name of one signing key."""

    owner: str  # supplier or provider: letters, digits and hyphens
    environment: Environment
    rotation: int  # 1 for the first key

    @staticmethod
    def fits(text: str) -> bool:
        """Tell whether *text* keeps to the convention."""
        found = _FORM.fullmatch(text)
        return found is not None and len(found["owner"]) <= LONGEST_OWNER

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what *text* says; raise OnboardingError where it keeps not to the convention."""
        found = _FORM.fullmatch(text)
        if found is None or not cls.fits(text):
            raise OnboardingError(f"{text!a} is no key id by the convention", _CONVENTION)
        environment = Environment(found["where"].lower())
        return cls(owner=found["owner"], environment=environment, rotation=int(found["count"]))

    @classmethod
    def first(cls, name: str, environment: Environment) -> Self:
        """Return the id of the first key of the organisation called *name*."""
        owner = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
        if not owner:
            cure = "Name it in letters and digits with --key-owner."
            raise OnboardingError(f"a key id cannot be made from the name {name!a}", cure)
        return cls(owner=owner[:LONGEST_OWNER], environment=environment, rotation=1)

    def after(self) -> Self:
        """Return the id of the key that follows this one."""
        return replace(self, rotation=self.rotation + 1)

    @property
    def family(self) -> str:
        """What all keys of this owner and environment have in common."""
        return f"{self.owner}-{self.environment.upper()}"

    def __str__(self) -> str:
        """Return it as it is registered."""
        return f"{self.family}-{self.rotation}"
