"""The demo's chapters, in the order in which they are played."""

from bars_gateway.demo.chapters import booking, lost_answer, validation

CHAPTERS = (validation.CHAPTER, lost_answer.CHAPTER, booking.CHAPTER)
