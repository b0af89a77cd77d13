"""The tables of the application layer. `Base.metadata` knows all of them once this package is imported."""

from appmodel.orm import (
    applications,
    changes,
    contacts,
    counting,
    devices,
    files,
    groups,
    leases,
    lightpush,
    messages,
    mpush,
    organisations,
    people,
    presence,
)
from appmodel.orm.base import Base

__all__ = [
    "Base",
    "applications",
    "changes",
    "contacts",
    "counting",
    "devices",
    "files",
    "groups",
    "leases",
    "lightpush",
    "messages",
    "mpush",
    "organisations",
    "people",
    "presence",
]
