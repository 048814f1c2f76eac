"""
`bars-gateway demo`: a validation request goes out, and its answers come home.

    EPR ─folder─► ambulance service ──request──► sandbox ─► hospital ─socket─► EPR
     ▲                  └◄──────── 200, its ids ◄───┘          │                │
     ├─ outcome ────────┘                                      │                │
     └─ interim, final ─folder─◄ ambulance ◄─── sandbox ◄── hospital ◄─socket───┘

The sandbox and both gateways are processes of their own, as they would be in life; the
demo plays the two EPRs and says what it sees, when it sees it.
"""

from bars_gateway.demo.play import play

__all__ = ["play"]
