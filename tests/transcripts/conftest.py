"""The worlds of the REST dialogues."""

from tests.web.conftest import guarded, home

__all__ = ["guarded", "home"]
