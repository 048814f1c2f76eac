"""The numbers by which people and programs name what is kept, as they have written them."""

_LONGEST = 18  # digits: every number of so many has room in the 63 bits of a row's


def number_in(text: str) -> int | None:
    """Return the number that *text* is; None: it is none, or no row can have it."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST
    return int(text) if is_number else None
