"""
A book of malformed requests: bodies and HTTP that no honest Sender makes, by their threat.

Each is what somebody could send who has a certificate. None may be answered with a 500,
end another's connection, or come back in an answer.
"""

from collections.abc import Mapping

XMLNS = b'xmlns="http://hl7.org/fhir"'


def _nested(depth: int) -> bytes:
    return b'{"resourceType":"Bundle","a":' + b"[" * depth + b"]" * depth + b"}"


def _holding(value: bytes) -> bytes:
    return b'{"resourceType":"Bundle","type":"message","id":"x","total":' + value + b"}"


# D-hostile-bodies: JSON that costs more than it says, or says what JSON cannot.
JSON: Mapping[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "an array": b"[]",
    "a text": b'"Bundle"',
    "null": b"null",
    "half": b'{"resourceType":"Bundle","entry":[{"res',
    "deep": _nested(100),
    "very deep": _nested(200_000),
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "wide": b'{"resourceType":"Bundle","entry":[' + b"{}," * 100_000 + b"{}]}",
    "many members": b"{" + b",".join(b'"m%d":1' % n for n in range(50_000)) + b"}",
    "a huge number": _holding(b"9" * 200_000),
    "a huge exponent": _holding(b"1e999999999"),
    "minus nothing": _holding(b"-"),
    "not a number": _holding(b"NaN"),
    "infinity": _holding(b"-Infinity"),
    "twice": b'{"resourceType":"Bundle","resourceType":"Bundle"}',
    "half a surrogate": b'{"resourceType":"Bundle","id":"\\ud800"}',
    "a NUL": b'{"resourceType":"Bundle","id":"\\u0000"}',
    "a raw NUL": b'{"resourceType":"Bundle","id":"\x00"}',
    "no UTF-8": b'{"resourceType":"Bundle","id":"\xff\xfe"}',
    "overlong UTF-8": b'{"resourceType":"Bundle","id":"\xc0\xaf"}',
    "a byte order mark": b"\xef\xbb\xbf[]",
    "UTF-16": '{"resourceType":"Bundle"}'.encode("utf-16"),
    "a long text": b'{"resourceType":"Bundle","id":"' + b"x" * 3_000_000 + b'"}',
    "a comment": b'{"resourceType":"Bundle" /* */}',
    "more behind": b'{"resourceType":"Bundle"}{"resourceType":"Bundle"}',
    "XML": b"<Bundle " + XMLNS + b"/>",
    "proto": b'{"__proto__":{"resourceType":"Bundle"},"constructor":{}}',
}

_BOMB = b"".join(
    b'<!ENTITY e%d "%s">' % (n, (b"&e%d;" % (n - 1)) * 10 if n else b"lol") for n in range(10)
)

# D-hostile-bodies: XML that reaches outside, or grows.
XML: Mapping[str, bytes] = {
    "nothing": b"",
    "an external entity": (
        b'<!DOCTYPE B [<!ENTITY x SYSTEM "file:///etc/passwd">]><Bundle '
        + XMLNS
        + b'><id value="&x;"/></Bundle>'
    ),
    "an external definition": (
        b'<!DOCTYPE Bundle SYSTEM "http://127.0.0.1:9/x.dtd"><Bundle ' + XMLNS + b"/>"
    ),
    "a parameter entity": (
        b'<!DOCTYPE B [<!ENTITY % p SYSTEM "http://127.0.0.1:9/">%p;]><Bundle ' + XMLNS + b"/>"
    ),
    "billion laughs": (
        b"<!DOCTYPE B [" + _BOMB + b"]><Bundle " + XMLNS + b'><id value="&e9;"/></Bundle>'
    ),
    "UTF-16": ("<Bundle " + XMLNS.decode() + "/>").encode("utf-16"),
    "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?><Bundle ' + XMLNS + b"/>",
    "an unknown encoding": b'<?xml version="1.0" encoding="x-none"?><Bundle ' + XMLNS + b"/>",
    "deep": b"<Bundle " + XMLNS + b">" + b"<entry>" * 20_000 + b"</entry>" * 20_000 + b"</Bundle>",
    "wide": b"<Bundle " + XMLNS + b">" + b"<entry/>" * 50_000 + b"</Bundle>",
    "many attributes": (
        b"<Bundle " + XMLNS + b" " + b" ".join(b'a%d="1"' % n for n in range(20_000)) + b"/>"
    ),
    "a long attribute": b"<Bundle " + XMLNS + b'><id value="' + b"x" * 2_000_000 + b'"/></Bundle>',
    "an instruction": b"<?xml-stylesheet href='http://127.0.0.1:9/'?><Bundle " + XMLNS + b"/>",
    "XInclude": (
        b"<Bundle "
        + XMLNS
        + b'><include xmlns="http://www.w3.org/2001/XInclude" href="/etc/passwd"/></Bundle>'
    ),
    "an attribute twice": b"<Bundle " + XMLNS + b'><id value="a" value="b"/></Bundle>',
    "another namespace": b'<Bundle xmlns="urn:elsewhere"/>',
    "CDATA": b"<Bundle " + XMLNS + b"><![CDATA[x]]></Bundle>",
    "a NUL": b"<Bundle " + XMLNS + b'><id value="\x00"/></Bundle>',
    "JSON": b'{"resourceType":"Bundle"}',
    "half": b"<Bundle " + XMLNS + b"><id va",
}

_LINE = b"POST /$process-message HTTP/1.1\r\nHost: x\r\n"

# HTTP that two readers would cut in different places (D-hostile-bodies). Each is refused and the
# connection ends.
DESYNC: Mapping[str, bytes] = {
    "two lengths": _LINE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunks": _LINE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "chunks and length": (
        _LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    ),
    "an unknown coding": _LINE + b"Transfer-Encoding: xchunked\r\n\r\n{}",
    "a signed length": _LINE + b"Content-Length: +2\r\n\r\n{}",
    "a long length": _LINE + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "a length that is none": _LINE + b"Content-Length: two\r\n\r\n{}",
    "a folded header": _LINE + b"X-Request-Id: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "a space before the colon": _LINE + b"Content-Length : 2\r\n\r\n{}",
    "no name": _LINE + b": x\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL in a header": _LINE + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "a bare CR": _LINE + b"X-A: a\rb\r\nContent-Length: 2\r\n\r\n{}",
    "a long chunk size": (
        _LINE
        + b"Content-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"f" * 30
        + b"\r\n{}"
    ),
    "a long header": _LINE + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": _LINE + b"".join(b"X-%d: a\r\n" % n for n in range(20_000)) + b"\r\n",
    "no version": b"POST /$process-message\r\n\r\n",
    "an unknown version": b"POST /$process-message HTTP/9.9\r\nHost: x\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS in TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

# D-hostile-bodies: ids that would forge a log line, or come back in a header.
IDS: Mapping[str, str] = {
    "a tab": "a\tb",
    "no ASCII": "\u00e4\u00f6\u00fc",
    "a long one": "a" * 8_000,
    "markup": "<script>alert(1)</script>",
    "a UUID and more": "0f9f5d2c-6d0e-4a86-9d2c-0d6a3a1f9b11 or 1=1",
    "braces": "{0f9f5d2c-6d0e-4a86-9d2c-0d6a3a1f9b11}",
    "escapes": "\\r\\nSet-Cookie: a=b",
    "percent": "%0d%0aSet-Cookie:a=b",
}
