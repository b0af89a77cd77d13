"""What Alembic runs for every command: the revisions, on the connection that it was given.

config.attributes["connection"]   in a transaction that whoever gave it commits
config.attributes["say"]          told what is done; see migrations/running.py, which has both
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    transactional_ddl=True,  # Alembic doubts that SQLite can, and knows that MariaDB cannot
)
context.run_migrations()
