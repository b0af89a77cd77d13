"""What is known of a user. A password is never part of it."""

from dataclasses import dataclass

DISABLED = -1
"""In a column `status`. Anything else is enabled: what an adopted database holds there is unknown."""
ENABLED = 0  # what we write


@dataclass(frozen=True, slots=True)
class Person:
    """A user, as others may see him: a row of table `user`, read."""

    uid: str
    login: str  # column `name`
    nickname: str
    avatar: str
    name_py: str  # initials of the pinyin
    name_quanpin: str
    status: int  # DISABLED, or whatever an adopted database says
    tenant_id: str  # "" = none
    email: str
    mobile: str
    area: str
    role: str  # see ROLES in web/core/principals.py

    @property
    def name(self) -> str:
        """Where messages to this user go."""
        return f"{self.uid}@user"


@dataclass(frozen=True, slots=True)
class Account:
    """Who a user is to the system."""

    uid: str
    login: str
    nickname: str
    role: str
    tenant_id: str  # "" = none
    customer_id: str  # of the tenant; "" = none
    is_enabled: bool  # the user, and the tenant if it is known


@dataclass(frozen=True, slots=True)
class Login:
    """A token that was issued: where, and until when it is good unless it is used."""

    digest: str  # SHA-256 of the token, hexadecimal
    uid: str
    device_id: str
    device_type: str
    issued: float  # Unix seconds
    expires: float  # Unix seconds
