"""Where the server programs come from: PATH when they serve, else Debian packages in a prefix.

A prefix lives in the user's cache directory and is complete or absent: it is built under another
name and renamed at the end, one process at a time. Its programs run through its own loader with its
own libraries, so the machine's libc never meets theirs.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from myha.errors import ConfigError, MissingProgramError, MyhaError
from myha.files import locked
from myha.progress import Tell
from myha.sandbox import debian
from myha.sandbox.recipes import RECIPES, Recipe

LOCK_DEADLINE_SECONDS = 1800.0
VERSION_DEADLINE_SECONDS = 30.0
_MARKER = "myha-prefix.json"
_NOT_ON_PATH = (
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
)  # where servers live; not on an ordinary user's PATH


@dataclass(frozen=True)
class Program:
    """A program that can be started; `argv` is how, before its own options."""

    name: str
    argv: tuple[str, ...]
    version: str
    prefix: Path | None = None  # None: the machine's own
    plugin_dir: Path | None = None  # None: what the program was built with
    share_dir: Path | None = None  # holds the messages' folders and MariaDB's system table scripts

    def companion(self, name: str) -> tuple[str, ...] | None:
        """How to start another program that came with this one, such as `mysqldump`, or None."""
        if self.prefix is not None:
            return _prefix_argv(self.prefix, name)
        found = _on_path(name)
        return (str(found),) if found else None

    def environment(self) -> dict[str, str]:
        """What a program that was built for another place needs in its environment; add to yours.

        Where a client's login plugins and sysbench's own scripts lie.
        """
        if self.prefix is None:
            return {}
        found: dict[str, str] = {}
        plugins = sorted(self.prefix.glob("usr/lib/*/libmariadb3/plugin"))
        if plugins:
            found["MARIADB_PLUGIN_DIR"] = str(plugins[0])
        scripts = self.prefix / "usr" / "share" / "sysbench"
        if scripts.is_dir():
            found["LUA_PATH"] = f"{scripts}/?.lua;;"
        return found


def cache_dir() -> Path:
    """MYHA_CACHE_DIR, or the user's cache directory."""
    return Path(os.environ.get("MYHA_CACHE_DIR") or platformdirs.user_cache_dir("myha"))


def chosen_suite() -> str:
    """MYHA_DEBIAN: the Debian suite whose programs are wanted, whatever PATH has; mostly empty."""
    return os.environ.get("MYHA_DEBIAN", "")


def find(name: str) -> Program | None:
    """The program from PATH if it serves, else from its fetched prefix; None when neither is there.

    Where MYHA_DEBIAN names a suite, PATH does not count.

    Raises ConfigError for a name that is not in RECIPES.
    """
    recipe = _recipe(name)
    on_path = None if _chosen(recipe) else _find_on_path(recipe)
    return on_path or _find_in_prefix(recipe)


def fetch(name: str, progress: Tell = lambda _: None, *, again: bool = False) -> Program:
    """The program, downloaded first if it is nowhere yet (or anew with `again`).

    Raises MissingProgramError when it can be neither found nor fetched, MyhaError when the download
    fails.
    """
    recipe = _recipe(name)
    if not again and (program := find(name)):
        return program
    if not debian.apt_is_here():
        oldest = ".".join(map(str, recipe.minimum))
        raise MissingProgramError(
            f"{name} is not installed and cannot be fetched without apt and Debian's keyring:"
            f" install {recipe.executables[0]} {oldest} or newer on PATH"
        )

    def tell(text: str) -> None:
        progress(f"{recipe.prefix_name}: {text}")

    with cache_lock(cache_dir() / "programs", tell) as lock_fd:
        if again or _find_in_prefix(recipe) is None:
            _fetch_prefix(RECIPES[recipe.prefix_name], tell, lock_fd)
    program = _find_in_prefix(recipe)
    if program is None:
        raise MyhaError(f"{name} was fetched into {_prefix(recipe)} and does not start there")
    return program


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ConfigError(f"no program is known as {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name]


def _chosen(recipe: Recipe) -> str:
    return chosen_suite() if recipe.any_suite else ""


def _prefix(recipe: Recipe) -> Path:
    return cache_dir() / "programs" / _chosen(recipe) / recipe.prefix_name


def _on_path(name: str) -> Path | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_NOT_ON_PATH])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _find_on_path(recipe: Recipe) -> Program | None:
    for executable in recipe.executables:
        path = _on_path(executable)
        version = _version(recipe, (str(path),)) if path else None
        if path and version:
            return Program(
                recipe.name,
                (str(path),),
                version,
                share_dir=_share_dir(path.resolve().parent.parent),
            )
    return None


def _share_dir(usr: Path) -> Path | None:
    folders = (usr / "share" / name for name in ("mysql", "mariadb"))
    return next((folder for folder in folders if (folder / "english").is_dir()), None)


def _find_in_prefix(recipe: Recipe) -> Program | None:
    prefix = _prefix(recipe)
    try:
        known = json.loads((prefix / _MARKER).read_text())["versions"]
    except (OSError, ValueError, KeyError):
        return None
    argv = _prefix_argv(prefix, recipe.executables[0], perl=recipe.perl)
    version = known.get(recipe.name)
    if argv is None or version is None:
        return None
    plugin_dir = prefix / "usr" / "lib" / "mysql" / "plugin"
    return Program(
        name=recipe.name,
        argv=argv,
        version=version,
        prefix=prefix,
        plugin_dir=plugin_dir if plugin_dir.is_dir() else None,
        share_dir=_share_dir(prefix / "usr"),
    )


