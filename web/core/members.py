"""The member: how appmsgsrv shows a user, a department, a tenant or an application, all in one shape.

    {"uid":"u1","userName":"u1@user","name":"ann","nickName":"Ann","pYInitial":"a","pYQuanPin":"ann",
     "status":"0","starFriend":0,"avatar":"","sort":0,"memberCount":0,"memberList":null,"password":"",
     "tenantId":"t1","mobile":"","area":"","description":"","headImgUrl":"","email":"","tel":"","orgName":""}

Source: appmsgsrv app/member.go; spec/appmsgsrv.md section 5. Differences: `password` is empty always (W2);
`headImgUrl`, `email`, `tel` and `orgName` are empty, as in the original, which never fills them.
"""

from collections.abc import Iterable

import msgspec

from appmodel.core.people import Person


class Member(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of them."""

    uid: str
    user_name: str
    name: str = ""
    nick_name: str = ""
    member_count: int = 0
    member_list: list["Member"] | None = None
    py_initial: str = msgspec.field(default="", name="pYInitial")
    py_quanpin: str = msgspec.field(default="", name="pYQuanPin")
    status: str = ""
    star_friend: int = 0
    avatar: str = ""
    sort: int = 0
    password: str = ""
    tenant_id: str = ""
    mobile: str = ""
    area: str = ""
    description: str = ""
    head_img_url: str = ""
    email: str = ""
    tel: str = ""
    org_name: str = ""


def member_of(
    person: Person, *, starred: bool = False, sort: int = 0, avatar: str | None = None
) -> Member:
    """A user.

    Args:
        sort: in the department that is being listed.
        avatar: its address, where the original makes one of the column (lists of a group's members).
    """
    return Member(
        uid=person.uid,
        user_name=person.name,
        name=person.login,
        nick_name=person.nickname,
        py_initial=person.name_py,
        py_quanpin=person.name_quanpin,
        status=str(person.status),
        star_friend=int(starred),
        avatar=person.avatar if avatar is None else avatar,
        sort=sort,
        tenant_id=person.tenant_id,
        mobile=person.mobile,
        area=person.area,
    )


def member_of_department(
    org_id: str, name: str, *, sort: int = 0, children: Iterable[Member] = ()
) -> Member:
    """A department with those right below it."""
    return _node(org_id, "org", name, sort, children)


def member_of_tenant(tenant_id: str, name: str, *, children: Iterable[Member] = ()) -> Member:
    """A tenant with its root departments."""
    return _node(tenant_id, "tenant", name, 0, children)


def member_of_application(
    app_id: str,
    name: str,
    *,
    tenant_id: str = "",
    status: int = 0,
    sort: int = 0,
    avatar: str = "",
    description: str = "",
    py_initial: str = "",
    py_quanpin: str = "",
) -> Member:
    """An application."""
    return Member(
        uid=app_id,
        user_name=f"{app_id}@app",
        name=name,
        nick_name=name,
        status=str(status),
        sort=sort,
        avatar=avatar,
        tenant_id=tenant_id,
        description=description,
        py_initial=py_initial,
        py_quanpin=py_quanpin,
    )


def _node(own_id: str, suffix: str, name: str, sort: int, children: Iterable[Member]) -> Member:
    below = list(children)
    return Member(
        uid=own_id,
        user_name=f"{own_id}@{suffix}" if own_id else "",  # a tenant that is missing has no name
        nick_name=name,
        sort=sort,
        member_count=len(below),
        member_list=below,
    )
