"""
`bars-gateway epr-check`: plays the other side at a supplier's EPR, and says what it did right.

    supplier's EPR ─files─► spool/ ◄────────────── gateway ◄──► sandbox: proxy, counterparty
          │                   └─ folder_watch ─┐      │               ▲
          └──HTTP──► relay ───────────────────►│◄─────┘               │ faults, scripts, requests
                       └─► EprSightings ─judging─►└─► findings         course

The gateway and the national side are the real ones, as processes of their own. What the EPR does is
seen at its doors alone: which file it wrote, read and took away, what it asked on the socket. What
it shows to people cannot be seen there, so that the end is a list of what to look for on screens.
"""
