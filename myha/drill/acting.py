"""The supervisors of a sandbox as one: what is asked goes to the one that acts, and their journals
are read together, as the files that they are, whoever of them lives."""

from __future__ import annotations

from dataclasses import replace

from myha.config import Config
from myha.core.events import ALL, Wanted
from myha.core.journal_line import Line, Note
from myha.errors import MyhaError, SupervisorAwayError
from myha.stores.local.journal import read_journal
from myha.supervisor.client import Client
from myha.supervisor.requests import Reply
from myha.supervisor.status import Status

MICROSECONDS = 1_000_000


class ActingClient(Client):
    """Of several configurations of one pair, each a supervisor's."""

    def __init__(self, configs: tuple[Config, ...]) -> None:
        super().__init__(configs[0])
        self._folders = [one.cluster.state_dir for one in configs]
        self._clients = [Client(one) for one in configs]

    def acting(self) -> int:
        """Which one acts. `SupervisorAwayError` when none does."""
        away: MyhaError | None = None
        for number, one in enumerate(self._clients):
            try:
                failure = one.status().lease_failure
            except MyhaError as error:  # gone, in line, or dying just now
                away = error
                continue
            if not failure:  # one that goes on after a pause does not know yet
                return number
            away = MyhaError(failure)
        raise SupervisorAwayError(str(away))

    def status(self) -> Status:
        return self._clients[self.acting()].status()

    def note_drill(self, note: Note) -> None:
        """In the journal of the one that acts."""
        self._clients[self.acting()].note_drill(note)

    def request(self, name: str, **arguments: str | float | None) -> Reply:
        return self._clients[self.acting()].request(name, **arguments)

    def events(self, limit: int, after: int = 0, wanted: Wanted = ALL) -> list[Line]:
        """The lines of all journals in the order of their times, which number them here."""
        found: list[Line] = []
        for folder in self._folders:
            try:
                lines = read_journal(folder, limit, 0, wanted)
            except MyhaError:
                continue
            found += [replace(line, id=round(line.at * MICROSECONDS)) for line in lines]
        found.sort(key=lambda line: line.id)
        return [line for line in found if line.id > after][-limit:]
