"""
What HTTP alone decides about a request, in the guide's words.

Never 403, 503 or 504 for what a Sender must be able to read: the proxy replaces their
bodies (D-lost-statuses). 503 is used where its meaning, try again later, is all there is to say.
The guide has no code for 413 and 415, so the status says it, and the code is the one
for a request that is not as it should be.
"""

from bars_gateway.local_http import LONGEST_FIELD, LONGEST_LINE, MOST_HEADERS
from bars_gateway.standard.answers import Problem

NOT_ALLOWED = Problem(
    http_status=401,
    code="REC_UNAUTHORIZED",
    issue="security",
    text="The certificate of this connection is not, or no longer, on the list of callers.",
)
ENCODED = Problem(
    http_status=415,
    code="REC_BAD_REQUEST",
    issue="not-supported",
    text="Send the body as it is, or with the Content-Encoding gzip.",
)
NO_GZIP = Problem(
    http_status=400,
    code="REC_BAD_REQUEST",
    issue="structure",
    text="The body is not the whole gzip stream that its Content-Encoding promises.",
)
NO_FHIR = Problem(
    http_status=415,
    code="REC_BAD_REQUEST",
    issue="not-supported",
    text="This Receiver takes messages as application/fhir+json or application/fhir+xml.",
)
TOO_LARGE = Problem(
    http_status=413,
    code="REC_BAD_REQUEST",
    issue="too-long",
    text="The message is longer than this Receiver takes.",
)
BODY_LATE = Problem(
    http_status=408,
    code="REC_TIMEOUT",
    issue="timeout",
    text="The body did not arrive in time. Send the same message again.",
)
ANSWER_LATE = Problem(
    http_status=408,
    code="REC_TIMEOUT",
    issue="timeout",
    text="The message was not dealt with in time. Send it again with the same ids.",
)
NO_HTTP = Problem(
    http_status=400,
    code="REC_BAD_REQUEST",
    issue="structure",
    text="This is not a well-formed HTTP request.",
)
LINE_TOO_LONG = Problem(
    http_status=414,
    code="REC_BAD_REQUEST",
    issue="too-long",
    text=f"The request line is longer than {LONGEST_LINE} bytes. Ask for less at once.",
)
HEADERS_TOO_LONG = Problem(
    http_status=431,
    code="REC_BAD_REQUEST",
    issue="too-long",
    text=f"A header is longer than {LONGEST_FIELD} bytes, or there are more than {MOST_HEADERS}.",
)
UNAVAILABLE = Problem(
    http_status=503,
    code="REC_SERVICE_UNAVAILABLE",
    issue="transient",
    text="The Receiver cannot store messages at the moment. Send it again with the same ids.",
)
BUSY = Problem(
    http_status=503,
    code="REC_SERVICE_UNAVAILABLE",
    issue="transient",
    text="The Receiver is busy with long messages. Send it again with the same ids.",
)
STORE_TROUBLE = Problem(
    http_status=500,
    code="REC_SERVER_ERROR",
    issue="no-store",
    text="The Receiver could not store the message. Send it again with the same ids.",
)
UNEXPECTED = Problem(
    http_status=500,
    code="REC_SERVER_ERROR",
    issue="exception",
    text="The Receiver failed in a way that it did not foresee. Its operator has been told.",
)
