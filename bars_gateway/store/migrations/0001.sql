-- Instants are TEXT: UTC, milliseconds, 'Z'. They sort, and a person at the sqlite3
-- prompt can read them. Constraints have names because the name is what the log shows.
-- This first migration has what later ones could not add: SQLite cannot alter a CHECK.

CREATE TABLE workflows (                        -- one referral, validation or booking, from `new` to its end
    id              INTEGER PRIMARY KEY AUTOINCREMENT,  -- shown to the EPR: never used twice
    provider        TEXT NOT NULL,              -- which of our organisations this belongs to
    correlation_id  TEXT NOT NULL,              -- X-Correlation-Id: the conversation it is part of
    counterparty    TEXT NOT NULL,              -- the other side's target identifier, system|value
    role            TEXT NOT NULL,              -- ours
    request_type         TEXT NOT NULL,
    use_case        TEXT NOT NULL,              -- usecases-categories-bars, e.g. a4t1
    focus_id        TEXT,                       -- ServiceRequest.id or Appointment.id, once the Receiver has minted it
    claimed_id      TEXT,                       -- the id that its Receiver gave it, and is another patient's already
    state           TEXT NOT NULL,
    answer_due_at   TEXT,                       -- when silence becomes news
    warn_at         TEXT,                       -- when to say that it comes near; NULL once said
    overdue_at      TEXT,                       -- when to say that it is late; NULL once said
    told_status     TEXT,                       -- how far the Responder says it is: its Encounter.status
    likeness        TEXT,                       -- what it has in common with the same request, built twice
    opened_at       TEXT NOT NULL,
    closed_at       TEXT,
    CONSTRAINT role_is_known    CHECK (role IN ('requester', 'responder')),
    CONSTRAINT request_type_is_known CHECK (request_type IN ('referral', 'validation', 'booking')),
    CONSTRAINT state_is_known   CHECK (state IN ('requested', 'unconfirmed', 'active', 'in_progress', 'unclear',
                                    'contradicted', 'completed', 'declined', 'cancelled', 'refused', 'abandoned')),
    CONSTRAINT closed_means_final CHECK ((closed_at IS NOT NULL)
                                    = (state IN ('completed', 'declined', 'cancelled', 'refused', 'abandoned')))
) STRICT;
CREATE INDEX workflows_talk    ON workflows (provider, correlation_id);
CREATE INDEX workflows_focus   ON workflows (focus_id, provider) WHERE focus_id IS NOT NULL;
CREATE INDEX workflows_claimed ON workflows (claimed_id, provider) WHERE claimed_id IS NOT NULL;
CREATE INDEX workflows_open    ON workflows (provider, request_type, id) WHERE closed_at IS NULL AND role = 'requester';
CREATE INDEX workflows_alike   ON workflows (provider, likeness) WHERE likeness IS NOT NULL;
CREATE INDEX workflows_due     ON workflows (answer_due_at) WHERE closed_at IS NULL AND answer_due_at IS NOT NULL;
CREATE INDEX workflows_warned  ON workflows (warn_at)       WHERE closed_at IS NULL AND warn_at IS NOT NULL;
CREATE INDEX workflows_overdue ON workflows (overdue_at)    WHERE closed_at IS NULL AND overdue_at IS NOT NULL;

CREATE TABLE messages (                         -- one Bundle, in one direction
    id              INTEGER PRIMARY KEY AUTOINCREMENT,  -- also the order in which we took it
    workflow_id     INTEGER NOT NULL REFERENCES workflows (id),
    provider        TEXT NOT NULL,
    direction       TEXT NOT NULL,
    request_id      TEXT NOT NULL,              -- X-Request-Id: the same for every attempt
    correlation_id  TEXT NOT NULL,              -- X-Correlation-Id: the same for the conversation
    bundle_id       TEXT NOT NULL,              -- Bundle.id: what a response points back to
    responds_to     TEXT,                       -- MessageHeader.response.identifier, of a response
    move            TEXT NOT NULL,              -- standard.workflow.Move
    use_case        TEXT NOT NULL,
    sender          TEXT NOT NULL,              -- MessageHeader.source.endpoint, system|value
    receiver        TEXT NOT NULL,              -- MessageHeader.destination.endpoint, system|value
    fingerprint     TEXT NOT NULL,              -- SHA-256 of the request payload; outlives it
    submission_id   TEXT,                       -- the EPR's own key, where we composed the bytes
    asked_as        TEXT,                       -- SHA-256 of what the EPR said, where we composed the bytes
    reference       TEXT,                       -- inbound: the case number that we gave it
    state           TEXT NOT NULL,
    claims          INTEGER NOT NULL DEFAULT 0, -- the fencing token: grows with every claim
    attempts        INTEGER NOT NULL DEFAULT 0, -- POSTs begun
    resend_of       INTEGER REFERENCES messages (id),   -- the message whose payload this sends again under new ids
    urgent          INTEGER NOT NULL DEFAULT 0, -- outbound: 1 goes out before 0
    needed_by       TEXT,                       -- the clinical time
    next_attempt_at TEXT,
    give_up_at      TEXT,
    by_its_time     INTEGER NOT NULL DEFAULT 0, -- 1: give_up_at follows from needed_by, and from no time since it came
    answer_due_at   TEXT,                       -- of a request or an update: when an answer is owed by what it says
    warn_at         TEXT,                       -- and when to say that this comes near
    reconciliation  TEXT,                       -- where no id came: whether the Receiver's was found
    reconcile_at    TEXT,                       -- when to look for them
    delay_due_at    TEXT,                       -- when to tell the EPR that it is late; NULL once told
    claimed_by      TEXT,                       -- node name
    claimed_until   TEXT,
    created_at      TEXT NOT NULL,
    settled_at      TEXT,
    read_due_at     TEXT,                       -- when to read what a cancellation is about; NULL: it may be sent
    unshown_at      TEXT,                       -- when a read for it last showed nothing that decides
    shown           TEXT,                       -- what the read came to: the status that ended the record, or unshown
    says            TEXT,                       -- of a response: what the Responder says with it (standard.meaning)
    reason_code     TEXT,                       -- of a rejection: a code of the standard's; never free text
    said_at         TEXT,                       -- of a response: when the Responder wrote it; when it came, if its clock is ahead
    sent_at         TEXT,                       -- Bundle.timestamp, likewise: between two with the same said_at
    target_unchecked TEXT,                      -- why nobody knew, when it came, that its service takes it
    patient         TEXT,                       -- whom it names, where that is not whom its workflow began with
    warnings        TEXT,                       -- outbound, JSON: what the receipt warned of; NULL: nothing
    restored_at     TEXT,                       -- when a restore left it unsettled: it may have been sent before that
    trouble         TEXT,                       -- what its last attempt came to, if to no acknowledgement: a code, or the verdict's row
    fault           TEXT,                       -- and whose it was: SEND, PROXY, REC or HERE
    -- When the appointment that it names is over; NULL: it names none. What was stored by something that did not look is
    -- unread, and in a booking taken as a year to come.
    appointment_until TEXT DEFAULT 'unread',
    CONSTRAINT reconciliation_is_known CHECK (reconciliation IN ('wanted', 'found', 'over', 'none', 'several', 'unnamed',
                                                              'unread')),
    CONSTRAINT shown_is_known       CHECK (shown IN ('revoked', 'completed', 'entered-in-error', 'cancelled', 'fulfilled',
                                                     'noshow', 'unshown')),
    CONSTRAINT wanted_has_a_time    CHECK ((reconciliation IS 'wanted') = (reconcile_at IS NOT NULL)),
    CONSTRAINT patient_is_known     CHECK (patient IN ('other', 'changed')),
    CONSTRAINT direction_is_known   CHECK (direction IN ('outbound', 'inbound')),
    CONSTRAINT move_is_known        CHECK (move IN ('request', 'update', 'cancel', 'wait', 'progress', 'decline', 'conclude',
                                                  'unclear')),
    CONSTRAINT says_is_known        CHECK (says IN ('accepted', 'assigned', 'on_scene', 'stood_down', 'finished',
                                                  'validation_started', 'validation_acts', 'validation_closes',
                                                  'rejected', 'not_attended', 'unclear')),
    CONSTRAINT said_at_some_time    CHECK ((says IS NULL) = (said_at IS NULL) AND (says IS NULL) = (sent_at IS NULL)),
    CONSTRAINT reason_is_known      CHECK (reason_code IN ('RRNA', 'FC', 'OTH')),
    CONSTRAINT state_fits_direction CHECK (CASE direction
           WHEN 'inbound'  THEN state = 'received'
           WHEN 'outbound' THEN state IN ('queued', 'held', 'sending', 'acknowledged', 'refused',
                                          'unconfirmed', 'not_sent', 'withdrawn')
           END),
    CONSTRAINT queued_has_a_time    CHECK ((state = 'queued')  = (next_attempt_at IS NOT NULL)),
    CONSTRAINT sending_has_a_lease  CHECK ((state = 'sending') = (claimed_until IS NOT NULL)),
    CONSTRAINT open_means_unsettled CHECK ((state IN ('queued', 'held', 'sending')) = (settled_at IS NULL)),
    CONSTRAINT not_sent_never_left  CHECK (state NOT IN ('not_sent', 'withdrawn') OR attempts = 0)
) STRICT;
CREATE UNIQUE INDEX messages_once    ON messages (request_id, provider, direction);
CREATE UNIQUE INDEX messages_same    ON messages (provider, fingerprint)
    WHERE direction = 'outbound' AND resend_of IS NULL AND submission_id IS NULL;
