"""What a user is in a group."""

import enum


class Role(enum.IntEnum):
    """What a member may do: column `qun_user.role`. The numbers are the original's, which gave 0 to everybody."""

    OWNER = 0
    ADMIN = 1
    MEMBER = 2
