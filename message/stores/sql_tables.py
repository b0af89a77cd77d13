"""The tables in PostgreSQL or MariaDB.

    private_msg      the live messages: skey, mid -> msg; expired, trimmed and deleted ones simply go
    msg_body         a body that several of them share, until its ttl; private_msg.body names it, and msg then
                     holds the tail of the copy for this key, if there is one
    msg_key          the mark of each key, for ever; and how many messages it has at most
    msg_receipt      one row per push and key: answers retries, and the feed, whose position it has
    msg_end          one row: where the feed and the revocations end, and the highest mark of all
    msg_fact         what the ledger remembers
    msg_revocation   whose credentials are void

Times are whole seconds, as in the original: what expires within a second does so at its end. A key is
`Key.stored`, compared byte by byte (MariaDB's other collations take "a " for "a").

Source: private_msg is the original's (spec/gopush.md section 6.2), with `body` added. A message for one
key lies there whole, as the original would have it.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

MAX_SKEY = 512  # characters; InnoDB has room for 768 in an index
MAX_NAME = 255  # bytes of a fact's name, or of a push id

KEY = (
    sa.String(MAX_SKEY)
    .with_variant(sa.Text(collation="C"), "postgresql")
    .with_variant(
        mysql.VARCHAR(MAX_SKEY, charset="utf8mb4", collation="utf8mb4_nopad_bin"),
        "mysql",
        "mariadb",
    )
)
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NAME = sa.LargeBinary().with_variant(mysql.VARBINARY(MAX_NAME), "mysql", "mariadb")
SUBJECT = sa.Text().with_variant(mysql.TEXT(charset="utf8mb4"), "mysql", "mariadb")

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _stamp(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.TIMESTAMP, nullable=False, server_default=sa.func.current_timestamp())


PRIVATE_MSG = sa.Table(
    "private_msg",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
    _required("skey", KEY),
    _required("mid", sa.BigInteger()),
    _required("ttl", sa.BigInteger()),  # Unix seconds of death
    _required("msg", BYTES),  # if `body` names one, the tail to it, mostly empty
    _stamp("ctime"),
    _stamp("mtime"),
    sa.Column("body", sa.BigInteger),
    sa.UniqueConstraint("skey", "mid"),
    sa.Index(None, "ttl"),
    mariadb_engine="InnoDB",
)
MSG_BODY = sa.Table(
    "msg_body",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    _required("ttl", sa.BigInteger()),
    _required("msg", BYTES),
    sa.Index(None, "ttl"),
    mariadb_engine="InnoDB",
)
MSG_KEY = sa.Table(
    "msg_key",
    METADATA,
    sa.Column("skey", KEY, primary_key=True),
    _required("mark", sa.BigInteger()),
    _required("prev", sa.BigInteger()),  # the mark before it was last raised
    _required("messages", sa.BigInteger()),  # so many at most; exactly, until `soonest`
    _required("soonest", sa.BigInteger()),  # none of them expires before this
    postgresql_with={"fillfactor": 60},  # room for updates in place: every save makes one
    mariadb_engine="InnoDB",
)
MSG_RECEIPT = sa.Table(
    "msg_receipt",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    _required("push_id", NAME),
    _required("skey", KEY),
    _required("mid", sa.BigInteger()),
    _required("prev", sa.BigInteger()),
    _required("kept_until", sa.BigInteger()),
    sa.UniqueConstraint("push_id", "skey"),
    sa.Index(None, "kept_until"),
    mariadb_engine="InnoDB",
)
MSG_END = sa.Table(
    "msg_end",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # 1
    _required("position", sa.BigInteger()),
    _required("highest", sa.BigInteger()),
    _required("revocation", sa.BigInteger()),
    _required("version", sa.Integer()),  # of these tables
    mariadb_engine="InnoDB",
)
MSG_FACT = sa.Table(
    "msg_fact",
    METADATA,
    sa.Column("name", NAME, primary_key=True),
    _required("value", BYTES),
    _required("kept_until", sa.BigInteger()),
    sa.Index(None, "kept_until"),
    mariadb_engine="InnoDB",
)
MSG_REVOCATION = sa.Table(
    "msg_revocation",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    _required("subject", SUBJECT),
    _required("issued_before", sa.Double()),
    _required("kept_until", sa.BigInteger()),
    sa.Index(None, "kept_until"),
    mariadb_engine="InnoDB",
)
