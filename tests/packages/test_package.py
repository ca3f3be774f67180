"""What the package leaves on a machine, through its whole life there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.packages.machine import Machine
from tests.waiting import until

EXPOSURE_LIMIT = 2.0  # systemd's own mark, from 0 (sealed) to 10


def test_lintian_finds_no_error(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", str(package)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout


def test_it_brings_what_it_needs_and_works(machine: Machine) -> None:
    assert machine.run("myha --version").startswith("myha, version ")
    assert "switchover" in machine.run("myha --help")
    machine.run("test -s /usr/share/man/man1/myha-switchover.1.gz")
    for shell in ("bash-completion/completions/myha", "zsh/vendor-completions/_myha"):
        machine.run(f"test -s /usr/share/{shell}")
    compiled = machine.run("find /usr/lib/myha -name '*.pyc' | wc -l")
    assert int(compiled) > 100, "the service's user could not"
    libraries = machine.run(
        "/usr/lib/myha/bin/python -I -c 'import pydantic; print(pydantic.__file__)'"
    )
    assert libraries.startswith("/usr/lib/myha/")


def test_its_folders_are_of_its_user_alone(machine: Machine) -> None:
    stated = machine.run("stat -c '%U:%G %a %n' /etc/myha /etc/myha/secrets /var/lib/myha")
    assert stated.splitlines() == [
        "myha:myha 750 /etc/myha",
        "myha:myha 700 /etc/myha/secrets",
        "myha:myha 750 /var/lib/myha",
    ]
    assert machine.run("getent passwd myha").split(":")[-1].strip().endswith("nologin")


def test_the_unit_is_one_that_systemd_likes(machine: Machine) -> None:
    done = machine.call("systemd-analyze verify myha.service")
    ours = [line for line in done.stderr.splitlines() if "myha" in line and "man " not in line]
    assert ours == [], done.stderr
    told = machine.run("systemd-analyze security --no-pager myha.service")
    exposure = re.search(r"Overall exposure level for myha.service: ([\d.]+)", told)
    assert exposure is not None
    assert float(exposure[1]) <= EXPOSURE_LIMIT, told


def test_it_does_not_start_before_it_is_wanted_and_then_says_what_is_missing(
    machine: Machine,
) -> None:
    assert machine.call("systemctl is-enabled myha").stdout.strip() == "disabled"
    machine.run("systemctl start myha")
    assert machine.show("myha", "ConditionResult") == "no", "there is no configuration"
    machine.run("cd /etc/myha && myha init --path myha.toml", user="myha")
    machine.run("sed -i 's/^host = .*/host = \"127.0.0.1\"/' /etc/myha/myha.toml")
    machine.run("systemctl start --no-block myha")
    try:
        said = until(
            lambda: re.search("myha: .*", machine.run("journalctl -u myha --no-pager -o cat")),
            "what the service says",
        )
    finally:
        machine.run("systemctl stop myha; rm -r /etc/myha/myha.toml /etc/myha/secrets/*")
    assert "Traceback" not in machine.run("journalctl -u myha --no-pager")
    assert said[0].removeprefix("myha: "), said


def test_an_upgrade_a_removal_and_a_purge(machine: Machine, package: Path, tmp_path: Path) -> None:
    machine.run("echo kept >/etc/myha/myha.toml; echo kept >/var/lib/myha/record.sqlite")
    newer = machine.image.bring(_newer(package, tmp_path))
    machine.run(f"dpkg -i {newer}")
    assert machine.run("dpkg-query -W -f '${Version}' myha").endswith("+newer")
    assert machine.run("cat /etc/myha/myha.toml /var/lib/myha/record.sqlite") == "kept\nkept\n"
    machine.run("myha --version")

    machine.run("apt-get -q -y remove myha")
    assert machine.run("cat /etc/myha/myha.toml /var/lib/myha/record.sqlite") == "kept\nkept\n"
    machine.run("test ! -e /usr/lib/myha && test ! -e /usr/bin/myha")

    machine.run("apt-get -q -y purge myha")
    machine.run("test ! -e /etc/myha && test ! -e /var/lib/myha")
    assert machine.call("getent passwd myha").returncode == 2
    machine.run(f"dpkg -i {newer} && myha --version")


def _newer(package: Path, folder: Path) -> Path:
    """The same as a later version."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+newer", control.read_text(), flags=re.M))
    made = folder / "myha_newer.deb"
    subprocess.run(["dpkg-deb", "-b", "-Zgzip", "-z1", str(tree), str(made)], check=True)
    shutil.rmtree(tree)
    return made
