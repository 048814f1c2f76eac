"""What cannot be seen in a setting that is compared exactly is refused, by its place."""

from pathlib import Path

import pytest

from bars_gateway.config import load
from bars_gateway.errors import ConfigurationError

EXAMPLE = Path(__file__).parent.parent / "config" / "bars-gateway.toml"
KEY = "s3cret"  # shown nowhere
UNSEEN = {
    "\\u200b": "character 7 is zero width space (U+200B)",
    "\\ufeff": "character 7 is a byte order mark (U+FEFF)",
    "\\u00a0": "character 7 is no-break space (U+00A0)",
    "\\n": "character 7 is a line break (U+000A)",
    "\\u202e": "character 7 is right-to-left override (U+202E)",
    " x": "character 7 is space (U+0020)",
    "\\u0430": "character 7 is cyrillic small letter a (U+0430)",
}


def refused(folder: Path, old: str, new: str) -> str:
    """Return what is said of the example's settings with one of them changed."""
    file = folder / "bars-gateway.toml"
    text = EXAMPLE.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    return str(caught.value)


@pytest.mark.parametrize("unseen", UNSEEN)
def test_a_key_with_what_does_not_belong_there_is_refused(tmp_path: Path, unseen: str) -> None:
    """The token service knows no such key, and nobody sees why: its place is named, not the key."""
    said = refused(tmp_path, '"the-api-key-of-your-application"', f'"{KEY}{unseen}"')

    assert "bars-gateway.toml:" in said
    assert "providers.example-trust.api_key holds what does not belong there" in said
    assert UNSEEN[unseen] in said
    assert KEY not in said


def test_a_key_from_a_variable_is_looked_at_too(tmp_path: Path) -> None:
    """An environment file of systemd keeps what an editor put before it."""
    name = "BARS_GATEWAY_PROVIDERS__EXAMPLE_TRUST__API_KEY"
    with pytest.raises(ConfigurationError) as caught:
        load(EXAMPLE, {name: f"\ufeff{KEY}"})

    assert f"environment variable {name}: " in str(caught.value)
    assert "character 1 is a byte order mark" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('key_id = "int-1"', 'key_id = "int-1\\u200b"'),
        ('"bars-proxy.example.nhs.uk"', '"bars-proxy\\u00ad.example.nhs.uk"'),
        ("[callers]", '[callers]\nissuers = ["NHS INT\\u00a0Authentication G2"]'),
    ],
)
def test_names_that_others_compare_are_looked_at_too(tmp_path: Path, old: str, new: str) -> None:
    """A key id that is not registered, or a caller whom nobody is called: for no visible reason."""
    assert "holds what does not belong there: character " in refused(tmp_path, old, new)
