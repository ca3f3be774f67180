"""A sandbox's files: written when it is laid out, removed when it is taken down."""

import secrets
import shutil
from dataclasses import replace

from myha import config as configuration
from myha.files import write_private
from myha.sandbox import registry
from myha.sandbox.configuration import ConfigurationText
from myha.sandbox.layout import Layout
from myha.sandbox.registry import STATE_FILE
from myha.sandbox.servers import write_option_file
from myha.sandbox.state import NODE_NAMES, STRAY


def write_files(sandbox: Layout) -> None:
    """All but what a server, a balancer or a member makes itself when it starts."""
    sandbox.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("admin", "app", "supervisor", "replication"):
        write_private(sandbox.directory / "secrets" / name, secrets.token_urlsafe(18) + "\n")
    for node in sandbox.machines.values():
        node.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_option_file(node)
    text = ConfigurationText(
        directory=sandbox.directory,
        mode=sandbox.state.mode,
        durability=sandbox.state.durability,
        state_dir=sandbox.state_dir,
        nodes=sandbox.nodes,
        replicas=sandbox.replicas,
        balancers=sandbox.balancer_addresses.values(),
        # Ending a process is a signal on this machine: it would reach across every cut.
        fences=sandbox.network is None,
        address=sandbox.state.address,
        etcd=tuple(one.endpoint for one in sandbox.members),
        api=sandbox.state.api,
    )
    for member in sandbox.members:
        member.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, sandbox.state.supervisors + 1):
        path = sandbox.config_path_of(number)
        path.write_text(replace(text, state_dir=sandbox.state_dir_of(number)).text())
        configuration.load(path)  # what we write must be what myha accepts


def remove_files(sandbox: Layout) -> None:
    """All of it, once no process runs; last what the rest is found by."""
    shutil.rmtree(sandbox.run_dir, ignore_errors=True)
    ours = [
        *NODE_NAMES,
        *sandbox.replicas,
        STRAY,
        *(sandbox.balancer_dir(name).name for name in sandbox.balancer_addresses),
        *([] if sandbox.shared_address is None else sandbox.shared_address.folders),
        "secrets",
        "myha.toml",
        *(one.name for one in sandbox.members),
        *(f"{one.name}.{kind}" for one in sandbox.supervisors for kind in ("pid", "log")),
        *(sandbox.config_path_of(n).name for n in range(2, len(sandbox.supervisors) + 1)),
    ]
    # A directory that we made goes as a whole; in another one only what is ours.
    names = [p.name for p in sandbox.directory.iterdir()] if sandbox.state.made_directory else ours
    for path in (sandbox.directory / name for name in names if name != STATE_FILE):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    (sandbox.directory / STATE_FILE).unlink(missing_ok=True)
    if sandbox.state.made_directory:
        sandbox.directory.rmdir()
    registry.release(sandbox.directory)
