"""People in the application layer, wired: accounts, users, devices, client versions, business cards."""

from appmodel.core.addresses import Addresses
from appmodel.core.origins import Origins
from appmodel.runtime.service import Context
from web.api.app_accounts import AppAccounts
from web.api.app_card import AppCard
from web.api.app_frame import AppFrame
from web.api.app_people import AppPeople
from web.api.v2_client_versions import ClientVersionsPart
from web.api.v2_frame import Part
from web.api.v2_logins import LoginsPart
from web.api.v2_users import UsersPart
from web.config import WebConfig
from web.core.principals import Authenticating
from web.services.accounts import Accounts
from web.services.callers import Callers
from web.services.devices import Devices
from web.services.passwords import Passwords
from web.services.people import People
from web.services.quotas import Quotas
from web.services.versions import Versions


class PeopleLayer:
    """What the parts about people share."""

    def __init__(self, context: Context, quotas: Quotas) -> None:
        self._config = config = context.settings.section(WebConfig)
        self._database = database = context.database
        self._tokens = context.tokens
        self._quotas = quotas
        login = config.login
        self.passwords = Passwords(
            threads=login.threads,
            waiting=login.waiting,
            memory=login.argon2_memory // 1024,
            passes=login.argon2_passes,
        )
        self.accounts = Accounts(database, context.tokens, self.passwords, login)
        self.people = People(
            database,
            context.tokens,
            self.passwords,
            self.accounts,
            min_password=login.min_password,
        )
        self._addresses = Addresses(config.proxies)
        context.metrics.counter(
            "web_logins",
            "Logins by outcome: in, refused, slowed (too many tries, or none left), failed.",
            lambda: {(outcome,): n for outcome, n in self.accounts.outcomes.items()},
            labels=("outcome",),
        )
        self._devices, self._versions = Devices(database), Versions(database)

    def add_to(self, frame: AppFrame, authenticating: Authenticating, origins: Origins) -> None:
        """Add the routes of 8093."""
        AppAccounts(self.accounts, authenticating, self._quotas, self._addresses, origins).add_to(
            frame
        )
        AppPeople(self.people, self._devices, self._versions).add_to(frame)
        config = self._config
        card = AppCard(self._database, config.card, self._addresses, config.app.language)
        for route in card.routes():
            frame.add(route)

    async def run(self) -> None:
        """Free logins that have expired, until cancelled."""
        await self._tokens.sweep()

    def parts(self, callers: Callers) -> list[Part]:
        """The operations of /v2."""
        return [
            UsersPart(callers, self.people, self._addresses),
            LoginsPart(callers, self.accounts, self._devices, self._quotas, self._addresses),
            ClientVersionsPart(callers, self._versions),
        ]
