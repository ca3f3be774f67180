"""What a configuration of many pairs says of each: one file, and a folder of files beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from myha.config.files import Content, Document, read_file
from myha.config.refusals import not_known, problems_of, refusal
from myha.config.supervisor import (
    API,
    LOG,
    PAIR_NAME,
    PAIRS,
    PAIRS_FOLDER,
    SHARED,
    SUPERVISOR,
    SupervisorConfig,
)
from myha.config.tables import TABLES, LogConfig
from myha.config.values import Problem
from myha.core.values import value
from myha.errors import ConfigError

Read: TypeAlias = Callable[[Path], Content]


def has_pairs(document: Document) -> bool:
    """Whether a file is of many pairs, though it may name none yet."""
    return SUPERVISOR in document or PAIRS in document


@value(frozen=True, slots=True)
class PairDocument:
    """A pair as a file of its own would have it, shared tables included; unchecked.

    `path` is the file that has it, and `prefix` how its keys begin there.
    """

    path: Path
    prefix: str
    document: Document


class PairDocuments:
    """Raises ConfigError when made, for what concerns no single pair."""

    def __init__(self, main: Content, read: Read = read_file) -> None:
        self._main = main
        self._read = read
        self.path = main.path
        self.shared = self._supervisor()
        self.log = self._log()
        self._tables = self._of_the_file()
        self._files = self._of_the_folder()
        self.names = tuple(sorted({*self._tables, *self._files}))

    def _supervisor(self) -> SupervisorConfig:
        problems = list(self._misplaced())
        if problems:
            raise refusal(self.path, problems)
        try:
            return SupervisorConfig.model_validate(
                self._main.document.get(SUPERVISOR, {}), context={"folder": self.path.parent}
            )
        except ValidationError as error:
            raise refusal(self.path, problems_of(error, (SUPERVISOR,))) from None

    def _log(self) -> LogConfig:
        try:
            return LogConfig.model_validate(self._main.document.get(LOG, {}))
        except ValidationError as error:
            raise refusal(self.path, problems_of(error, (LOG,))) from None

    def _misplaced(self) -> Iterator[Problem]:
        """What must not stand beside [pairs.NAME]."""
        document, known = self._main.document, (SUPERVISOR, API, PAIRS, LOG, *SHARED)
        for table in (one for one in document if one not in known):
            if table in TABLES:
                yield table, f"belongs to one pair; write [{PAIRS}.NAME.{table}...]"
            else:
                yield table, not_known(table, known)
        cluster = document.get("cluster")
        for key in ("name", "state_dir"):
            if isinstance(cluster, dict) and key in cluster:
                yield f"cluster.{key}", "is not for all pairs: each has its own; remove it"

    def _of_the_file(self) -> Mapping[str, object]:
        tables = self._main.document.get(PAIRS, {})
        if not isinstance(tables, dict):
            raise refusal(self.path, [(PAIRS, "must be tables; write them as [pairs.NAME]")])
        for name in tables:
            _check_name(name, self.path, f"{PAIRS}.{name!r}")
        return tables

    def _of_the_folder(self) -> dict[str, Path]:
        """Files whose names begin with a dot or do not end with .toml are an editor's."""
        folder = self.path.parent / PAIRS_FOLDER
        try:
            found = sorted(folder.iterdir())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot be read ({error.strerror}); let this user read it"
            ) from None
        files: dict[str, Path] = {}
        for one in found:
            if one.suffix != ".toml" or one.name.startswith("."):
                continue
            _check_name(one.stem, one, "the file's name")
            if one.stem in self._tables:
                raise ConfigError(
                    f"{one}: the pair {one.stem} is in {self.path} too, as "
                    f"[{PAIRS}.{one.stem}]; remove one of the two"
                )
            files[one.stem] = one
        return files

    def of(self, name: str) -> PairDocument:
        """What is said of this pair. Raises ConfigError."""
        if name in self._files:
            content = self._read(self._files[name])
            return PairDocument(
                content.path, "", self._merged(name, content.document, content.path)
            )
        prefix = f"{PAIRS}.{name}."
        document = self._merged(name, self._tables[name], self.path, prefix)
        return PairDocument(self.path, prefix, document)

    def _merged(self, name: str, own: object, path: Path, prefix: str = "") -> Document:
        """Key by key its own, else the shared one."""
        if not isinstance(own, dict):
            text = f"must be a table; write it as [{PAIRS}.{name}.nodes.a] and so on"
            raise refusal(path, [(prefix.removesuffix("."), text)])
        misplaced = [key for key in (SUPERVISOR, API, PAIRS) if key in own]
        if misplaced:
            key = misplaced[0]
            raise refusal(path, [(prefix + key, f"has its place in {self.path}; remove it here")])
        if LOG in own:
            text = f"is the same for all pairs; write it into {self.path}, beside them"
            raise refusal(path, [(prefix + LOG, text)])
        document = dict(own)
        for table in SHARED:
            common, mine = self._main.document.get(table), own.get(table, {})
            if isinstance(common, dict) and isinstance(mine, dict):
                document[table] = {**common, **mine}
            elif common is not None and table not in own:
                document[table] = common
        cluster = document.get("cluster", {})
        if isinstance(cluster, dict):
            if cluster.get("name", name) != name:
                text = f"is not {name!r}, by which the pair is known here; remove it"
                raise refusal(path, [(f"{prefix}cluster.name", text)])
            own_dir = str(self.shared.state_dir / PAIRS / name)
            document["cluster"] = {"state_dir": own_dir, **cluster, "name": name}
        return document


def _check_name(name: str, path: Path, key: str) -> None:
    if not PAIR_NAME.fullmatch(name):
        text = "is no valid name of a pair; use 1 to 64 letters, digits, _, . and -"
        raise refusal(path, [(key, text)])
