"""Reading a myha.toml: of one pair, or of all that one supervisor has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from myha.config.api import ApiConfig, api_problems
from myha.config.document import Config, Origin
from myha.config.files import Content, Document, WatchedFile, read_file
from myha.config.pairs import PairDocuments, Read, has_pairs
from myha.config.refusals import line_of, problems_of, refusal
from myha.config.relations import relation_problems
from myha.config.supervisor import API, ProcessConfig, SupervisorConfig, pair_problems
from myha.errors import ConfigError

DEFAULT_PATHS = (Path("myha.toml"), Path("/etc/myha/myha.toml"))
NAMES_SHOWN = 8


def load(path: Path, pair: str | None = None) -> Config:
    """The checked configuration of a pair; its name is needed only where there are several.

    Raises ConfigError with one line for each problem. How pairs fit each other is not looked at.
    """
    main = read_file(path.expanduser().absolute())
    if not has_pairs(main.document):
        _api_of(main)
        config = _alone(main)
        if pair not in {None, config.cluster.name}:
            raise ConfigError(
                f"{main.path}: is of the pair {config.cluster.name} alone, and has no {pair}"
            )
        return config
    documents = PairDocuments(main)
    if pair is None and len(documents.names) == 1:
        (pair,) = documents.names
    if pair is None:
        what = "name one with --pair" if documents.names else "add one, as [pairs.NAME]"
        raise ConfigError(f"{main.path}: has {listed(documents.names)}: {what}")
    if pair not in documents.names:
        close = difflib.get_close_matches(pair, documents.names, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"{main.path}: has {listed(documents.names)}, and not {pair!r}{hint}")
    return _of_many(documents, pair)


def load_all(path: Path) -> ProcessConfig:
    """All pairs of a file, checked also against each other. Raises ConfigError as `load`."""
    main = read_file(path.expanduser().absolute())
    api = _api_of(main)
    if not has_pairs(main.document):
        config = _alone(main)
        shared = SupervisorConfig(state_dir=config.cluster.state_dir, workers=1)
        pairs = {config.cluster.name: config}
        return ProcessConfig(main.path, shared, pairs, alone=True, log=config.log, api=api)
    documents = PairDocuments(main)
    refusals: list[str] = []
    pairs = {}
    for name in documents.names:
        try:
            pairs[name] = _of_many(documents, name)
        except ConfigError as error:
            refusals += str(error).splitlines()
    refusals += [line_of(main.path, problem) for problem in pair_problems(pairs)]
    if refusals:
        raise ConfigError("\n".join(dict.fromkeys(refusals)))
    return ProcessConfig(
        main.path, documents.shared, pairs, alone=False, log=documents.log, api=api
    )


def documents_now(path: Path, read: Read = read_file) -> dict[str, Document]:
    """What the files say of each pair, unchecked but for their form. Raises ConfigError."""
    main = read(path)
    if not has_pairs(main.document):
        return {"": main.document}
    documents = PairDocuments(main, read)
    return {name: documents.of(name).document for name in documents.names}


def load_ordered(order: Mapping[str, Any]) -> Config:
    """The configuration that a job is to work with: its supervisor's, whatever the file says now.

    By `Config.order`, or by the file in `config` where that is all that there is.
    """
    path = Path(str(order["config"]))
    document, folder = order.get("document"), order.get("folder")
    if isinstance(document, dict):
        return _checked(Origin(path, document, Path(str(folder)), several=bool(order["several"])))
    return load(path, order.get("pair") or None)


def listed(names: Iterable[str]) -> str:
    """`the pairs a, b and 3 more`."""
    known = sorted(names)
    if not known:
        return "no pair"
    shown, left = known[:NAMES_SHOWN], len(known) - NAMES_SHOWN
    more = f" and {left} more" if left > 0 else ""
    return f"the pair{'s' if len(known) > 1 else ''} {', '.join(shown)}{more}"


def _api_of(main: Content) -> ApiConfig:
    """What the file says of HTTP. Raises ConfigError."""
    try:
        api = ApiConfig.model_validate(
            main.document.get(API, {}), context={"folder": main.path.parent}
        )
    except ValidationError as error:
        raise refusal(main.path, problems_of(error, (API,))) from None
    problems = list(api_problems(api))
    if problems:
        raise refusal(main.path, problems)
    return api


def _alone(main: Content) -> Config:
    """[api] is the process's, and so no part of it: a pair is not begun anew for that."""
    file = WatchedFile(main.path)
    document = {table: rows for table, rows in main.document.items() if table != API}

    def changed() -> bool:
        now = file.now()
        return now is None or now.content_hash != main.content_hash

    return _checked(Origin(main.path, document, main.path.parent, changed))


def _of_many(documents: PairDocuments, name: str) -> Config:
    one = documents.of(name)
    origin = Origin(
        one.path,
        one.document,
        documents.path.parent,
        control_dir=documents.shared.state_dir,
        several=True,
    )
    return _checked(origin, one.prefix)


def _checked(origin: Origin, prefix: str = "") -> Config:
    """`prefix`: how keys of this document begin in its file."""
    context = {"path": origin.path, "folder": origin.folder, "origin": origin}
    try:
        config = Config.model_validate(origin.document, context=context)
    except ValidationError as error:
        raise refusal(origin.path, problems_of(error), prefix) from None
    problems = list(relation_problems(config))
    if problems:
        raise refusal(origin.path, problems, prefix)
    return config
