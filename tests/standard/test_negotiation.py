"""Which format is answered in (H11, D-formats)."""

import pytest

from bars_gateway.standard.formats import Format, format_of, negotiate

JSON, XML = Format.JSON, Format.XML


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        (" , ", JSON),
        ("*/*", JSON),
        ("application/fhir+json; version=1.4.0", JSON),
        ('application/fhir+json; version="1.5.0"', JSON),
        ("application/fhir+xml;version=1.0.0", XML),
        ("Application/FHIR+XML", XML),
        ("text/xml", XML),
        ("application/fhir+xml, application/fhir+json", XML),
        ("application/fhir+json, application/fhir+xml", JSON),
        ("application/fhir+json;q=0.8, application/fhir+xml", XML),
        ("application/fhir+xml;version=2.0.0, application/fhir+json;version=1.0.0", JSON),
        ("application/fhir+json;q=0, application/fhir+xml;q=0.1", XML),
        ("text/html, */*;q=0.1", JSON),
    ],
)
def test_the_header_is_followed(accept: str | None, expected: Format) -> None:
    """The best quality wins, then what stands first, and JSON where anything will do."""
    assert expected == negotiate(accept)


@pytest.mark.parametrize(
    ("accept", "asked", "path"),
    [
        ("application/fhir+json;version=2.0.0", None, "header Accept"),
        ("application/fhir+json;version=2.0.0", "json", "header Accept"),
        ("text/html", None, "header Accept"),
        ("application/fhir+json;q=0", None, "header Accept"),
        ("application/fhir+json", "turtle", "parameter _format"),
        (None, "", "parameter _format"),
    ],
)
def test_what_we_cannot_write_is_not_acceptable(
    accept: str | None, asked: str | None, path: str
) -> None:
    """406 REC_NOT_ACCEPTABLE, and the place where it was asked for."""
    issue = negotiate(accept, asked)

    assert not isinstance(issue, Format)
    assert (406, "REC_NOT_ACCEPTABLE", path) == (issue.http_status, issue.code, issue.path)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("json", JSON),
        ("xml", XML),
        ("application/fhir+xml", XML),
        ("application/fhir xml", XML),
        ("application/fhir+json; charset=utf-8", JSON),
        ("TEXT/XML", XML),
    ],
)
@pytest.mark.parametrize(
    "accept", [None, "application/fhir+json", "application/fhir+xml", "text/*"]
)
def test_the_parameter_wins(asked: str, expected: Format, accept: str | None) -> None:
    """D-formats: a differing Accept header is then no error."""
    assert expected == negotiate(accept, asked)


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("application/fhir+json", JSON),
        ("application/json", JSON),
        ("application/FHIR+XML; version=1.4.0; charset=utf-8", XML),
        ("application/xml", None),
        ("text/xml", None),
        ("", None),
    ],
)
def test_a_body_is_named_by_its_content_type(media_type: str, expected: Format | None) -> None:
    """Parameters mean nothing, plain JSON is let pass, plain XML is not."""
    assert expected == format_of(media_type)
