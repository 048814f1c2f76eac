"""
The other side of a conversation, for whoever has one gateway and no partner to try it with.

    your gateway ──► proxy ──► Receiver ──► holdings        checks, acknowledges, answers reads
          ▲                       │ sentinel? table? script?
          └───── proxy ◄── correspondence ◄── plan          interim and final responses
          └───── proxy ◄── Requester ◄── admin port         requests, updates, cancellations

It stands behind the sandbox's proxy with services of its own, one for each Application, and
with those of the official test service. All that it holds is in memory, and gone at the end.
It knows the standard, and nothing of the gateway: what both get wrong in one way is in
`standard`, and is what the tests against the published messages are for.
"""
