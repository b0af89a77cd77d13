"""The application layer of a web node, wired: people, groups, organisations, applications.

Each part brings its services, its routes of 8093 (`AppFrame`) and its operations of /v2 (`Part`).
"""

from collections.abc import Callable, Sequence

import trio

from appmodel.core.origins import Origins
from appmodel.io.caching import Changes
from appmodel.protocol.http import RenderError, Route
from appmodel.runtime.service import Context
from web.api.app_applications import ApplicationRoutes
from web.api.app_contacts import AppContacts
from web.api.app_frame import AppFrame
from web.api.app_groups import AppGroups
from web.api.app_organisation import OrganisationRoutes
from web.api.app_pushes import AppPushes
from web.api.app_sessions import AppSessions
from web.api.internal import Limits
from web.api.v2_applications import ApplicationsPart
from web.api.v2_contacts import ContactsPart
from web.api.v2_departments import DepartmentsPart
from web.api.v2_frame import Part
from web.api.v2_groups import GroupsPart
from web.api.v2_push_credentials import PushCredentialsPart
from web.api.v2_quotas import QuotasPart
from web.api.v2_sessions import SessionsPart
from web.api.v2_sync import SyncPart
from web.api.v2_tenants import TenantsPart
from web.config import WebConfig
from web.core.access import Access
from web.core.notices import Announcer
from web.core.notifications import Job
from web.core.principals import AppCaller, UserCaller
from web.core.texts import Texts
from web.gateways.opening import open_notifier
from web.layer_files import FilesLayer
from web.layer_people import PeopleLayer
from web.services.applications import Applications, ApplicationTokens, revoke_by
from web.services.callers import Callers
from web.services.contacts import Contacts, Mutes
from web.services.department_members import DepartmentMembers
from web.services.departments import Departments
from web.services.directory import Directory
from web.services.groups import Groups
from web.services.menus import Menus
from web.services.messaging import Messaging
from web.services.push_credentials import PushCredentials
from web.services.pushing import Pushing
from web.services.quota_keeping import QuotaKeeping
from web.services.quotas import Quotas
from web.services.reading import Reading
from web.services.sessions import Sessions
from web.services.statistics import Statistics
from web.services.syncing import Syncing
from web.services.tenants import Customers, Tenants
from web.services.tickets import Tickets


class ApplicationLayer:
    """What all its parts share. `run` must be running."""

    def __init__(
        self,
        context: Context,
        access: Access,
        pushing: Pushing,
        reading: Reading,
        tickets: Tickets,
    ) -> None:
        self._database, self._metrics = context.database, context.metrics
        self._tokens = context.tokens
        self._reading = reading
        self._notify: Callable[[Sequence[Job]], None] = lambda jobs: None  # until `run` has begun
        self._pushing = pushing
        self.callers = Callers(access, self)
        staleness = context.settings.database.staleness
        self.changes = Changes(context.database, staleness=staleness)
        self.directory = Directory(context.database, staleness=staleness)
        quotas = context.settings.section(WebConfig).quota
        self.quotas = Quotas(context.database, self.changes, quotas)
        counters = self.quotas.counters
        context.metrics.counter("web_counts_lost", "Not counted.", lambda: counters.lost)
        self._people = people = PeopleLayer(context, self.quotas)
        self._departments = Departments(context.database, self.changes)
        self._department_members = DepartmentMembers(context.database)
        self._tenants = Tenants(context.database)
        self._syncing = Syncing(context.database, context.tokens, people.passwords)
        self._application_tokens = ApplicationTokens(context.database, self.changes)
        self._applications = Applications(context.database, revoke_by(tickets))
        self._menus = Menus(context.database)
        self._quota_keeping = QuotaKeeping(context.database)
        self._config = config = context.settings.section(WebConfig)
        self.files = FilesLayer(context, self.callers)
        self.messaging = Messaging(
            pushing,
            self.directory,
            self.quotas,
            audience_token=context.tokens.audience_token,
            files=self.files.links,
            notify=lambda jobs: self._notify(jobs),
            expire=config.app.expire,
        )
        self.texts = Texts(config.app.language)
        announcer = Announcer(self.texts)
        self.groups = Groups(context.database, self.messaging, announcer, config.groups)
        self.contacts = Contacts(context.database, config.groups)
        self.mutes = Mutes(context.database, config.groups)
        self.sessions = Sessions(context.database)
        context.metrics.counter(
            "web_group_notices_failed",
            "Notices of changed groups that were not sent.",
            lambda: self.groups.untold,
        )

    async def user(self, token: str) -> UserCaller:
        """See Authenticating.user."""
        return await self._people.accounts.user(token)

    async def application(self, token: str) -> AppCaller:
        """See Authenticating.application."""
        return await self._application_tokens.application(token)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Its loops, until cancelled."""
        config = self._config.notifications
        async with (
            open_notifier(
                config,
                self._database,
                self._reading,
                self._metrics,
                login_life=self._tokens.limits.ttl + self._tokens.limits.touch,
                listen=self.changes.listen,
            ) as notifier,
            trio.open_nursery() as nursery,
        ):
            self._notify = notifier.notify
            await nursery.start(self.changes.run)
            await nursery.start(self.quotas.run)
            await nursery.start(self.files.run)
            nursery.start_soon(self._people.run)
            task_status.started()
            await trio.sleep_forever()

    def offer(self, origins: Origins, limits: Limits) -> tuple[Sequence[Route], RenderError]:
        """The routes of 8093, and how they say no."""
        frame = AppFrame(self, origins, max_body=limits.body)
        expire = self._config.app.expire
        pushes = AppPushes(
            self.messaging,
            self,
            self.quotas,
            origins,
            expire=expire,
            max_message=limits.message,
        )
        pushes.add_to(frame)
        self._people.add_to(frame, self, origins)
        OrganisationRoutes(self._departments, self._department_members, self._tenants).add_to(frame)
        AppGroups(self.groups, weedfs=self._config.app.weedfs).add_to(frame)
        AppContacts(self.contacts, self.mutes).add_to(frame)
        AppSessions(self.sessions).add_to(frame)
        ApplicationRoutes(self._applications, self._menus, self._quota_keeping).add_to(frame)
        return frame.routes, frame.refuse

    def parts(self, limits: Limits) -> list[Part]:
        """The operations of /v2."""
        return [
            *self._people.parts(self.callers),
            TenantsPart(self.callers, self._tenants, Customers(self._database)),
            DepartmentsPart(self.callers, self._departments, self._department_members),
            GroupsPart(self.callers, self.groups),
            ContactsPart(self.callers, self.contacts, self.mutes),
            SyncPart(self.callers, self._syncing),
            ApplicationsPart(self.callers, self._applications, self._menus),
            QuotasPart(self.callers, self._quota_keeping, Statistics(self._database)),
            PushCredentialsPart(self.callers, PushCredentials(self._database)),
            SessionsPart(self.callers, self.sessions),
            self.files.part,
        ]