CREATE UNIQUE INDEX messages_handed  ON messages (provider, submission_id) WHERE submission_id IS NOT NULL;
CREATE INDEX        messages_bundle  ON messages (bundle_id, provider);
CREATE INDEX        messages_due     ON messages (urgent, provider, next_attempt_at, id)  WHERE state = 'queued';
CREATE INDEX        messages_waiting ON messages (urgent, provider, receiver, next_attempt_at, id) WHERE state = 'queued';
CREATE INDEX        messages_tried   ON messages (receiver, provider, next_attempt_at)    WHERE state = 'queued' AND attempts > 0;
CREATE INDEX        messages_flying  ON messages (receiver, claimed_until)                WHERE state = 'sending';
CREATE INDEX        messages_open    ON messages (provider, correlation_id, receiver, id) WHERE settled_at IS NULL;
CREATE INDEX        messages_ageing  ON messages (give_up_at)                             WHERE settled_at IS NULL;
CREATE INDEX        messages_late    ON messages (delay_due_at)                           WHERE settled_at IS NULL AND delay_due_at IS NOT NULL;
CREATE INDEX        messages_unread  ON messages (read_due_at, id)                        WHERE state = 'queued' AND read_due_at IS NOT NULL;
CREATE INDEX        messages_to_find ON messages (reconcile_at)                           WHERE reconcile_at IS NOT NULL;
CREATE INDEX        messages_of      ON messages (workflow_id, id);
CREATE INDEX        messages_booked  ON messages (workflow_id, id)                        WHERE appointment_until IS NOT NULL;
CREATE INDEX        messages_states  ON messages (direction, state);
CREATE INDEX        messages_resent  ON messages (resend_of)                              WHERE resend_of IS NOT NULL;
-- For people who look: by what they know of a message, and how old what waits is for each Receiver.
CREATE INDEX        messages_talk    ON messages (correlation_id, id);
CREATE INDEX        messages_to      ON messages (receiver, id)                           WHERE direction = 'outbound';
CREATE INDEX        messages_from    ON messages (sender, id)                             WHERE direction = 'inbound';
CREATE INDEX        messages_case    ON messages (reference)                              WHERE reference IS NOT NULL;
CREATE INDEX        messages_taken   ON messages (created_at);
CREATE INDEX        messages_use     ON messages (use_case);
CREATE INDEX        messages_backlog ON messages (receiver, provider, created_at, settled_at, state, workflow_id) WHERE settled_at IS NULL;
CREATE INDEX        messages_trouble ON messages (trouble)                                WHERE trouble IS NOT NULL;
CREATE INDEX        messages_fault   ON messages (fault)                                  WHERE fault IS NOT NULL;
CREATE INDEX        messages_grouped ON messages (trouble, receiver, state)               WHERE trouble IS NOT NULL;

