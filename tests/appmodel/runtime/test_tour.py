"""What a home node prints."""

from appmodel.runtime.service import Address
from appmodel.runtime.tour import tour


def test_the_tour_names_all_addresses_and_a_push_to_paste() -> None:
    """Aligned, so that they can be read; the push goes to this node's own address."""
    addresses = [Address("comet.tcp", "tcp://h:1"), Address("web.api", "https://h:2")]

    text = tour(addresses, 0.44, appmsg="bin/appmsg")

    assert text.splitlines() == [
        "comet.tcp  tcp://h:1",
        "web.api    https://h:2",
        "",
        "See it     https://h:2/",
        "Listen     bin/appmsg listen u1@user",
        """Push       curl -d '{"to":"u1@user","msg":{"text":"hello"},"ttl":"10m"}' https://h:2/v2/push""",
        "",
        "Ready in 0.4 s. Ctrl-C stops.",
    ]


def test_where_credentials_are_asked_for_the_tour_gets_them() -> None:
    """What is pasted works there too."""
    text = tour([Address("web.api", "https://h:2")], 1, appmsg="bin/appmsg", auth=True)

    issue = "$(APPMSG_AUTH__MODE=on bin/appmsg token issue"
    assert f"bin/appmsg listen u1@user --token {issue} --key u1@user)\n" in text
    assert f'curl -H "Authorization: Bearer {issue} --scope push)" -d ' in text


def test_where_mpush_is_there_is_a_device_to_push_to() -> None:
    """The page that is one, and a line that reaches it; where that needs a token, with one."""
    addresses = [Address("web.api", "http://h:2"), Address("web.mpush", "http://h:3")]

    at_home, away = tour(addresses, 1), tour(addresses, 1, appmsg="bin/appmsg", auth=True)

    assert (
        "\nDevice      http://h:2/mpush/\nPush to it  curl 'http://h:3/phone?title=hello'\n"
        in at_home
    )
    issue = "$(APPMSG_AUTH__MODE=on bin/appmsg token issue --mpush --device phone --publish)"
    assert f"curl -H \"Authorization: {issue}\" 'http://h:3/phone?title=hello'\n" in away


def test_without_web_there_is_nothing_to_paste() -> None:
    """A comet alone takes no pushes by REST."""
    assert "curl" not in tour([Address("comet.tcp", "tcp://h:1")], 1)
    assert tour([], 1).endswith("Ready in 1.0 s. Ctrl-C stops.")
