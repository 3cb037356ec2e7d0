"""A room without doors for work on bytes that somebody sent: each file is read in a process of its own.

    running.py    the caller's side: hands files over, reads the answers, ends the process
    child.py      the other side: a warm process that forks one confined process per file
    confine.py    what that one gives up before it looks at the first byte
    wire.py       how answers travel
    allowance.py  how much it may use

What runs inside is any generator of `Piece`s. Whatever happens to it (a crash, an endless loop, all memory taken), the
caller gets one `Broken` that says so, and nothing else. Linux only.
Must not know: videos, images, or what a job is for.
"""
