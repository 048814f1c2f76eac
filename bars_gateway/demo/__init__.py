"""
`bars-gateway demo`: a referral goes out and its acknowledgement comes home.

    EPR ─folder─► emergency call service ─► sandbox ─► emergency department ─socket─► EPR
     ▲                     └◄──────── 200, its ids ◄───────┘
     └── outcome ──────────┘

The sandbox and both gateways are processes of their own, as they would be in life; the
demo plays the two EPRs and says what it sees, when it sees it.
"""

from bars_gateway.demo.play import play

__all__ = ["play"]
