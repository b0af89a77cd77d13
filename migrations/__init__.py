"""The application layer's tables through time: Alembic revisions, and how they are run.

    0001_appmsgsrv       the tables of the original's install.sql               original.py
    0002_our_tables      ours: keys, indexes, missing tables and columns         ours.py
    0003_lightpush       the tables of light-push                                     lightpush.py
    0004_mpush           the tables of Mpush                                          mpush.py
    0005_mpush_keys      keys that Mpush makes for itself                             mpush_keys.py
    0006_lightpush_turns  an index: namespaces of light-push take turns

A revision brings tables to the shape that it has written down, whatever they look like (reshaping.py), so one
that was interrupted is simply run again; what the new shape forbids is put in order first (fitting.py,
cleaning.py). `running.py` runs them, for `appmsg migrate` and for the node that keeps its people in a SQLite
file; `adopting.py` looks at a database of the original. The message store makes its own tables,
`private_msg` too.

To add a revision: a file in versions/ with the next number and a new shape of the tables that it changes, its
name in REVISIONS; tests/migrations then tell whether it makes what appmodel/orm describes.
"""

REVISIONS = (
    "0001_appmsgsrv",
    "0002_our_tables",
    "0003_lightpush",
    "0004_mpush",
    "0005_mpush_keys",
    "0006_lightpush_turns",
)
HEAD = REVISIONS[-1]  # what this version of the code works with
