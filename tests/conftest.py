"""What holds for every test."""

from hypothesis import settings

from tests.databases import database as database  # a fixture for all

# An example may take as long as it takes: on a busy machine a time-out says nothing about the law.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
