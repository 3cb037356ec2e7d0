"""The page to work on: a client of the API with a picture, for people who point rather than write job specs.

    server.py      starts it, on a server or on a stack of its own
    app.py         what is where on the page, and which event calls what
    handlers.py    what happens at an event
    session.py     what a browser session remembers, frozen
    clip.py        the loaded clip's frames, small, for looking at; decoding.py makes them in a confined process
    prompts.py     clicks -> objects of a job spec
    previews.py    masks and points over a frame; the preserve mask
    jobs.py        a job on its way
    result.py      the layers of a finished job, put together again
    render.py      the present edit as a video file
    words.py       the little HTML that is ours, escaped

Nobody imports it; the command reaches it by name.
"""
