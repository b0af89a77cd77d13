"""The operations of /v2 about groups, contacts and mutes, as the OpenAPI document shows them."""

from web.api.openapi import PAGING, Json, content, operation, query

TENANT = query("tenant", "Whose; only operators name another one than their own")
KEEPERS = "Keepers (permission `sync`, or an operator) may it in every group of the tenant."
MEMBERS = f"For its members. {KEEPERS}"
ADMINS = f"For its owner and admins. {KEEPERS}"
OWNER = f"For its owner. {KEEPERS}"
USERS = "For users, about themselves."
TOLD = "Its members are told by a notice."


def list_groups() -> Json:
    """GET /v2/groups"""
    return operation(
        "listGroups",
        "List groups",
        "A user's: those that he is in, with his `role`. An application's with permission `sync`, "
        "and an operator's: all of the tenant.",
        parameters=[
            TENANT,
            query("all", "Of a user with `sync`: all of the tenant", type_="boolean"),
            *PAGING,
        ],
        answers={"200": ("Groups, by id", content("GroupsAnswer"))},
        refusals="401 403 422 503",
    )


def create_group() -> Json:
    """POST /v2/groups"""
    return operation(
        "createGroup",
        "Create a group",
        "For every user, who owns it then; keepers say who does. 429: more members than it may "
        "have, or the owner has too many groups.",
        body=content("NewGroup", example={"name": "Lunch", "user_ids": ["u2", "u3"]}),
        answers={"201": ("What was created", content("Group"))},
        refusals="401 403 404 413 422 429 503",
    )


def get_group() -> Json:
    """GET /v2/groups/<group_id>"""
    return operation(
        "getGroup",
        "Read a group",
        MEMBERS,
        parameters=[TENANT],
        answers={"200": ("The group", content("Group"))},
        refusals="401 403 404 422 503",
    )


def change_group() -> Json:
    """PATCH /v2/groups/<group_id>"""
    return operation(
        "changeGroup",
        "Change a group",
        "`name`: its members. `description`, `avatar`: its owner and admins. `max_member`: its "
        f"owner; not below the members that it has. {KEEPERS} What is left out stays. {TOLD}",
        parameters=[TENANT],
        body=content("GroupChange", example={"name": "Dinner"}),
        answers={"200": ("What it is now", content("Group"))},
        refusals="401 403 404 413 422 503",
    )


def dissolve_group() -> Json:
    """DELETE /v2/groups/<group_id>"""
    return operation(
        "dissolveGroup",
        "Dissolve a group",
        f"{OWNER} {TOLD}",
        parameters=[TENANT],
        answers={"204": ("It is no more", None)},
        refusals="401 403 404 422 503",
    )


def list_members() -> Json:
    """GET /v2/groups/<group_id>/members"""
    return operation(
        "listGroupMembers",
        "List the members of a group",
        f"{MEMBERS} By id.",
        parameters=[TENANT, *PAGING],
        answers={"200": ("Members", content("GroupMembersAnswer"))},
        refusals="401 403 404 422 503",
    )


def add_members() -> Json:
    """POST /v2/groups/<group_id>/members"""
    return operation(
        "addGroupMembers",
        "Add users to a group",
        f"{MEMBERS} All of them, or none; who is in already stays what he is. 429: they do not "
        f"fit. {TOLD}",
        parameters=[TENANT],
        body=content("NewGroupMembers", example={"user_ids": ["u2", "u3"]}),
        answers={"200": ("Who is new", content("Invited"))},
        refusals="401 403 404 413 422 429 503",
    )


def appoint() -> Json:
    """PATCH /v2/groups/<group_id>/members/<user_id>"""
    return operation(
        "appointGroupMember",
        "Give a member another role",
        f"{OWNER} 409: it is the owner; transfer the group.",
        parameters=[TENANT],
        body=content("RoleChange", example={"role": "admin"}),
        answers={"200": ("What he is now", content("GroupMember"))},
        refusals="401 403 404 409 413 422 503",
    )


def remove_member() -> Json:
    """DELETE /v2/groups/<group_id>/members/<user_id>"""
    return operation(
        "removeGroupMember",
        "Remove a member from a group",
        f"{ADMINS} An admin is removed by the owner only. Who is no member is passed over. {TOLD}",
        parameters=[TENANT],
        answers={"204": ("He is not in it", None)},
        refusals="401 403 404 422 503",
    )


def transfer() -> Json:
    """POST /v2/groups/<group_id>/owner"""
    return operation(
        "transferGroup",
        "Transfer a group to another member",
        f"{OWNER} Who owned it is an admin then. {TOLD}",
        parameters=[TENANT],
        body=content("NewOwner", example={"user_id": "u2"}),
        answers={"200": ("The group", content("Group"))},
        refusals="401 403 404 413 422 503",
    )


def leave() -> Json:
    """POST /v2/groups/<group_id>/leave"""
    return operation(
        "leaveGroup",
        "Leave a group",
        "For its members. The last owner's place goes to the oldest admin, else to the oldest "
        f"member; a group without members is dissolved. {TOLD}",
        answers={"204": ("You are not in it", None)},
        refusals="401 403 404 422 503",
    )


def list_contacts() -> Json:
    """GET /v2/contacts"""
    return operation(
        "listContacts",
        "List the users that one has starred",
        USERS,
        parameters=PAGING,
        answers={"200": ("Contacts, by (sort, id)", content("ContactsAnswer"))},
        refusals="401 422 503",
    )


def star() -> Json:
    """PUT /v2/contacts/<user_id>"""
    return operation(
        "starContact",
        "Star a user, or change what one keeps of him",
        f"{USERS} What is left out stays. 429: too many are starred.",
        body=content("ContactChange", example={"remark": "Bob from sales", "sort": 1}),
        answers={"200": ("The contact", content("Contact"))},
        refusals="401 404 413 422 429 503",
    )


def unstar() -> Json:
    """DELETE /v2/contacts/<user_id>"""
    return operation(
        "unstarContact",
        "Star a user no more",
        USERS,
        answers={"204": ("He is not starred", None)},
        refusals="401 422 503",
    )


def list_mutes() -> Json:
    """GET /v2/mutes"""
    return operation(
        "listMutes",
        "List what one has muted",
        USERS,
        parameters=PAGING,
        answers={"200": ("Users, applications, groups, each by id", content("MutesAnswer"))},
        refusals="401 422 503",
    )


def mute() -> Json:
    """PUT /v2/mutes/<name>"""
    return operation(
        "mute",
        "Mute a user, an application or a group",
        f"{USERS} `name`: u1@user, a1@app or g1@qun. Its messages do not reach one any more, online or "
        "later. 429: too many are muted.",
        body=content("MuteChange", example={"memo": "too many offers"}),
        answers={"200": ("What is muted", content("Mute"))},
        refusals="401 404 413 422 429 503",
    )


def unmute() -> Json:
    """DELETE /v2/mutes/<name>"""
    return operation(
        "unmute",
        "Hear somebody or something again",
        USERS,
        answers={"204": ("It is not muted", None)},
        refusals="401 422 503",
    )
