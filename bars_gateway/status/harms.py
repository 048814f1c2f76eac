"""How bad it is for patients that an alarm of a kind stands: said by its runbook, and by alerts."""

from collections.abc import Mapping

HARM_OF_ALARMS: Mapping[str, str] = {
    "workflow.contradicted": "Somebody may be on the way, or nobody: the two sides do not agree.",
    "workflow.unclear": "Nobody can tell from what was said whether the patient is seen to.",
    "workflow.overdue": "The patient may be waiting for somebody who has not answered.",
    "workflow.unreplaced": "The patient may have neither the old arrangement nor the new one.",
    "message.foreign_ack": "Two patients may have been mixed up at the Receiver.",
    "message.shared_id": "Two patients may have been mixed up at the Receiver: a cancellation by"
    " that number could end the care of another patient.",
    "message.no_record": "What was to be changed or cancelled may go on as it was, and nobody here"
    " knows what was changed.",
    "message.unreconciled": "It is possible that nobody there is looking after the patient.",
    "message.set_aside": "Others may not know what it says, and what waits behind it is not sent.",
    "payload.damaged": "What it says about a patient cannot be sent, or shown, as it was written.",
    "database.damaged": "What stands in the damaged part may not be sent, or not told to the EPR.",
    "index.rebuilt": "What was hidden may have waited for longer than anybody knew.",
    "audit.broken": "None at once: but what was done to messages, and by whom, may not be as the"
    " list says.",
    "notice.set_aside": "The EPR does not know what came, or what became of what was sent.",
    "message.not_sent": "Nobody else knows what it says: the patient may be waiting for somebody"
    " who was never asked.",
    "message.unconfirmed": "Nobody here knows whether it is acted on: it may be, or not at all.",
    "message.refused": "It was not taken: what it asks for may not be done by anybody.",
    "restore.held": "It may have been sent before, or not at all; until somebody decides it waits.",
    "restore.forgotten": "What was acknowledged may be unknown here now, and nobody will send it"
    " again.",
    "restore.not_handed_over": "The EPR does not have a message that its Sender believes to be"
    " here.",
    "restore.not_taken_over": "The running gateway does not know what became of it, or of the"
    " patient whom it is about.",
    "cancel.other_patient": "Nothing was cancelled, and two patients may have been mixed up.",
    "cancel.not_sent": "What was to be cancelled still stands: somebody may come who is no longer"
    " wanted.",
    "cancel.turned_away": "What was to be cancelled goes on here: somebody may go who is no longer"
    " wanted.",
    "patient.other": "Something may be filed, or acted on, for the wrong patient.",
    "patient.two": "It may be filed, or acted on, for the wrong one of the two.",
    "inbound.modified": "Something may be done that was not to be, or a patient passed over, by"
    " whoever reads only a part of it.",
    "record.other": "Both may be acted on, or one may be cancelled in the belief that nobody is"
    " coming.",
    "question.unanswered": "The Sender does not know whether anybody here is looking after its"
    " patient.",
    "question.decided_late": "The Sender may not know what was decided about its patient.",
    "question.shared_id": "A later change or cancellation may meet the record of another patient.",
    "file.set_aside": "What the file says has not been sent to anybody.",
    "answer.set_aside": "The Sender does not know what was decided about its patient.",
    "inbound.failed": "What came may be unknown to the EPR until its Sender sends it again.",
    "request.failed": "What the EPR wanted may not have been done until it asks again.",
    "work.failed": "Something that falls due may be late, or told to nobody.",
    "link.refused": "Two patients may have been mixed up at the Sender, or by it.",
    "change.unknown": "Nothing was changed here: somebody may still be waiting, or on the way.",
    "response.remarked": "It may be taken for more than it is, or for the latest that there is.",
    "response.refused": "It may turn a patient down, and nobody here knows what it says.",
    "inbound.request_id_reused": "What came second was not taken: nobody here knows what it says.",
    "inbound.quarantined": "An answer about a patient lies here, and has been given to nobody.",
}
