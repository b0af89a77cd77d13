"""What is known of a user, as far as others may see it. A password is never part of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A row of table `user`, read."""

    uid: str
    login: str  # column `name`
    nickname: str
    avatar: str
    name_py: str  # initials of the pinyin
    name_quanpin: str
    status: int  # DISABLED of orm/base.py, or what an adopted database says
    tenant_id: str  # "" = none
    email: str
    mobile: str
    area: str
    role: str  # see ROLES in web/core/principals.py

    @property
    def name(self) -> str:
        """Where messages to this user go."""
        return f"{self.uid}@user"
