"""The table of Mpush's own keys, frozen: the shape of revision 0005. What it is for says appmodel/orm/mpush.py."""

import sqlalchemy as sa

from migrations.mpush import LONG
from migrations.shapes import exact, new_metadata

METADATA = new_metadata()

MPUSH_KEY = sa.Table(
    "mpush_key",
    METADATA,
    sa.Column("name", exact(32), primary_key=True),
    sa.Column("secret", LONG, nullable=False),
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)
