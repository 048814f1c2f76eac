"""
`bars-gateway evidence`: what an assessor asks to see, made afresh from a run on this machine.

    sandbox ◄──► gateway ◄──► an EPR that is played       ProvingGround
       │            ▲
       └── Tape ────┘  every request with its answer       scenes: sending, receiving
              │
    requirements.tsv ─► statement ─► scenes ─► their files ─► index.html   report
    scal.tsv         ─► question  ─► "                        manifest.json

The gateway is a process with settings and a database of its own in a temporary folder, and the
people in its messages are invented. Of the installation that exports come versions, the names of
its certificates, its settings without secrets, and figures: nothing of a message.

A scene says which answers it must have got. What went otherwise is recorded all the same, but is
evidence of nothing, and `gaps` names it.
"""
