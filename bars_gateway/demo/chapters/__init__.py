"""The demo's chapters, in the order in which they are played."""

from bars_gateway.demo.chapters import booking, control_rooms, lost_answer, overdue, validation

CHAPTERS = (
    validation.CHAPTER,
    lost_answer.CHAPTER,
    booking.CHAPTER,
    control_rooms.CHAPTER,
    overdue.CHAPTER,
)
