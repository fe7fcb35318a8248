"""What the Python applications share: a transcript that is the same wherever they run, and what is switched on.

A transcript holds no time, no address, no process number and no random value: it is compared line by line with the one
of a bare PostgreSQL. A part that fails says so in a line and lets the next one run, so one run shows all differences.
"""

import os
import re
import sys

# What the set-up can do beyond the rest; scenarios/src/scenario/applications/features.rs says what each name is.
FEATURES = frozenset(filter(None, os.environ.get("SCENARIO_FEATURES", "").split(",")))


def feature(name):
    """Whether statements that need `name` are to be run."""
    return name in FEATURES


# Moments, random UUIDs and places of rows that a server or a framework puts into its texts.
CHANCE = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+(\+00(:?00)?)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|tuple \(\d+,\d+\)"
)


def say(what, *values):
    """One line of the transcript."""
    print(what + ":", *(CHANCE.sub("<chance>", repr(value)) for value in values), flush=True)


def server_error(error):
    """The server's error behind what a framework raised; none if it was not the server."""
    seen = error
    while seen is not None and not getattr(seen, "sqlstate", None):
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
    return seen


def say_error(what, error):
    """A framework's error with all that the server told of it."""
    server = server_error(error)
    if server is None:
        say(what, type(error).__name__, str(error))
        return
    diag = server.diag
    told = {
        name: getattr(diag, name)
        for name in (
            "severity",
            "message_primary",
            "message_detail",
            "message_hint",
            "statement_position",
            "context",
            "schema_name",
            "table_name",
            "column_name",
            "datatype_name",
            "constraint_name",
        )
        if getattr(diag, name) is not None
    }
    say(what, type(error).__name__, server.sqlstate, told)


def expect_error(what, action):
    """Runs what must fail and says how it failed."""
    try:
        action()
    except Exception as error:  # whatever comes is what the transcript is for
        say_error(what, error)
    else:
        say(what, "no error")


def run_parts(*parts, end=True):
    """Runs each part; what breaks one is a line of the transcript, whose last line is END."""
    for part in parts:
        print(f"== {part.__name__}", flush=True)
        try:
            part()
        except Exception as error:  # as above
            say_error(f"BROKEN {part.__name__}", error)
            print(f"{part.__name__}: {error}", file=sys.stderr)
    if end:
        print("END", flush=True)
