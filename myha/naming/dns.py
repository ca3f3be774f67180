"""A name in DNS that follows the writer, by dynamic update (RFC 2136) signed with TSIG (RFC 8945).

Beside the name itself the epoch is kept, as a TXT record at `_myha.` before the name: an update
requires the one that was read, so that of two supervisors the later epoch wins, however late the
packet of the other one arrives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from myha.config import split_address
from myha.config.dns import DnsConfig
from myha.errors import MyhaError

MARK = "_myha"
_EPOCH = re.compile(r"epoch=(\d+)")
_REFUSED = {
    dns.rcode.NOTAUTH: "the key is not the one that it knows, or it is not the zone's server",
    dns.rcode.REFUSED: "it refuses updates from here, or with this key",
    dns.rcode.NOTZONE: "the name is not in this zone",
    dns.rcode.SERVFAIL: "it failed; its log says why",
}


class DnsError(MyhaError):
    """The name was not changed."""


class LaterEpochError(DnsError):
    """Another supervisor has pointed it since: this one has nothing more to say."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """The TXT record as it was read; `text` is None where there is none."""

    text: str | None

    @property
    def epoch(self) -> int:
        found = _EPOCH.fullmatch(self.text or "")
        return int(found[1]) if found else 0


class DnsName:
    """One name. Each call takes at most a few times `dns.timeout_seconds`; raises DnsError."""

    def __init__(self, config: DnsConfig) -> None:
        """Raises ConfigError when the key cannot be read."""
        self._config = config
        self._host, self._port = split_address(config.server)
        self._zone = dns.name.from_text(config.zone)
        self._name = dns.name.from_text(config.name)
        self._mark = dns.name.Name((MARK.encode(), *self._name.labels))
        secret = config.secret()
        self._keyring, self._key_name = None, None
        if secret is not None:
            self._key_name = dns.name.from_text(config.key_name)
            keys = {config.key_name: secret.get_secret_value()}
            self._keyring = dns.tsigkeyring.from_text(keys)

    def point(self, address: str, epoch: int) -> None:
        """The name has this address and no other of its kind, confirmed by the server itself.

        LaterEpochError when that was done in a later epoch already.
        """
        kind = "A" if ip_address(address).version == 4 else "AAAA"
        mark = self._read_mark()
        if mark.epoch > epoch:
            raise LaterEpochError(
                f"{self._config.name} was pointed in epoch {mark.epoch}, and this is {epoch}: if "
                f"the pair was set up anew, delete the TXT record {self._mark}"
            )
        update = dns.update.UpdateMessage(
            self._zone,
            keyring=self._keyring,
            keyname=self._key_name,
            keyalgorithm=dns.name.from_text(self._config.key_algorithm),
        )
        where, at = (one.relativize(self._zone) for one in (self._mark, self._name))
        if mark.text is None:
            update.absent(where, "TXT")
        else:
            update.present(where, "TXT", f'"{mark.text}"')
        update.replace(where, self._config.ttl_seconds, "TXT", f'"epoch={epoch}"')
        update.replace(at, self._config.ttl_seconds, kind, address)
        answer = self._ask(update)
        if answer.rcode() in (dns.rcode.NXRRSET, dns.rcode.YXRRSET):
            raise self._error("somebody else has pointed it in this moment")
        self._require_done(answer)
        if (found := self._addresses(kind)) != [address]:
            raise self._error(f"says {', '.join(found) or 'nothing'} after it took {address}")

    def look(self) -> None:
        """Ask what `point` asks first; nothing is changed."""
        self._read_mark()

    def _read_mark(self) -> _Mark:
        answer = self._query(self._mark, "TXT")
        texts = [
            b"".join(item.strings).decode("ascii", "replace")
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.TXT
            for item in rrset
        ]
        return _Mark(texts[0] if texts else None)

    def _addresses(self, kind: str) -> list[str]:
        answer = self._query(self._name, kind)
        wanted = dns.rdatatype.from_text(kind)
        return [item.address for rrset in answer.answer if rrset.rdtype == wanted for item in rrset]

    def _query(self, name: dns.name.Name, kind: str) -> dns.message.Message:
        """Asked of the zone's own server, which must not answer from what it keeps of others."""
        question = dns.message.make_query(name, kind)
        question.flags &= ~dns.flags.RD
        answer = self._ask(question)
        if answer.rcode() != dns.rcode.NXDOMAIN:
            self._require_done(answer)
        if not answer.flags & dns.flags.AA:
            raise self._error(f"it does not serve the zone {self._config.zone}")
        return answer

    def _require_done(self, answer: dns.message.Message) -> None:
        code = answer.rcode()
        if code != dns.rcode.NOERROR:
            why = _REFUSED.get(code, "it refuses")
            raise self._error(f"{why} ({dns.rcode.to_text(code)})")

    def _ask(self, message: dns.message.Message) -> dns.message.Message:
        timeout = self._config.timeout_seconds
        try:
            return dns.query.tcp(message, self._host, timeout=timeout, port=self._port)
        except dns.exception.Timeout:
            raise self._error(f"does not answer within {timeout:g} s") from None
        except dns.tsig.PeerError as error:
            raise self._error(f"does not take the key {self._config.key_name}: {error}") from None
        except dns.exception.DNSException as error:
            raise self._error(
                f"answers what cannot be read: {error or type(error).__name__}"
            ) from None
        except OSError as error:
            raise self._error(f"cannot be reached ({error.strerror or error})") from None

    def _error(self, text: str) -> DnsError:
        return DnsError(f"dns {self._config.name} at {self._config.server}: {text}")
