"""What lies in the EPR's folders of a person is found while a gateway moves it."""

from pathlib import Path
from unittest import mock

from typed import settings_text

from bars_gateway.cli import subject
from bars_gateway.config import load

NUMBER = "9434765919"


def test_a_copy_that_moves_on_while_others_are_read_is_found(tmp_path: Path) -> None:
    """A gateway takes it meanwhile: that nothing is held would be told to the person."""
    (tmp_path / "bars-gateway.toml").write_text(settings_text(tmp_path), "utf-8")
    settings = load(tmp_path / "bars-gateway.toml", {})
    (spool,) = (each.spool_dir for each in settings.providers.values())
    new, accepted = spool / "outbox" / "new", spool / "outbox" / "accepted"
    for folder in (new, accepted):
        folder.mkdir(parents=True)
    (new / "a.json").write_text("{}")
    (new / "b.json").write_text(f'{{"value": "{NUMBER}"}}')
    real = subject.names

    def taken_meanwhile(number: str, content: bytes) -> bool:
        if (new / "b.json").exists():
            (new / "b.json").rename(accepted / "b.json")
        return real(number, content)

    with mock.patch.object(subject, "names", taken_meanwhile):
        found = [path for path, _ in subject._copies(settings, NUMBER)]

    assert [accepted / "b.json"] == found