CREATE TABLE links (                            -- two workflows that belong together
    workflow_id INTEGER NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,  -- the one whose request says so
    to_id       INTEGER NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,  -- the earlier one
    kind        TEXT NOT NULL,
    by          TEXT NOT NULL,                  -- what says so: an element of the Bundle, or the conversation
    message_id  INTEGER REFERENCES messages (id) ON DELETE SET NULL,  -- the request; NULL once it is purged
    made_at     TEXT NOT NULL,
    PRIMARY KEY (workflow_id, to_id),
    CONSTRAINT link_kind_is_known CHECK (kind IN ('pair', 'onward', 'replacement', 'record', 'one_record')),
    CONSTRAINT link_by_is_known   CHECK (by IN ('ServiceRequest.supportingInfo', 'Appointment.basedOn',
                                                'Encounter.episodeOfCare', 'X-Correlation-Id',
                                                'resend', 'likeness', 'focus_id')),
    CONSTRAINT linked_to_another  CHECK (workflow_id <> to_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_back ON links (to_id);
CREATE INDEX links_of   ON links (message_id);

CREATE TABLE payloads (                         -- apart from messages, so that it can be purged first
    message_id  INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    part        TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    headers     TEXT NOT NULL,                  -- as on the wire, without Authorization
    encoding    TEXT NOT NULL,                  -- how `body` is kept here; the wire's bytes come out of it
    body        BLOB NOT NULL,                  -- encrypted: it says itself by which key (keyring.py)
    digest      TEXT NOT NULL,                  -- SHA-256 of media type, headers and the wire's bytes: a disk may spoil them
    PRIMARY KEY (message_id, part),
    CONSTRAINT part_is_known     CHECK (part IN ('request', 'answer', 'unproven')),
    CONSTRAINT encoding_is_known CHECK (encoding IN ('identity', 'zstd', 'encrypted'))
) STRICT;

CREATE TABLE attempts (                         -- one POST
    message_id  INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    receiver    TEXT NOT NULL,                  -- of the message: by it the last words of each Receiver are found
    started_at  TEXT NOT NULL,
    ended_at    TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    verdict_row TEXT NOT NULL,                  -- the row of the verdict table that decided
    fault       TEXT,                           -- SEND, PROXY, REC or HERE
    http_status INTEGER,                        -- NULL: nothing came back
    code        TEXT,                           -- REC_TIMEOUT, PROXY_NOT_FOUND, …
    issue       TEXT,                           -- FHIR IssueType
    ids_echoed  INTEGER NOT NULL,
    table_version INTEGER NOT NULL,             -- of the verdict table, as it was then
    PRIMARY KEY (message_id, number),
    CONSTRAINT verdict_is_known CHECK (verdict IN ('acknowledged', 'retry', 'retry_limited', 'unconfirmed', 'refused',
                                                   'unauthorized', 'forbidden')),
    CONSTRAINT fault_is_known   CHECK (fault IN ('SEND', 'PROXY', 'REC', 'HERE'))
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_started ON attempts (started_at);
CREATE INDEX attempts_to      ON attempts (receiver, verdict_row, started_at);

CREATE TABLE hours (                            -- what went each way in an hour, counted as it happens: for the page alone
    direction   TEXT NOT NULL,
    hour        TEXT NOT NULL,                  -- how its instants begin: 2026-03-02T09
    flowed      INTEGER NOT NULL DEFAULT 0,     -- outbound: attempts that were acknowledged; inbound: messages received
    last_at     TEXT,                           -- the last of them
    asked       INTEGER NOT NULL DEFAULT 0,     -- outbound: attempts
    within_2100 INTEGER NOT NULL DEFAULT 0,     -- of these, how many were answered within so many milliseconds
    within_5000 INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (direction, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE uptime (                           -- how long the gateway was up in each hour: for the page alone
    hour           TEXT PRIMARY KEY,            -- how its instants begin: 2026-03-02T09
    first_at       TEXT NOT NULL,               -- when it was first known to be up in it
    last_at        TEXT NOT NULL,               -- and last
    up_ms          INTEGER NOT NULL,            -- for how many milliseconds
    database_bytes INTEGER NOT NULL             -- how large the database was at first
) STRICT, WITHOUT ROWID;

CREATE TABLE tallies (                          -- how many there are in each state, counted as they come and move
    of          TEXT NOT NULL,                  -- outbound and inbound: messages; workflow; open: messages by Receiver; notice: those not collected, by provider
    state       TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (of, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (                            -- what was asked of the platform in the last minute
    began_at    TEXT NOT NULL,
    provider    TEXT NOT NULL,
    n           INTEGER NOT NULL,               -- how many began at that moment
    PRIMARY KEY (began_at, provider)
) STRICT, WITHOUT ROWID;

CREATE TABLE breaks (                           -- whom we back off from, until an answer comes
    name        TEXT NOT NULL PRIMARY KEY,      -- a Receiver (system|value), a provider that the proxy keeps out, or what store.breaks calls what we need ourselves
    since       TEXT NOT NULL                   -- nothing came
) STRICT, WITHOUT ROWID;

CREATE TABLE pauses (                           -- for whom what was never tried waits, however many messages that are
    name        TEXT NOT NULL PRIMARY KEY,      -- a Receiver (system|value), or a provider
    until       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (                          -- what we owe the EPR
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    provider     TEXT NOT NULL,
    kind         TEXT NOT NULL,
    message_id   INTEGER NOT NULL REFERENCES messages (id),
    remarks      TEXT NOT NULL DEFAULT '',      -- standard.remarks, of a response: late, out_of_order, …
    created_at   TEXT NOT NULL,
    collected_at TEXT,
    kept_back_at TEXT,                          -- when giving it to the EPR hit an internal error; NULL again at a start
    CONSTRAINT kind_is_known CHECK (kind IN ('message', 'outcome', 'delayed', 'due_soon', 'overdue', 'reconciled',
                                             'cancel_not_sent', 'cancel_turned_away', 'amended', 'decided_late',
                                             'held', 'released', 'retried', 'resent'))
) STRICT;
CREATE INDEX notices_pending ON notices (provider, id) WHERE collected_at IS NULL;
CREATE INDEX notices_kept    ON notices (id) WHERE kept_back_at IS NOT NULL;
CREATE INDEX notices_of      ON notices (message_id);

CREATE TABLE questions (                        -- what the EPR is asked while the proxy waits
    id             INTEGER PRIMARY KEY AUTOINCREMENT,   -- the EPR's key: never used twice
    provider       TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    operation      TEXT NOT NULL,               -- $process-message, GET Slot, …
    changes        INTEGER NOT NULL,            -- 0: a read, which is forgotten soon
    fingerprint    TEXT NOT NULL,               -- of what is asked
    bundle_id      TEXT,                        -- NULL: it is no message
    about          TEXT NOT NULL,               -- JSON: the message's ids, or the parameters of a read
    state          TEXT NOT NULL,
    asked_at       TEXT NOT NULL,
    answer_by      TEXT NOT NULL,               -- until then the proxy waits
    alarm_at       TEXT,                        -- when to tell the operator that nobody has answered; NULL once told
    decided_at     TEXT,
    accepted       INTEGER,
    http_status    INTEGER,                     -- what the Sender is answered
    answer_code    TEXT,
    answer_type    TEXT,
    answer         BLOB,                        -- NULL for a message that was taken: it is with the message
    heard_at       TEXT,                        -- when the Sender heard, on a retry, what was decided too late
    answered_with  TEXT,                        -- SHA-256 of the EPR's words: the same again is no second answer
    message_id     INTEGER REFERENCES messages (id),
    media_type     TEXT,                        -- the request, until it is decided
    headers        TEXT,
    encoding       TEXT,
    body           BLOB,
    CONSTRAINT question_state_is_known    CHECK (state IN ('open', 'answered')),
    CONSTRAINT question_encoding_is_known CHECK (encoding IN ('identity', 'zstd', 'encrypted')),
    CONSTRAINT answered_is_decided        CHECK ((state = 'answered') = (decided_at IS NOT NULL)),
    CONSTRAINT decided_has_an_answer      CHECK ((decided_at IS NULL) = (http_status IS NULL)),
    CONSTRAINT open_message_has_its_bytes CHECK (state <> 'open' OR bundle_id IS NULL OR body IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX questions_once   ON questions (provider, request_id, fingerprint);
CREATE INDEX        questions_open   ON questions (provider, id)        WHERE state = 'open';
CREATE INDEX        questions_bundle ON questions (provider, bundle_id) WHERE state = 'open' AND bundle_id IS NOT NULL;
CREATE INDEX        questions_alarms ON questions (alarm_at)            WHERE alarm_at IS NOT NULL;
CREATE INDEX        questions_reads  ON questions (asked_at)            WHERE changes = 0;
CREATE INDEX        questions_talk   ON questions (correlation_id);
CREATE INDEX        questions_of     ON questions (message_id)          WHERE message_id IS NOT NULL;

CREATE TABLE ledger (                           -- every X-Request-Id that was answered for good, or is being answered
    provider    TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,                  -- the same id with other bytes is a conflict, unless
    said        TEXT,                           -- they say the same: what a message says; null: not known
    state       TEXT NOT NULL,
    question_id INTEGER REFERENCES questions (id),  -- where the EPR decides
    message_id  INTEGER REFERENCES messages (id),   -- done: the message that it was
    http_status INTEGER,                        -- refused: the answer, to be repeated
    media_type  TEXT,
    answer      BLOB,
    rules       TEXT,                           -- refused: by which rules
    created_at  TEXT NOT NULL,
    expires_at  TEXT,
    refusal     INTEGER,                        -- refused: its number, given once; NULL: it is none
    CONSTRAINT ledger_state_is_known  CHECK (state IN ('processing', 'done', 'refused', 'gone')),
    CONSTRAINT processing_has_a_question CHECK (state <> 'processing' OR question_id IS NOT NULL),
    CONSTRAINT done_has_a_message     CHECK (state <> 'done' OR message_id IS NOT NULL OR question_id IS NOT NULL),
    CONSTRAINT only_done_is_a_message CHECK (state = 'done' OR message_id IS NULL),
    CONSTRAINT refused_has_an_answer  CHECK ((state = 'refused') = (answer IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX ledger_once ON ledger (provider, request_id);
CREATE INDEX ledger_of    ON ledger (message_id)  WHERE message_id IS NOT NULL;
CREATE INDEX ledger_asked ON ledger (question_id) WHERE question_id IS NOT NULL;
CREATE INDEX ledger_refusals ON ledger (refusal)  WHERE refusal IS NOT NULL;

CREATE TABLE sent_before (                      -- the bytes of a message of ours that was purged: never sent anew
    provider    TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    submission_id TEXT,                         -- the EPR's own key, where it had one
    request_id  TEXT NOT NULL,
    settled_at  TEXT NOT NULL,
    PRIMARY KEY (provider, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_before_as ON sent_before (provider, submission_id) WHERE submission_id IS NOT NULL;

CREATE TABLE quarantine (                       -- what came and could not be tied to a workflow
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    provider        TEXT NOT NULL,
    request_id      TEXT NOT NULL,
    correlation_id  TEXT NOT NULL,
    bundle_id       TEXT NOT NULL,
    responds_to     TEXT,
    sender          TEXT NOT NULL,
    receiver        TEXT NOT NULL,
    reason          TEXT NOT NULL,              -- our word for it: orphan, ambiguous, inconsistent
    fingerprint     TEXT NOT NULL,
    media_type      TEXT NOT NULL,
    headers         TEXT NOT NULL,
    encoding        TEXT NOT NULL,
    body            BLOB NOT NULL,
    created_at      TEXT NOT NULL,
    attached_to     INTEGER REFERENCES workflows (id),  -- once an operator has said where it belongs
    CONSTRAINT quarantine_encoding_is_known CHECK (encoding IN ('identity', 'zstd', 'encrypted'))
) STRICT;
CREATE INDEX quarantine_attached ON quarantine (attached_to) WHERE attached_to IS NOT NULL;
CREATE INDEX quarantine_open ON quarantine (provider, id) WHERE attached_to IS NULL;
CREATE INDEX quarantine_named ON quarantine (provider, request_id);
CREATE INDEX quarantine_talk ON quarantine (correlation_id);
CREATE INDEX quarantine_answers ON quarantine (responds_to, provider) WHERE attached_to IS NULL;

CREATE TABLE events (                           -- the audit trail; append-only, no payloads
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    provider    TEXT,                           -- NULL: refused before we knew whose it was
    kind        TEXT NOT NULL,                  -- message.queued, inbound.refused, operator.released, …
    message_id  INTEGER,                        -- not a foreign key: events outlive messages
    request_id  TEXT,
    detail      TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX events_of     ON events (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX events_about  ON events (request_id) WHERE message_id IS NULL AND request_id IS NOT NULL;
CREATE INDEX events_at     ON events (at);
CREATE INDEX events_done   ON events (at)         WHERE substr(kind, 1, 8) <> 'message.';
CREATE INDEX events_proof  ON events (kind, id)   WHERE kind IN ('audit.sealed', 'audit.anchored', 'audit.verified', 'operator.restored');

CREATE TABLE chain (                            -- what shows that the audit trail is as it was written: docs/records.md
    line        INTEGER PRIMARY KEY,            -- the event's id. No foreign key: where it begins, that event is removed
    hash        TEXT NOT NULL                   -- SHA-256 of the hash before it and of the digest of this event
) STRICT;
CREATE TABLE anchors (                          -- up to where the oldest lines may be removed, as a line of the trail says
    through     INTEGER PRIMARY KEY,            -- the last of them
    line        INTEGER NOT NULL                -- the event that says so, under which rule, and with which hash
) STRICT;

CREATE TABLE reports (                          -- what was done beside the gateway and is entered in the trail
    name        TEXT PRIMARY KEY                -- of the file that reported it
) STRICT, WITHOUT ROWID;

CREATE TABLE in_force (                         -- settings, keys and certificates as they were last, to tell what has changed
    name        TEXT PRIMARY KEY,               -- as in `setting: outbound.proxy_url`, `key: trust`
    what        TEXT NOT NULL                   -- a fingerprint; of a setting and a user, what a key of this machine makes of it
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm_kinds (                      -- which kinds of event are alarming: model/alarms.py, entered at each start
    kind        TEXT PRIMARY KEY,
    about       TEXT NOT NULL,                  -- what one standing alarm is kept for
    CONSTRAINT about_is_known CHECK (about IN ('message', 'workflow', 'request', 'place'))
) STRICT, WITHOUT ROWID;
CREATE TABLE alarm_ends (                       -- and which events about the same thing settle them
    event       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    PRIMARY KEY (event, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarms (                           -- what a person has to see, until somebody has
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- by which people name it: never used twice
    event_id    INTEGER NOT NULL,               -- the event that raised it
    kind        TEXT NOT NULL,                  -- of that event
    about       TEXT NOT NULL,                  -- one of a kind stands for each of these
    provider    TEXT,
    message_id  INTEGER,                        -- not foreign keys: alarms outlive messages
    workflow_id INTEGER,
    request_id  TEXT,
    since       TEXT NOT NULL,                  -- when the first of those that it supersedes was raised
    times       INTEGER NOT NULL,               -- how often it was raised since
    ended_at    TEXT,
    ended_how   TEXT,
    ended_by    TEXT,                           -- who marked it as handled
    why         TEXT,
    CONSTRAINT ended_how_is_known  CHECK (ended_how IN ('handled', 'settled', 'superseded')),
    CONSTRAINT ended_somehow       CHECK ((ended_at IS NULL) = (ended_how IS NULL)),
    CONSTRAINT handled_by_somebody CHECK ((ended_how IS 'handled') = (ended_by IS NOT NULL AND why IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX alarms_standing ON alarms (about, kind)           WHERE ended_at IS NULL;
CREATE INDEX        alarms_counted  ON alarms (kind, id)              WHERE ended_at IS NULL;
CREATE INDEX        alarms_named    ON alarms (request_id, provider)  WHERE ended_at IS NULL;
CREATE INDEX        alarms_of       ON alarms (message_id)            WHERE ended_at IS NULL AND message_id IS NOT NULL;
CREATE INDEX        alarms_raised   ON alarms (event_id)                WHERE ended_at IS NULL;
CREATE INDEX        alarms_broken   ON alarms (about)                   WHERE kind = 'audit.broken';
CREATE INDEX        alarms_in       ON alarms (workflow_id)           WHERE ended_at IS NULL AND workflow_id IS NOT NULL;
CREATE INDEX        alarms_since    ON alarms (since);

CREATE TABLE alerts (                           -- what somebody is told of beyond this machine, while it stands
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- by which people name it: never used twice
    code        TEXT NOT NULL,                  -- of its runbook
    about       TEXT NOT NULL,                  -- which of its kind; never told
    says        TEXT NOT NULL,                  -- codes, counts, names from the settings: no id, nothing of a message
    urgent      INTEGER NOT NULL,
    mark        INTEGER NOT NULL,               -- grows as it grows worse
    kept_by     TEXT,                           -- a name in `breaks` by which it stands over a restart
    opened_at   TEXT NOT NULL,
    told_at     TEXT NOT NULL,                  -- when it was last decided to tell of it
    told_mark   INTEGER NOT NULL,
    acknowledged_at   TEXT,
    acknowledged_by   TEXT,
    acknowledged_why  TEXT,
    acknowledged_mark INTEGER,                  -- how bad it was then: what is worse is news again
    resolved_at TEXT,
    CONSTRAINT acknowledged_by_somebody CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)
                                           AND (acknowledged_at IS NULL) = (acknowledged_why IS NULL)
                                           AND (acknowledged_at IS NULL) = (acknowledged_mark IS NULL))
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (code, about) WHERE resolved_at IS NULL;

CREATE TABLE deliveries (                       -- what is to be told by one channel, at least once
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id     INTEGER NOT NULL REFERENCES alerts (id),
    step         TEXT NOT NULL,
    channel      TEXT NOT NULL,
    decided_at   TEXT NOT NULL,
    due_at       TEXT NOT NULL,                 -- not before: a digest, maintenance, or a pause after a failure
    attempts     INTEGER NOT NULL DEFAULT 0,
    delivered_at TEXT,
    CONSTRAINT step_is_known    CHECK (step IN ('opened', 'reminded', 'resolved')),
    CONSTRAINT channel_is_known CHECK (channel IN ('journal', 'command', 'mail'))
) STRICT;
CREATE INDEX deliveries_due ON deliveries (channel, due_at) WHERE delivered_at IS NULL;
CREATE INDEX deliveries_of  ON deliveries (alert_id, channel);
CREATE INDEX deliveries_told ON deliveries (delivered_at) WHERE delivered_at IS NOT NULL;

CREATE TABLE subjects (                         -- by whom what is stored is found: keyed hashes of NHS numbers
    hash          TEXT NOT NULL,
    key_id        TEXT NOT NULL,                -- of the key ring
    message_id    INTEGER REFERENCES messages (id) ON DELETE CASCADE,
    question_id   INTEGER REFERENCES questions (id) ON DELETE CASCADE,
    quarantine_id INTEGER REFERENCES quarantine (id) ON DELETE CASCADE,
    CONSTRAINT subject_of_one_thing CHECK ((message_id IS NOT NULL) + (question_id IS NOT NULL)
                                           + (quarantine_id IS NOT NULL) = 1)
) STRICT;
CREATE INDEX        subjects_found      ON subjects (hash);
CREATE UNIQUE INDEX subjects_message    ON subjects (message_id, hash)    WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX subjects_question   ON subjects (question_id, hash)   WHERE question_id IS NOT NULL;
CREATE UNIQUE INDEX subjects_quarantine ON subjects (quarantine_id, hash) WHERE quarantine_id IS NOT NULL;

CREATE TABLE keyring (                          -- the keys by which something here is encrypted, or was
    key_id      TEXT PRIMARY KEY,
    proof       BLOB NOT NULL,                  -- what only this key opens
    since       TEXT NOT NULL,                  -- when it was first used here
    done_at     TEXT                            -- when nothing was encrypted by it any more; NULL: it is needed
) STRICT;

CREATE TABLE encryption (                          -- one row: how everything is to be encrypted, and how far that has come
    id          INTEGER PRIMARY KEY,
    wanted      TEXT NOT NULL DEFAULT '',       -- the keys that encrypt and that hash; '': none
    place       TEXT,                           -- what is gone through now; NULL: everything is as wanted
    reached     TEXT NOT NULL DEFAULT '[]',     -- JSON: the key of the last row there that was
    changed     INTEGER NOT NULL DEFAULT 0,     -- how many rows were encrypted anew, so far
    left_over   INTEGER NOT NULL DEFAULT 0,     -- and how many could not be opened
    began_at    TEXT,
    ended_at    TEXT,
    CONSTRAINT one_encryption CHECK (id = 1)
) STRICT;
INSERT INTO encryption (id) VALUES (1);

CREATE TABLE soundness (                        -- one row: what is known of the file itself
    id          INTEGER PRIMARY KEY,
    stopped     INTEGER NOT NULL DEFAULT 0,     -- 1: nothing was written since an orderly stop
    began_at    TEXT,                           -- when the last whole comparison began; NULL: there was none
    ended_at    TEXT,                           -- and ended; NULL: it has not
    found       TEXT NOT NULL DEFAULT '[]',     -- JSON: what it found
    CONSTRAINT one_row         CHECK (id = 1),
    CONSTRAINT ended_had_begun CHECK (ended_at IS NULL OR began_at IS NOT NULL)
) STRICT;
INSERT INTO soundness (id) VALUES (1);

CREATE TABLE unindexed (                        -- messages that an index lacks, until it is rebuilt
    message_id  INTEGER NOT NULL,               -- not a foreign key: the row itself may be in doubt
    missing_in  TEXT NOT NULL,                  -- the index
    PRIMARY KEY (message_id, missing_in)
) STRICT, WITHOUT ROWID;

CREATE TABLE record_holds (                     -- what a person keeps from every purge, and why
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    provider      TEXT NOT NULL,
    workflow_id   INTEGER,                      -- with all its messages. Not foreign keys: holds outlive what was held
    quarantine_id INTEGER,
    held_at       TEXT NOT NULL,
    held_by       TEXT NOT NULL,
    why           TEXT NOT NULL,
    released_at   TEXT,
    released_by   TEXT,
    released_why  TEXT,
    CONSTRAINT holds_one_thing      CHECK ((workflow_id IS NULL) <> (quarantine_id IS NULL)),
    CONSTRAINT released_by_somebody CHECK ((released_at IS NULL) = (released_by IS NULL)
                                       AND (released_at IS NULL) = (released_why IS NULL))
) STRICT;
CREATE UNIQUE INDEX record_holds_of   ON record_holds (workflow_id)   WHERE released_at IS NULL AND workflow_id IS NOT NULL;
CREATE UNIQUE INDEX record_holds_kept ON record_holds (quarantine_id) WHERE released_at IS NULL AND quarantine_id IS NOT NULL;

CREATE TABLE purges (                           -- what was removed for its age, by whose word: a certificate each
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    provider    TEXT,                           -- NULL: every provider's
    began_by    TEXT NOT NULL,
    why         TEXT NOT NULL,
    rules       TEXT NOT NULL,                  -- JSON: the times that were set, as model.retention has them
    began_at    TEXT NOT NULL,                  -- by the clock
    counts_to   TEXT NOT NULL,                  -- ages are counted to this moment: earlier, where the clock may be ahead
    ended_at    TEXT,                           -- NULL: it goes on, after a restart too
    removing    INTEGER NOT NULL DEFAULT 0,     -- 1 within the transaction that removes, and never in what is committed
    CONSTRAINT ended_removes_nothing CHECK (ended_at IS NULL OR removing = 0)
) STRICT;
CREATE INDEX        purges_open     ON purges (id)               WHERE ended_at IS NULL;
CREATE INDEX        purges_ended    ON purges (id)               WHERE ended_at IS NOT NULL AND provider IS NULL;
CREATE INDEX        purges_removing ON purges (id)               WHERE removing = 1;

CREATE TABLE purged_classes (                   -- of one purge: how far it is with a class, and what it has removed
    purge_id    INTEGER NOT NULL REFERENCES purges (id),
    class       TEXT NOT NULL,                  -- model.retention.RecordClass
    reached     INTEGER NOT NULL,               -- the last number that was judged
    n           INTEGER NOT NULL,               -- how many were removed
    by_rule     TEXT NOT NULL,                  -- JSON: how many by which rule
    digest      TEXT NOT NULL,                  -- SHA-256 over the ids, one after the other
    ended_at    TEXT,                           -- NULL: there may be more
    PRIMARY KEY (purge_id, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE purged (                           -- their numbers, those that follow each other as one row
    class       TEXT NOT NULL,
    first       INTEGER NOT NULL,
    purge_id    INTEGER NOT NULL REFERENCES purges (id),
    last        INTEGER NOT NULL,
    PRIMARY KEY (class, first, purge_id),
    CONSTRAINT first_comes_first CHECK (first <= last)
) STRICT, WITHOUT ROWID;
CREATE INDEX purged_by ON purged (purge_id, class, first);

CREATE VIEW appointments AS                     -- until when the appointment of a workflow is to come; NULL: it has none
SELECT w.id AS workflow_id,
       -- The last word that has arrived holds, and whatever came after it, for that may arrive yet.
       (SELECT max(CASE WHEN m.appointment_until <> 'unread' THEN m.appointment_until
                        WHEN m.appointment_until = 'unread' AND w.request_type = 'booking'
                        THEN strftime('%Y-%m-%dT%H:%M:%fZ', m.created_at, '+366 days') END)
          FROM messages AS m
         WHERE m.workflow_id = w.id AND m.appointment_until IS NOT NULL
           AND m.id >= coalesce((SELECT max(said.id) FROM messages AS said
                                  WHERE said.workflow_id = w.id AND said.appointment_until IS NOT NULL
                                    AND said.appointment_until <> 'unread'
                                    AND said.state IN ('received', 'acknowledged') AND said.patient IS NOT 'other'), 0)) AS until
  FROM workflows AS w;

CREATE VIEW at_rest AS                          -- whose a workflow is, when the last of it was settled, and which was its last
SELECT w.id AS workflow_id, w.provider, w.use_case, w.state,
       max(coalesce(w.closed_at, ''),
           coalesce((SELECT max(max(m.created_at, coalesce(m.settled_at, ''))) FROM messages AS m WHERE m.workflow_id = w.id),
                    w.opened_at)) AS rested_at,
       (SELECT max(m.id) FROM messages AS m WHERE m.workflow_id = w.id) AS last_id,
       nullif(max(coalesce((SELECT a.until FROM appointments AS a WHERE a.workflow_id = w.id), ''),  -- its own, or of what it is linked to
                  coalesce((SELECT max(a.until) FROM links AS l CROSS JOIN appointments AS a ON a.workflow_id = l.to_id
                             WHERE l.workflow_id = w.id), ''),
                  coalesce((SELECT max(a.until) FROM links AS l CROSS JOIN appointments AS a ON a.workflow_id = l.workflow_id
                             WHERE l.to_id = w.id), '')), '') AS appointment_until
  FROM workflows AS w;

CREATE VIEW kept AS                             -- why nothing of a workflow may be purged; NULL: it may, in its time
SELECT w.id AS workflow_id,
       CASE WHEN EXISTS (SELECT 1 FROM record_holds AS h WHERE h.workflow_id = w.id AND h.released_at IS NULL) THEN 'held'
            -- What asks for no answer stays active for good: it is at rest. Nobody knows how the others end.
            WHEN w.closed_at IS NULL AND (w.state <> 'active' OR w.answer_due_at IS NOT NULL) THEN 'open'
            WHEN EXISTS (SELECT 1 FROM messages AS m
                          WHERE m.workflow_id = w.id AND (m.settled_at IS NULL OR m.reconcile_at IS NOT NULL)) THEN 'unsettled'
            WHEN EXISTS (SELECT 1 FROM messages AS m CROSS JOIN notices AS n ON n.message_id = m.id
                          WHERE m.workflow_id = w.id AND n.collected_at IS NULL) THEN 'uncollected'
            WHEN EXISTS (SELECT 1 FROM alarms AS a WHERE a.workflow_id = w.id AND a.ended_at IS NULL)
              OR EXISTS (SELECT 1 FROM messages AS m CROSS JOIN alarms AS a
                             ON a.request_id = m.request_id AND a.provider = m.provider
                          WHERE m.workflow_id = w.id AND a.ended_at IS NULL) THEN 'alarmed'
            WHEN EXISTS (SELECT 1 FROM questions AS q INDEXED BY questions_talk
                          WHERE q.correlation_id = w.correlation_id AND q.provider = w.provider AND q.state = 'open')
            THEN 'asked'
            WHEN EXISTS (SELECT 1 FROM quarantine AS q INDEXED BY quarantine_talk
                          WHERE q.correlation_id = w.correlation_id AND q.provider = w.provider AND q.attached_to IS NULL)
              OR EXISTS (SELECT 1 FROM messages AS m CROSS JOIN quarantine AS q
                             ON q.responds_to = m.bundle_id AND q.provider = m.provider
                          WHERE m.workflow_id = w.id AND q.attached_to IS NULL) THEN 'quarantined'
            WHEN EXISTS (SELECT 1 FROM links AS l CROSS JOIN workflows AS o ON o.id = l.to_id
                          WHERE l.workflow_id = w.id
                            AND o.closed_at IS NULL AND (o.state <> 'active' OR o.answer_due_at IS NOT NULL))
              OR EXISTS (SELECT 1 FROM links AS l CROSS JOIN workflows AS o ON o.id = l.workflow_id
                          WHERE l.to_id = w.id
                            AND o.closed_at IS NULL AND (o.state <> 'active' OR o.answer_due_at IS NOT NULL))
            THEN 'linked'
            -- By the moment that the purge which removes counts to: whoever only looks has that moment himself.
            WHEN (SELECT min(id) FROM purges WHERE removing = 1) IS NOT NULL
             AND (SELECT r.appointment_until FROM at_rest AS r WHERE r.workflow_id = w.id)
                 >= (SELECT p.counts_to FROM purges AS p WHERE p.id = (SELECT min(id) FROM purges WHERE removing = 1)) THEN 'appointment' END AS why
  FROM workflows AS w;

CREATE VIEW kept_quarantine AS                  -- the same of what lies in quarantine: until somebody has looked at it
SELECT q.id AS quarantine_id,
       CASE WHEN EXISTS (SELECT 1 FROM record_holds AS h WHERE h.quarantine_id = q.id AND h.released_at IS NULL) THEN 'held'
            WHEN EXISTS (SELECT 1 FROM record_holds AS h WHERE h.workflow_id = q.attached_to AND h.released_at IS NULL)
            THEN 'held'
            -- Of a conversation that is held, as far as anybody can tell.
            WHEN EXISTS (SELECT 1 FROM workflows AS w CROSS JOIN record_holds AS h ON h.workflow_id = w.id
                          WHERE w.correlation_id = q.correlation_id AND w.provider = q.provider AND h.released_at IS NULL)
              OR EXISTS (SELECT 1 FROM messages AS m CROSS JOIN record_holds AS h ON h.workflow_id = m.workflow_id
                          WHERE m.bundle_id = q.responds_to AND m.provider = q.provider AND h.released_at IS NULL)
            THEN 'held'
            WHEN EXISTS (SELECT 1 FROM alarms AS a
                          WHERE a.request_id = q.request_id AND a.provider = q.provider AND a.ended_at IS NULL)
            THEN 'alarmed' END AS why
  FROM quarantine AS q;

CREATE VIEW kept_alarms AS                      -- of an alarm: for as long as what it is about
SELECT a.id AS alarm_id,
       CASE WHEN a.ended_at IS NULL THEN 'alarmed'
            WHEN a.kind = 'audit.broken' THEN 'told_once'  -- a place of the trail: it is never raised again
            ELSE coalesce((SELECT k.why FROM kept AS k WHERE k.workflow_id = a.workflow_id),
                          (SELECT min(k.why) FROM quarantine AS q CROSS JOIN kept_quarantine AS k ON k.quarantine_id = q.id
                            WHERE q.provider = a.provider AND q.request_id = a.request_id)) END AS why
  FROM alarms AS a;

CREATE VIEW kept_refusals AS                    -- of a refusal: for as long as the conversation, and what lies in quarantine
SELECT l.refusal,
       CASE WHEN EXISTS (SELECT 1 FROM quarantine AS q WHERE q.provider = l.provider AND q.request_id = l.request_id)
            THEN 'quarantined'
            WHEN EXISTS (SELECT 1 FROM alarms AS a
                          WHERE a.request_id = l.request_id AND a.provider = l.provider AND a.ended_at IS NULL) THEN 'alarmed'
            ELSE (SELECT min(k.why) FROM questions AS q CROSS JOIN workflows AS w CROSS JOIN kept AS k
                   WHERE q.id = l.question_id AND w.provider = q.provider AND w.correlation_id = q.correlation_id
                     AND k.workflow_id = w.id) END AS why
  FROM ledger AS l WHERE l.refusal IS NOT NULL;

CREATE VIEW alarms_seen AS                      -- an alarm with what people are shown of it
SELECT a.*, w.role, w.use_case, e.detail,
       (SELECT max(q.id) FROM quarantine AS q
         WHERE a.kind = 'inbound.quarantined' AND q.provider = a.provider AND q.request_id = a.request_id) AS quarantine_id
  FROM alarms AS a
  JOIN events AS e ON e.id = a.event_id
  LEFT JOIN workflows AS w ON w.id = a.workflow_id;

-- The history is written by the database, so that no code path can forget it.
CREATE TRIGGER messages_born AFTER INSERT ON messages BEGIN
    INSERT INTO events (at, provider, kind, message_id, request_id)
    VALUES (NEW.created_at, NEW.provider, 'message.' || NEW.state, NEW.id, NEW.request_id);
END;
CREATE TRIGGER messages_moved AFTER UPDATE OF state ON messages WHEN NEW.state <> OLD.state BEGIN
    INSERT INTO events (at, provider, kind, message_id, request_id)
    VALUES (coalesce(NEW.settled_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), NEW.provider, 'message.' || NEW.state,
            NEW.id, NEW.request_id);
END;
CREATE TRIGGER messages_tallied AFTER INSERT ON messages BEGIN
    INSERT INTO tallies (of, state, n) VALUES (NEW.direction, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER messages_tallied_anew AFTER UPDATE OF state ON messages WHEN NEW.state <> OLD.state BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = OLD.direction AND state = OLD.state;
    INSERT INTO tallies (of, state, n) VALUES (NEW.direction, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER messages_untallied AFTER DELETE ON messages BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = OLD.direction AND state = OLD.state;
END;
CREATE TRIGGER workflows_tallied AFTER INSERT ON workflows BEGIN
    INSERT INTO tallies (of, state, n) VALUES ('workflow', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER workflows_tallied_anew AFTER UPDATE OF state ON workflows WHEN NEW.state <> OLD.state BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = 'workflow' AND state = OLD.state;
    INSERT INTO tallies (of, state, n) VALUES ('workflow', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER workflows_untallied AFTER DELETE ON workflows BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = 'workflow' AND state = OLD.state;
END;
-- What waits may be a great deal: so how much it is for each Receiver, and for each EPR, is counted as well.
CREATE TRIGGER messages_opened AFTER INSERT ON messages WHEN NEW.settled_at IS NULL BEGIN
    INSERT INTO tallies (of, state, n) VALUES ('open', NEW.receiver, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER messages_settled AFTER UPDATE OF settled_at ON messages
          WHEN OLD.settled_at IS NULL AND NEW.settled_at IS NOT NULL BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = 'open' AND state = OLD.receiver;
END;
CREATE TRIGGER messages_reopened AFTER UPDATE OF settled_at ON messages
          WHEN OLD.settled_at IS NOT NULL AND NEW.settled_at IS NULL BEGIN
    INSERT INTO tallies (of, state, n) VALUES ('open', NEW.receiver, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER messages_gone AFTER DELETE ON messages WHEN OLD.settled_at IS NULL BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = 'open' AND state = OLD.receiver;
END;
CREATE TRIGGER notices_owed AFTER INSERT ON notices WHEN NEW.collected_at IS NULL BEGIN
    INSERT INTO tallies (of, state, n) VALUES ('notice', NEW.provider, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER notices_collected AFTER UPDATE OF collected_at ON notices
          WHEN OLD.collected_at IS NULL AND NEW.collected_at IS NOT NULL BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = 'notice' AND state = OLD.provider;
END;
CREATE TRIGGER notices_owed_again AFTER UPDATE OF collected_at ON notices
          WHEN OLD.collected_at IS NOT NULL AND NEW.collected_at IS NULL BEGIN
    INSERT INTO tallies (of, state, n) VALUES ('notice', NEW.provider, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER notices_gone AFTER DELETE ON notices WHEN OLD.collected_at IS NULL BEGIN
    UPDATE tallies SET n = n - 1 WHERE of = 'notice' AND state = OLD.provider;
END;
CREATE TRIGGER messages_counted AFTER INSERT ON messages WHEN NEW.direction = 'inbound' BEGIN
    INSERT INTO hours (direction, hour, flowed, last_at) VALUES ('inbound', substr(NEW.created_at, 1, 13), 1, NEW.created_at)
        ON CONFLICT DO UPDATE SET flowed = flowed + 1, last_at = max(coalesce(last_at, ''), NEW.created_at);
END;
CREATE TRIGGER attempts_counted AFTER INSERT ON attempts BEGIN
    UPDATE messages SET trouble = iif(NEW.verdict = 'acknowledged', NULL, coalesce(NEW.code, NEW.verdict_row)),
                        fault   = iif(NEW.verdict = 'acknowledged', NULL, NEW.fault)
     WHERE id = NEW.message_id AND (NEW.verdict <> 'acknowledged' OR trouble IS NOT NULL OR fault IS NOT NULL);
    INSERT INTO hours (direction, hour, flowed, last_at, asked, within_2100, within_5000)
    SELECT 'outbound', substr(NEW.ended_at, 1, 13), NEW.verdict = 'acknowledged',
           iif(NEW.verdict = 'acknowledged', NEW.ended_at, NULL), 1, took <= 2100, took <= 5000
      FROM (SELECT iif(NEW.http_status IS NULL, 1e9,
                       round((julianday(NEW.ended_at) - julianday(NEW.started_at)) * 86400000.0)) AS took)
     WHERE true
        ON CONFLICT DO UPDATE SET flowed = flowed + excluded.flowed, asked = asked + 1,
                                  last_at = max(coalesce(last_at, excluded.last_at), coalesce(excluded.last_at, last_at)),
                                  within_2100 = within_2100 + excluded.within_2100,
                                  within_5000 = within_5000 + excluded.within_5000;
END;
CREATE TRIGGER events_are_kept BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
-- But for the oldest, once a line of the trail itself says up to which they are removed, and by which rule.
CREATE TRIGGER events_stay BEFORE DELETE ON events
WHEN OLD.id > coalesce((SELECT max(through) FROM anchors), 0)
  OR EXISTS (SELECT 1 FROM alarms WHERE event_id = OLD.id AND ended_at IS NULL)
  OR EXISTS (SELECT 1 FROM messages AS m CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
              WHERE m.id = OLD.message_id AND k.why IS NOT NULL)
  OR EXISTS (SELECT 1 FROM quarantine AS q CROSS JOIN kept_quarantine AS k ON k.quarantine_id = q.id
              WHERE q.provider = OLD.provider AND q.request_id = OLD.request_id AND k.why IS NOT NULL) BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
CREATE TRIGGER chain_is_kept BEFORE UPDATE ON chain BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit trail is append-only');
END;
CREATE TRIGGER chain_stays BEFORE DELETE ON chain WHEN EXISTS (SELECT 1 FROM events WHERE id = OLD.line) BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit trail is append-only');
END;
CREATE TRIGGER anchors_are_told BEFORE INSERT ON anchors
WHEN NEW.through >= NEW.line OR NOT EXISTS (SELECT 1 FROM events WHERE id = NEW.line AND kind = 'audit.anchored') BEGIN
    SELECT RAISE(ABORT, 'no line of the audit trail says that these may be removed');
END;
CREATE TRIGGER anchors_are_kept BEFORE UPDATE ON anchors BEGIN
    SELECT RAISE(ABORT, 'the anchors of the audit trail are append-only');
END;
CREATE TRIGGER anchors_stay BEFORE DELETE ON anchors BEGIN
    SELECT RAISE(ABORT, 'the anchors of the audit trail are append-only');
END;

-- Alarms are raised and settled by the database, too. The same about the same thing again is a new alarm
-- under a new number: whoever saw the first has not seen that it was raised again.
CREATE TRIGGER events_alarm AFTER INSERT ON events WHEN EXISTS (SELECT 1 FROM alarm_kinds WHERE kind = NEW.kind) BEGIN
    INSERT INTO alarms (event_id, kind, about, provider, message_id, workflow_id, request_id, since, times)
    SELECT NEW.id, NEW.kind, it.about, NEW.provider, it.message_id, it.workflow_id, NEW.request_id,
           coalesce(before.since, NEW.at), coalesce(before.times, 0) + 1
      FROM (SELECT m.id AS message_id, m.workflow_id,
                   CASE WHEN k.about = 'place'
                        THEN 'place ' || coalesce(NEW.provider, '') || ' ' || NEW.detail
                        WHEN m.id IS NOT NULL AND k.about = 'workflow' THEN 'workflow ' || m.workflow_id
                        WHEN m.id IS NOT NULL AND k.about = 'message'  THEN 'message ' || m.id
                        WHEN NEW.request_id IS NOT NULL THEN 'request ' || coalesce(NEW.provider, '') || ' ' || NEW.request_id
                        ELSE 'event ' || NEW.id END AS about
              FROM alarm_kinds AS k
              LEFT JOIN messages AS m
                ON m.id = coalesce(NEW.message_id,
                                   (SELECT taken.id FROM messages AS taken
                                     WHERE taken.provider = NEW.provider AND taken.direction = 'inbound'
                                       AND taken.request_id = NEW.request_id))
             WHERE k.kind = NEW.kind) AS it
      LEFT JOIN alarms AS before ON before.about = it.about AND before.kind = NEW.kind AND before.ended_at IS NULL;
END;
CREATE TRIGGER alarms_supersede BEFORE INSERT ON alarms BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'superseded'
     WHERE about = NEW.about AND kind = NEW.kind AND ended_at IS NULL;
END;
CREATE TRIGGER events_settle AFTER INSERT ON events
WHEN NEW.message_id IS NOT NULL AND EXISTS (SELECT 1 FROM alarm_ends WHERE event = NEW.kind) BEGIN
    UPDATE alarms SET ended_at = NEW.at, ended_how = 'settled'
     WHERE ended_at IS NULL
       AND about IN ('message ' || NEW.message_id,
                     'workflow ' || (SELECT workflow_id FROM messages WHERE id = NEW.message_id))
       AND kind IN (SELECT kind FROM alarm_ends WHERE event = NEW.kind);
END;
CREATE TRIGGER workflows_answered AFTER UPDATE OF closed_at, answer_due_at ON workflows
WHEN (NEW.closed_at IS NOT NULL AND OLD.closed_at IS NULL) OR NEW.answer_due_at IS NOT OLD.answer_due_at BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'settled'
     WHERE about = 'workflow ' || NEW.id AND kind = 'workflow.overdue' AND ended_at IS NULL;
END;
-- Nothing goes on here of what its Sender could not cancel.
CREATE TRIGGER workflows_over AFTER UPDATE OF closed_at ON workflows
WHEN NEW.closed_at IS NOT NULL AND OLD.closed_at IS NULL BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'settled'
     WHERE about = 'workflow ' || NEW.id AND kind = 'cancel.turned_away' AND ended_at IS NULL;
END;
-- What lives again is owed an answer again: where its time has passed, that is told once more.
CREATE TRIGGER workflows_reopened AFTER UPDATE OF closed_at ON workflows
WHEN NEW.closed_at IS NULL AND OLD.closed_at IS NOT NULL BEGIN
    UPDATE workflows SET overdue_at = answer_due_at WHERE id = NEW.id;
END;
-- Something may yet take the place of what was cancelled: a new request, or one that is sent again.
CREATE TRIGGER links_replace AFTER INSERT ON links WHEN NEW.kind = 'replacement' BEGIN
    UPDATE alarms SET ended_at = NEW.made_at, ended_how = 'settled'
     WHERE ended_at IS NULL AND kind = 'workflow.unreplaced'
       AND message_id IN (SELECT message_id FROM links WHERE to_id = NEW.to_id AND kind = 'replacement'
                           UNION ALL
                          SELECT id FROM messages WHERE workflow_id = NEW.to_id);
END;
CREATE TRIGGER workflows_replace AFTER UPDATE OF state ON workflows
WHEN OLD.state IN ('refused', 'abandoned') AND NEW.state NOT IN ('refused', 'abandoned') BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'settled'
     WHERE ended_at IS NULL AND kind = 'workflow.unreplaced'
       AND message_id IN (SELECT other.message_id FROM links AS mine JOIN links AS other ON other.to_id = mine.to_id
                           WHERE mine.workflow_id = NEW.id AND mine.kind = 'replacement' AND other.kind = 'replacement'
                           UNION ALL
                          SELECT m.id FROM links AS mine JOIN messages AS m ON m.workflow_id = mine.to_id
                           WHERE mine.workflow_id = NEW.id AND mine.kind = 'replacement');
END;
-- Whatever became of what we asked before: the Receiver has it no more.
CREATE TRIGGER workflows_cancelled AFTER UPDATE OF state ON workflows
WHEN NEW.state = 'cancelled' AND OLD.state <> 'cancelled' BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'settled'
     WHERE ended_at IS NULL AND workflow_id = NEW.id
       AND kind IN ('message.unconfirmed', 'message.unreconciled', 'message.refused', 'message.not_sent')
       AND EXISTS (SELECT 1 FROM messages AS m
                    WHERE m.id = alarms.message_id AND m.direction = 'outbound' AND m.move IN ('request', 'update', 'cancel'));
END;
-- Of two records of one request there is one once nobody acts on the other, or none once both are over.
CREATE TRIGGER workflows_left_alone AFTER UPDATE OF state ON workflows
WHEN NEW.closed_at IS NOT NULL AND NEW.state <> OLD.state BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'settled'
     WHERE ended_at IS NULL AND kind = 'record.other'
       AND workflow_id IN (SELECT NEW.id
                            UNION ALL
                           SELECT to_id FROM links WHERE workflow_id = NEW.id AND kind = 'record'
                            UNION ALL
                           SELECT workflow_id FROM links WHERE to_id = NEW.id AND kind = 'record')
       AND NOT EXISTS (SELECT 1 FROM workflows AS own CROSS JOIN workflows AS o
                        WHERE own.id = alarms.workflow_id
                          AND o.id IN (SELECT to_id FROM links WHERE workflow_id = own.id AND kind = 'record'
                                        UNION ALL
                                       SELECT workflow_id FROM links WHERE to_id = own.id AND kind = 'record')
                          AND own.state NOT IN ('cancelled', 'declined', 'refused', 'abandoned')
                          AND o.state NOT IN ('cancelled', 'declined', 'refused', 'abandoned')
                          AND (own.closed_at IS NULL OR o.closed_at IS NULL));
END;
CREATE TRIGGER quarantine_attached_settles AFTER UPDATE OF attached_to ON quarantine WHEN NEW.attached_to IS NOT NULL BEGIN
    UPDATE alarms SET ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ended_how = 'settled'
     WHERE about = 'request ' || NEW.provider || ' ' || NEW.request_id AND kind = 'inbound.quarantined'
       AND ended_at IS NULL;
END;
CREATE TRIGGER questions_heard AFTER UPDATE OF heard_at ON questions WHEN NEW.heard_at IS NOT NULL BEGIN
    UPDATE alarms SET ended_at = NEW.heard_at, ended_how = 'settled'
     WHERE about = 'request ' || NEW.provider || ' ' || NEW.request_id AND kind = 'question.decided_late'
       AND ended_at IS NULL;
END;
CREATE TRIGGER questions_answered AFTER UPDATE OF state ON questions WHEN NEW.state = 'answered' BEGIN
    UPDATE alarms SET ended_at = NEW.decided_at, ended_how = 'settled'
     WHERE about = 'request ' || NEW.provider || ' ' || NEW.request_id AND kind = 'question.unanswered'
       AND ended_at IS NULL;
END;

-- A refusal has a number by which a purge names it; those that have left keep theirs.
CREATE TRIGGER refusals_numbered AFTER INSERT ON ledger WHEN NEW.state = 'refused' AND NEW.refusal IS NULL BEGIN
    UPDATE ledger SET refusal = 1 + max(coalesce((SELECT max(l.refusal) FROM ledger AS l WHERE l.refusal IS NOT NULL), 0),
                                        coalesce((SELECT p.last FROM purged AS p WHERE p.class = 'refusals'
                                                   ORDER BY p.first DESC LIMIT 1), 0))
     WHERE provider = NEW.provider AND request_id = NEW.request_id;
END;
CREATE TRIGGER refusals_numbered_anew AFTER UPDATE OF state ON ledger
WHEN NEW.state = 'refused' AND OLD.state <> 'refused' AND NEW.refusal IS NULL BEGIN
    UPDATE ledger SET refusal = 1 + max(coalesce((SELECT max(l.refusal) FROM ledger AS l WHERE l.refusal IS NOT NULL), 0),
                                        coalesce((SELECT p.last FROM purged AS p WHERE p.class = 'refusals'
                                                   ORDER BY p.first DESC LIMIT 1), 0))
     WHERE provider = NEW.provider AND request_id = NEW.request_id;
END;

-- Records leave by a purge alone, which writes down each; and nothing that is open, owed or held leaves at all.
CREATE TRIGGER payloads_stay BEFORE DELETE ON payloads BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM messages AS m CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
     WHERE m.id = OLD.message_id AND k.why IS NOT NULL;
END;
CREATE TRIGGER messages_stay BEFORE DELETE ON messages BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM kept AS k WHERE k.workflow_id = OLD.workflow_id AND k.why IS NOT NULL;
END;
CREATE TRIGGER attempts_stay BEFORE DELETE ON attempts BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM messages AS m CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
     WHERE m.id = OLD.message_id AND k.why IS NOT NULL;
END;
CREATE TRIGGER notices_stay BEFORE DELETE ON notices BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') WHERE OLD.collected_at IS NULL;
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM messages AS m CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
     WHERE m.id = OLD.message_id AND k.why IS NOT NULL;
END;
CREATE TRIGGER questions_stay BEFORE DELETE ON questions WHEN OLD.changes = 1 BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') WHERE OLD.state = 'open';
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM messages AS m CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
     WHERE m.id = OLD.message_id AND k.why IS NOT NULL;
END;
CREATE TRIGGER workflows_stay BEFORE DELETE ON workflows BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM kept AS k WHERE k.workflow_id = OLD.id AND k.why IS NOT NULL;
END;
CREATE TRIGGER links_stay BEFORE DELETE ON links BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
END;
CREATE TRIGGER quarantine_stays BEFORE DELETE ON quarantine BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM kept_quarantine AS k WHERE k.quarantine_id = OLD.id AND k.why IS NOT NULL;
END;
CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger WHEN OLD.state IN ('done', 'gone') BEGIN
    SELECT RAISE(ABORT, 'what was taken once is never taken again');
END;
CREATE TRIGGER sent_before_stays BEFORE DELETE ON sent_before BEGIN
    SELECT RAISE(ABORT, 'what was sent once is never sent again');
END;
CREATE TRIGGER alarms_stay BEFORE DELETE ON alarms BEGIN
    SELECT RAISE(ABORT, 'records leave by a purge alone') WHERE NOT EXISTS (SELECT 1 FROM purges WHERE removing = 1);
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM kept_alarms AS k WHERE k.alarm_id = OLD.id AND k.why IS NOT NULL;
END;
CREATE TRIGGER refusals_stay BEFORE DELETE ON ledger
WHEN OLD.state = 'refused' AND EXISTS (SELECT 1 FROM purges WHERE removing = 1) BEGIN
    SELECT RAISE(ABORT, 'what is open, owed or held stays') FROM kept_refusals AS k WHERE k.refusal = OLD.refusal AND k.why IS NOT NULL;
END;
CREATE TRIGGER record_holds_stay BEFORE DELETE ON record_holds BEGIN
    SELECT RAISE(ABORT, 'who held what, and why, stays');
END;
CREATE TRIGGER purges_stay BEFORE DELETE ON purges BEGIN
    SELECT RAISE(ABORT, 'certificates stay');
END;
CREATE TRIGGER purged_classes_stay BEFORE DELETE ON purged_classes BEGIN
    SELECT RAISE(ABORT, 'certificates stay');
END;
CREATE TRIGGER purged_stays BEFORE DELETE ON purged BEGIN
    SELECT RAISE(ABORT, 'certificates stay');
END;

CREATE VIEW ready AS                            -- what leaves once it is due: the first of its conversation with a Receiver
SELECT m.* FROM messages AS m
 WHERE m.state = 'queued' AND m.read_due_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                    WHERE earlier.settled_at IS NULL AND earlier.provider = m.provider
                      AND earlier.correlation_id = m.correlation_id AND earlier.receiver = m.receiver
                      AND earlier.id < m.id);

CREATE VIEW waiting_providers AS                -- who has something queued: one look into an index for each, and no walk
WITH RECURSIVE waiting (urgent, provider) AS (
    SELECT u.value, (SELECT min(m.provider) FROM messages AS m WHERE m.state = 'queued' AND m.urgent = u.value)
      FROM json_each('[0, 1]') AS u
     UNION ALL
    SELECT urgent, (SELECT min(m.provider) FROM messages AS m
                     WHERE m.state = 'queued' AND m.urgent = waiting.urgent AND m.provider > waiting.provider)
      FROM waiting WHERE waiting.provider IS NOT NULL)
SELECT urgent, provider FROM waiting WHERE provider IS NOT NULL;

CREATE VIEW words AS                            -- what has been said in each case, by either side, and what is known of it
SELECT m.workflow_id, w.state AS stands, m.id, m.direction, m.move, m.says, m.said_at, m.sent_at, m.state, m.attempts,
       m.restored_at IS NOT NULL AS restored, m.patient IS 'other' AS of_another,
       m.reconciliation IS 'over' OR coalesce(m.shown, 'unshown') <> 'unshown' AS shows_end
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id;

CREATE VIEW clocks AS                           -- when the EPR was, or is to be, told that an answer is owed soon
SELECT w.id, coalesce(w.warn_at, (SELECT n.created_at FROM messages AS first JOIN notices AS n ON n.message_id = first.id
                                   WHERE first.workflow_id = w.id AND n.kind = 'due_soon'
                                   ORDER BY n.id DESC LIMIT 1)) AS warned_from
  FROM workflows AS w;

CREATE VIEW messages_seen AS                    -- a message as somebody looks at it, with what is so now
SELECT messages.*,
       CASE WHEN messages.attempts = 0  -- a pause, unless it would be too late after it
            THEN max(messages.next_attempt_at,
                     coalesce((SELECT min(max(p.until), coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', messages.give_up_at,
                                                                           '-5 seconds'), ''))
                                 FROM pauses AS p WHERE p.name IN (messages.receiver, messages.provider)), ''))
            ELSE messages.next_attempt_at END AS goes_at,
       w.request_type, w.answer_due_at AS owed_at, w.state AS stands,
       CASE WHEN newest.says = 'accepted' AND EXISTS  -- it came after somebody had been sent, and stands them down
                 (SELECT 1 FROM messages AS sent
                   WHERE sent.workflow_id = messages.workflow_id AND sent.says IN ('assigned', 'on_scene')
                     AND sent.state IN ('received', 'acknowledged') AND sent.patient IS NOT 'other')
            THEN 'stood_down' ELSE newest.says END AS newest_says,  -- what the Responder said last, of all that holds
       (SELECT CASE WHEN n.remarks LIKE '%empty\_plan%' ESCAPE '\' THEN 'empty_plan' ELSE 'plan_sent_back' END
          FROM notices AS n
         WHERE n.message_id = newest.id AND (n.remarks LIKE '%empty\_plan%' ESCAPE '\'
                                             OR n.remarks LIKE '%plan\_sent\_back%' ESCAPE '\')
         ORDER BY n.id DESC LIMIT 1) AS newest_plan,  -- what was remarked upon its CarePlan
       (SELECT n.remarks FROM notices AS n
         WHERE n.message_id = messages.id AND n.kind IN ('message', 'amended', 'outcome', 'held')
         ORDER BY n.id DESC LIMIT 1) AS remarks,
       CASE WHEN w.focus_id IS NULL THEN nullif(messages.reconciliation, 'wanted') END AS reconciled,
       coalesce((SELECT n.created_at FROM notices AS n
                  WHERE n.message_id = messages.id AND n.kind = 'delayed'
                    AND NOT EXISTS (SELECT 1 FROM notices AS again
                                     WHERE again.message_id = n.message_id AND again.kind = 'retried' AND again.id > n.id)
                  ORDER BY n.id LIMIT 1), messages.delay_due_at) AS late_from,
       (SELECT k.warned_from FROM clocks AS k WHERE k.id = w.id) AS warned_from,
       EXISTS (SELECT 1 FROM alarms AS a
                WHERE a.workflow_id = messages.workflow_id AND a.ended_at IS NULL
                  AND (a.message_id <> messages.id OR a.kind NOT LIKE 'message.%'  -- an answer of ours tells its own end
                       OR messages.move IN ('request', 'update', 'cancel'))
                  AND (a.kind <> 'response.remarked'  -- it tells its own remarks, and a newer word has replaced an older one
                       OR (a.message_id <> messages.id AND a.message_id >= coalesce(newest.id, 0)))) AS alarmed,
       (SELECT group_concat(o.state, ' ') FROM workflows AS o
         WHERE o.id IN (SELECT l.to_id FROM links AS l WHERE l.workflow_id = messages.workflow_id AND l.kind = 'record'
                         UNION ALL
                        SELECT l.workflow_id FROM links AS l
                         WHERE l.to_id = messages.workflow_id AND l.kind = 'record')) AS others,  -- of the same request
       CASE WHEN messages.state <> 'queued' OR messages.read_due_at IS NULL THEN NULL
            WHEN EXISTS (SELECT 1 FROM events AS e
                          WHERE e.message_id = messages.id AND e.kind = 'cancel.other_patient') THEN 'other_patient'
            WHEN EXISTS (SELECT 1 FROM notices AS n
                          WHERE n.message_id = messages.id AND n.kind = 'cancel_not_sent') THEN 'unread'
            ELSE 'waits' END AS reading  -- of a cancellation: the read that it waits for
  FROM messages CROSS JOIN workflows AS w ON w.id = messages.workflow_id
  LEFT JOIN messages AS newest ON newest.id =
       (SELECT said.id FROM messages AS said
         WHERE said.workflow_id = messages.workflow_id AND said.says IS NOT NULL
           AND said.state IN ('received', 'acknowledged') AND said.patient IS NOT 'other'
           AND NOT EXISTS (SELECT 1 FROM notices AS n
                            WHERE n.message_id = said.id AND n.remarks LIKE '%out_of_order%')
         ORDER BY said.id DESC LIMIT 1);
