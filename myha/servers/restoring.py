"""What setup made of a server and somebody changed: found, and made again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from myha.config import join_address
from myha.core.node import NodeLook
from myha.core.settings import ChannelOptions, Difference, Kind, Setting, listed
from myha.core.values import value
from myha.database.connection import Endpoint, Login, Tls
from myha.database.session import WarmSession
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.servers import drift
from myha.servers.claim import ClaimedServer

CONNECT_RETRY_SECONDS = 1
RETRY_COUNT = 4_294_967_295  # a receiver gives up at this number; it never gets there
MAKE_SCHEMA = (
    "make_schema",
    "make_heartbeat",
    "make_proof",
    "make_marker",
    "make_disabled_events",
    "make_claim",
)


@value(frozen=True, slots=True)
class Source:
    """How a node replicates from its peer: as `myha setup` configures it. `tls`: where both can."""

    host: str
    port: int
    account: Login
    heartbeat_seconds: float
    tls: bool = True


@value(frozen=True, slots=True)
class Following:
    """How a read replica follows: the nodes of the pair as its sources, by name, without those
    whose account is not known here; and how long after a change it applies it, in seconds."""

    sources: Mapping[str, Source]
    delay_seconds: int = 0


class RestoringServer(ClaimedServer):
    """The settings, the channel and the schema of a server."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        account: Login,
        call_deadline_seconds: float,
        tls: Tls,
        *,
        source: Source | None,
        settings: tuple[Setting, ...],
        following: Following | None = None,
    ) -> None:
        super().__init__(name, endpoint, account, call_deadline_seconds, tls)
        self.peer: RestoringServer | None = None
        self.offers_tls: bool | None = None  # as the last connection has found
        self._source = source
        self._following = following  # None: a node of the pair
        self._drift = drift.Drift(settings)
        self._setup_sql = self.flavour.statements("setup")

    def restore_source(self, deadline_seconds: float, *, clears_filters: bool) -> None:
        """Make the channel as setup does. ServerError when that is not known, or not allowed."""
        source = self._source
        if source is None:
            raise ServerError(f"{self.name}: its source is not known; `myha setup` configures it")
        with self._step(deadline_seconds) as session:
            found, filters = self._read_channel(session)
            wanted = self._wanted_channel()
            if found is not None and not drift.of_channel(found, wanted, filters):
                return
            tls = source.tls and self.flavour.offers_tls(session) and self._peer_offers_tls()
            values = {
                "host": source.host,
                "port": source.port,
                "user": source.account.user,
                "password": source.account.password.get_secret_value(),
                "retry": CONNECT_RETRY_SECONDS,
                "retry_count": RETRY_COUNT,
                "heartbeat": source.heartbeat_seconds,
                "tls": int(tls),
                "delay": self._delay_seconds,
            }
            clears = clears_filters and bool(filters)
            for block in ("clear_filters", "replicate") if clears else ("replicate",):
                session.run(self._setup_sql.all(block), values)
            self._drift.changed()
            found, filters = self._read_channel(session)
            if found is None:
                raise ServerError(f"{self.name}: no source is configured when read back")
            left = drift.of_channel(found, self._wanted_channel(), filters)
            if left:
                raise ServerError(f"{self.name}: when read back, {listed(left)}")

    def restore_settings(self, deadline_seconds: float, *, resting: bool) -> None:
        """Set what differs, each by itself: one that is denied is not in the others' way."""
        with self._step(deadline_seconds) as session:
            denied = []
            for one in self._to_set(session, resting=resting):
                try:
                    self._restore_setting(session, one)
                except (ServerGoneError, ServerSilentError):
                    raise
                except ServerError as error:
                    if not drift.is_denied(error):
                        raise
                    self._drift.denied(one)
                    denied.append(f"{one} ({error})")
            self._drift.changed()
            if denied:
                raise ServerError(f"{self.name}: the supervisor may not set {'; '.join(denied)}")
            left = self._to_set(session, resting=resting)
            if left:
                raise ServerError(f"{self.name}: when read back, {listed(left)}")

    def make_schema(self, deadline_seconds: float) -> None:
        """Make what is missing of the schema. ServerError naming the command if that is denied."""
        with self._step(deadline_seconds) as session:
            try:
                for block in MAKE_SCHEMA:
                    session.run(self._schema_sql.all(block))
            except (ServerGoneError, ServerSilentError):
                raise
            except ServerError as error:
                raise ServerError(f"{error}; `myha setup` makes the schema", error.code) from error
        self._watch_life = -1  # the next look finds it

    def _to_set(self, session: WarmSession, *, resting: bool) -> tuple[Difference, ...]:
        found = self._differing(session)
        return tuple(one for one in found if not one.by_hand and (resting or not one.rests))

    def _restore_setting(self, session: WarmSession, one: Difference) -> None:
        block = "set_at_boot" if one.kind is Kind.AT_BOOT else "set_now_and_at_boot"
        session.run(self._setup_sql.all(block, variable=one.name, value=one.wanted))

    def _look_for_differences(
        self, session: WarmSession, look: NodeLook, sign: object
    ) -> tuple[Difference, ...]:
        """What is not as setup made it, read every few looks, and when the look shows that somebody
        was at work: `sign` has changed, or replication was stopped."""
        threads = (look.receiver.state, look.applier.state)
        if self._drift.is_due((sign, look.source, look.semisync.replica_enabled), threads):
            found = self._differing(session)
            channel, filters = self._read_channel(session)
            in_channel = drift.of_channel(channel, self._wanted_channel(), filters)
            self._drift.differences = (*found, *in_channel)
        return self._drift.differences

    def _differing(self, session: WarmSession) -> tuple[Difference, ...]:
        if not self._drift.settings:
            return ()
        found = self._read_settings(self._drift.settings, session)
        return self._drift.with_denied(found, self._by_hand)

    def _wanted_channel(self) -> ChannelOptions | None:
        """None where the source's account is not known here."""
        source, peer = self._source, self.peer
        if source is None:
            return None
        offered = (self.offers_tls, peer.offers_tls if peer is not None else None)
        tls = None if None in offered else source.tls and all(offered)
        return ChannelOptions(
            source=join_address(source.host, source.port),
            user=source.account.user,
            by_gtid=True,
            tls=tls,
            retry_seconds=CONNECT_RETRY_SECONDS,
            retry_count=RETRY_COUNT,
            public_key=True,
            heartbeat_seconds=float(source.heartbeat_seconds),
            delay_seconds=self._delay_seconds,
        )

    @property
    def _delay_seconds(self) -> int:
        return 0 if self._following is None else self._following.delay_seconds

    def _peer_offers_tls(self) -> bool:
        if self.peer is None:
            return False
        with self.peer._step(self.call_deadline_seconds) as session:
            return self.flavour.offers_tls(session)

    @abstractmethod
    def _read_settings(
        self, wanted: tuple[Setting, ...], session: WarmSession
    ) -> tuple[Difference, ...]:
        """The settings that differ."""

    @abstractmethod
    def _by_hand(self, one: Difference) -> str:
        """The statement by which an administrator puts this right."""

    @abstractmethod
    def _read_channel(self, session: WarmSession) -> tuple[ChannelOptions | None, dict[str, str]]:
        """The default channel's options, None without a source, and the filters in force."""
