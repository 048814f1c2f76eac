"""
Looks at everything that keeps a gateway from BaRS, and names the cure and whom to ask.

    Site ──► Check, Check, Check … (tables, by group) ──► Finding ──► a screen, or JSON

Each check is a small function that says what it saw. The order of the tables is the
order of causes: what rests on something that failed is not looked at, so that the first
complaint is the thing to mend.
"""