def _prefix_argv(prefix: Path, executable: str, *, perl: bool = False) -> tuple[str, ...] | None:
    """The prefix's own loader with the prefix's own libraries, then the program."""
    usr = prefix / "usr"
    path = next((p for d in ("sbin", "bin") if (p := usr / d / executable).is_file()), None)
    libraries = sorted(d for d in usr.glob("lib/*-linux-gnu*") if d.is_dir())
    # Not lib64/ld-linux-*: in older packages an absolute link, to the machine's own loader.
    loaders = sorted(loader for folder in libraries for loader in folder.glob("ld-linux-*.so.*"))
    if path is None or not loaders or not libraries:
        return None
    argv = (str(loaders[0]), "--library-path", ":".join(map(str, libraries)))
    if not perl:
        return (*argv, str(path))
    modules = [usr / "share" / "perl5", *sorted(usr.glob("lib/*/perl5/*"))]
    modules += [*sorted(usr.glob("lib/*/perl/*")), *sorted(usr.glob("share/perl/*"))]
    includes = tuple(word for module in modules for word in ("-I", str(module)))
    return (*argv, str(usr / "bin" / "perl"), *includes, str(path))


def _version(recipe: Recipe, argv: tuple[str, ...]) -> str | None:
    """The version that the program itself states; None when it does not start or does not serve."""
    try:
        done = subprocess.run(
            [*argv, recipe.version_option],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=VERSION_DEADLINE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = f"{done.stdout}\n{done.stderr}".replace(argv[-1], "")
    number = r"(\d+(?:\.\d+)+)"
    found = re.search(rf"(?:\bVer|[Vv]ersion:?)\s+{number}", line) or re.search(number, line)
    if done.returncode != 0 or found is None:
        return None
    if (recipe.refuse and recipe.refuse in line) or recipe.require not in line:
        return None
    serves = tuple(int(part) for part in found[1].split(".")) >= recipe.minimum
    return found[1] if serves else None


@contextmanager
def cache_lock(folder: Path, progress: Tell) -> Iterator[int]:
    """One process at a time works in `folder`; the kernel lets go when the holders are gone.

    Yields the lock's descriptor, for children that are to hold it too.
    """
    path = folder / ".lock"
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = held.enter_context(locked(path))
            except BlockingIOError:
                progress("waiting for another process that fills the cache")
                descriptor = held.enter_context(locked(path, wait_seconds=LOCK_DEADLINE_SECONDS))
        except BlockingIOError:
            raise MyhaError(
                f"another process has held {path} for {LOCK_DEADLINE_SECONDS:.0f} s"
            ) from None
        except OSError as error:
            raise MyhaError(
                f"cannot write to the cache directory {folder}: {error.strerror};"
                " set MYHA_CACHE_DIR to one that can be written"
            ) from error
        yield descriptor


def _fetch_prefix(recipe: Recipe, progress: Tell, lock_fd: int) -> None:
    folder = cache_dir() / "programs"
    for left in folder.glob(
        ".fetch-*"
    ):  # of a fetch that was killed: whoever has the lock is alone
        shutil.rmtree(left, ignore_errors=True)
    work = folder / f".fetch-{recipe.name}-{os.getpid()}"
    try:
        work.mkdir(mode=0o700)
        fresh = _install_from_first_suite(recipe, work, progress, lock_fd)
        final = _prefix(recipe)
        final.parent.mkdir(exist_ok=True)
        if final.exists():
            final.rename(work / "old")
        fresh.rename(final)
    except OSError as error:
        raise MyhaError(f"cannot fetch {recipe.name} into {folder}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    progress(f"ready in {final}")


def _install_from_first_suite(recipe: Recipe, work: Path, progress: Tell, lock_fd: int) -> Path:
    """Try the suites in order: an old one leaves the mirrors one day. Raises the last error."""
    failure: MyhaError | None = None
    chosen = _chosen(recipe)
    for suite in dict.fromkeys((chosen, *recipe.suites) if chosen else recipe.suites):
        scratch, fresh = work / f"apt-{suite}", work / f"prefix-{suite}"
        scratch.mkdir()
        fresh.mkdir(mode=0o755)
        try:
            packages = debian.install(
                recipe.packages, suite, scratch, fresh, progress, lock_fd=lock_fd
            )
            versions = _versions(recipe, fresh)
        except MissingProgramError:
            raise
        except MyhaError as error:
            progress(f"Debian {suite} cannot be used: {error}")
            failure = error
            continue
        content = {"suite": suite, "versions": versions, "packages": packages}
        (fresh / _MARKER).write_text(json.dumps(content, indent=1, sort_keys=True))
        return fresh
    raise failure or MyhaError(f"{recipe.name}: no suite to fetch it from")


def _versions(recipe: Recipe, prefix: Path) -> dict[str, str]:
    """What every program that this prefix is to hold says of itself, started from there."""
    versions = {}
    for other in RECIPES.values():
        if other.prefix_name != recipe.name:
            continue
        argv = _prefix_argv(prefix, other.executables[0], perl=other.perl)
        version = _version(other, argv) if argv else None
        if version is None:
            raise MyhaError(f"the fetched {other.name} does not start or is too old")
        versions[other.name] = version
    return versions
