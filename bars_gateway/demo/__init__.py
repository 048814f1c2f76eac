"""
`bars-gateway demo`: what organisations do with each other, in chapters.

    EPR ─folder─► ambulance service ──request──► sandbox ─► hospital ─socket─► EPR
     ▲                  └◄──────── 200, its ids ◄───┘          │                │
     ├─ outcome ────────┘                                      │                │
     └─ responses ─folder─◄ ambulance ◄──── sandbox ◄───── hospital ◄─socket────┘

The sandbox and the gateways are processes of their own, as they would be in life, that of
a second ambulance service too; the demo plays the EPRs and says what it sees, when it
sees it. A chapter has seen all only when each of its steps was.
"""
