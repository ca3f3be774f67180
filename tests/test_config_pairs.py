"""A configuration of many pairs: what is shared, what is refused, and how a pair is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from myha.cli.init import init
from myha.config import Config, load, load_all, load_ordered
from myha.config.files import Content, KeptFiles, read_file
from myha.config.load import documents_now
from myha.errors import ConfigError

PAIR = """
[{0}nodes.a]
host = "{1}a"
[{0}nodes.b]
host = "{1}b"
[{0}balancers.lb1]
socket = "/run/{1}.sock"
writer_listen = "127.0.0.1:3307"
reader_listen = "127.0.0.1:3308"
"""
HEAD = '[supervisor]\nstate_dir = "state"\n'


def in_file(name: str) -> str:
    return PAIR.format(f"pairs.{name}.", name)


def in_folder(name: str) -> str:
    return PAIR.format("", name)


def written(folder: Path, text: str, **files: str) -> Path:
    path = folder / "myha.toml"
    path.write_text(text)
    for name, content in files.items():
        (folder / "pairs.d").mkdir(exist_ok=True)
        (folder / "pairs.d" / f"{name}.toml").write_text(content)
    return path


def refusal(path: Path) -> list[str]:
    """The lines of the refusal, without the folder that the files are in."""
    with pytest.raises(ConfigError) as caught:
        load_all(path)
    assert caught.value.exit_status == 2
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path.parent}/") for line in lines), lines
    return [line.removeprefix(f"{path.parent}/") for line in lines]


def test_pairs_stand_in_the_file_and_in_the_folder_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + in_file("orders") + in_file("Shop-2"), billing=in_folder("bil"))
    (tmp_path / "pairs.d" / "old.toml~").write_text("[[[")
    (tmp_path / "pairs.d" / ".#new.toml").write_text("[[[")
    whole = load_all(path)
    assert not whole.alone
    assert list(whole.pairs) == ["Shop-2", "billing", "orders"]
    for name, config in whole.pairs.items():
        assert config.cluster.name == name
        assert config.cluster.state_dir == tmp_path / "state" / "pairs" / name
        assert config.control_dir == tmp_path / "state"
        assert config.option == f" --pair {name}"
        assert not config.changed_on_disk()
    assert whole.pairs["billing"].path == tmp_path / "pairs.d" / "billing.toml"
    assert load(path, "billing").nodes["a"].host == "bila"


def test_a_file_of_one_pair_is_what_it_was(tmp_path: Path) -> None:
    path = written(tmp_path, in_folder("one"), other=in_folder("other"))
    whole = load_all(path)
    assert whole.alone
    (config,) = whole.pairs.values()
    assert load(path, "main").document == config.document
    assert config.control_dir == config.cluster.state_dir == Path("/var/lib/myha")
    assert not config.option
    with pytest.raises(ConfigError, match="is of the pair main alone, and has no other$"):
        load(path, "other")


def test_what_stands_beside_the_pairs_is_for_all_of_them(tmp_path: Path) -> None:
    shared = '[timing]\ndeadtime_seconds = 4\nniceness = -3\n[accounts]\nsupervisor_user = "s"\n'
    own = '[pairs.x.timing]\ndeadtime_seconds = 5\n[pairs.x.cluster]\nstate_dir = "own"\n'
    path = written(tmp_path, HEAD + shared + in_file("x") + own, y=in_folder("y"))
    whole = load_all(path)
    x, y = whole.pairs["x"], whole.pairs["y"]
    assert (x.timing.deadtime_seconds, y.timing.deadtime_seconds) == (5, 4)
    assert (x.timing.niceness, whole.niceness) == (-3, -3)
    assert x.cluster.state_dir == tmp_path / "own"
    # Paths count from the folder of the file beside pairs.d, for the pairs in it too.
    assert y.accounts.supervisor_user == "s"
    assert y.accounts.supervisor_password_file == tmp_path / "secrets" / "supervisor"


def test_a_pair_is_named_where_there_are_several(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD)
    with pytest.raises(ConfigError, match=r"has no pair: add one, as \[pairs.NAME\]"):
        load(path)
    assert not load_all(path).pairs
    path = written(tmp_path, HEAD + in_file("one"))
    assert load(path).cluster.name == "one"
    assert load(path).option == " --pair one"
    path = written(tmp_path, HEAD + "".join(in_file(f"pair{n}") for n in range(10)))
    with pytest.raises(ConfigError, match=r"pair0, .*, pair7 and 2 more: name one with --pair$"):
        load(path)
    with pytest.raises(ConfigError, match=r"and not 'pair'; did you mean pair\d\?$"):
        load(path, "pair")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[pairs]\nx = 3\n", "myha.toml: pairs.x: must be a table; write it as [pairs.x.nodes"),
        ("pairs = 3\n", "myha.toml: pairs: must be tables; write them as [pairs.NAME]"),
        ("[pairs.x]\n", "myha.toml: pairs.x.nodes: missing; add a table"),
        ("[supervisor]\nstate = 'x'\n", "myha.toml: supervisor.state: unknown key; did you mean s"),
        ("[supervisor]\nworkers = 65\n", "myha.toml: supervisor.workers: must be less than or eq"),
        ("supervisor = 3\n", "myha.toml: supervisor: must be a table; write it as [supervisor]"),
        ("[supervisr]\n[pairs]\n", "myha.toml: supervisr: unknown key; did you mean supervisor?"),
        (HEAD + in_folder("x"), "myha.toml: nodes: belongs to one pair; write [pairs.NAME.nodes"),
        (HEAD + "[cluster]\nname = 'x'\n", "myha.toml: cluster.name: is not for all pairs"),
        (HEAD + "[cluster]\nstate_dir = 'x'\n", "myha.toml: cluster.state_dir: is not for all"),
        (in_file("x").replace("xa", ""), "myha.toml: pairs.x.nodes.a.host: is empty"),
        (in_file("x") + "[pairs.x.lag]\nz = 1\n", "myha.toml: pairs.x.lag.z: unknown key"),
        (in_file("x") + "[timing]\nz = 1\n", "myha.toml: pairs.x.timing.z: unknown key"),
        (
            in_file("x") + "[pairs.x.cluster]\nname = 'y'\n",
            "myha.toml: pairs.x.cluster.name: is not 'x', by which the pair is known here",
        ),
        (
            in_file("x") + "[pairs.x.supervisor]\n",
            "myha.toml: pairs.x.supervisor: has its place in ",
        ),
        (
            in_file("x") + "[pairs.x.log]\nformat = 'json'\n",
            "myha.toml: pairs.x.log: is the same for all pairs; write it into ",
        ),
        (in_file("x") + "[log]\nform = 'json'\n", "myha.toml: log.form: unknown key; did you"),
        (in_file("x") + in_file("x"), "myha.toml: is not valid TOML: Cannot declare"),
    ],
)
def test_refused_with_key_and_remedy(tmp_path: Path, text: str, line: str) -> None:
    assert any(found.startswith(line) for found in refusal(written(tmp_path, text)))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", ".x", "é", "x" * 65, "a\n", "-x"])
def test_a_name_with_odd_characters_is_refused(tmp_path: Path, name: str) -> None:
    quoted = json.dumps(name)
    lines = refusal(written(tmp_path, PAIR.format(f"pairs.{quoted}.", "x")))
    assert len(lines) == 1
    assert "is no valid name of a pair; use 1 to 64 letters" in lines[0]


def test_a_file_with_an_odd_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD, **{"a b": in_folder("x")})
    (line,) = refusal(path)
    assert line.startswith("pairs.d/a b.toml: the file's name: is no valid name of a pair")


def test_a_pair_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + in_file("x"), x=in_folder("y"))
    (line,) = refusal(path)
    assert line.startswith("pairs.d/x.toml: the pair x is in ")
    assert line.endswith("as [pairs.x]; remove one of the two")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"yb"', '"XA"', "pairs.y.nodes.b.host: is the same server as pairs.x.nodes.a.host"),
        ('"/run/y.sock"', '"/run/x.sock"', "pairs.y.balancers.lb1.socket: is the same balancer"),
    ],
)
def test_what_two_pairs_must_not_share_is_refused(
    tmp_path: Path, old: str, new: str, line: str
) -> None:
    path = written(tmp_path, HEAD + in_file("x"), y=in_folder("y").replace(old, new))
    assert any(found.startswith(f"myha.toml: {line}") for found in refusal(path))


def test_a_folder_that_two_pairs_share_is_refused(tmp_path: Path) -> None:
    more = "".join(f"[pairs.{name}.cluster]\nstate_dir = 's'\n" for name in "xy")
    lines = refusal(written(tmp_path, in_file("x") + in_file("y") + more))
    assert lines[0].startswith("myha.toml: pairs.y.cluster.state_dir: is the same folder as pai")


def test_an_address_that_two_pairs_share_is_refused(tmp_path: Path) -> None:
    def with_address(name: str) -> str:
        first = in_file(name).replace("lb1]", 'lb1]\ninterface = "eth0"\nhost = "10.9.0.1"')
        balancer = first[first.index(f"[pairs.{name}.balancers") :]
        second = balancer.replace("lb1", "lb2").replace(f"{name}.sock", f"{name}2.sock")
        second = second.replace("10.9.0.1", "10.9.0.2")
        return f'{first}{second}[pairs.{name}.address]\nip = "10.9.0.9/24"\n'

    lines = refusal(written(tmp_path, with_address("x") + with_address("y")))
    assert lines[0].startswith("myha.toml: pairs.y.address.ip: is the same address as pairs.x.ad")


def test_a_replica_of_one_pair_is_no_node_of_another(tmp_path: Path) -> None:
    replica = '[pairs.y.replicas.r]\nhost = "xb"\n'
    lines = refusal(written(tmp_path, in_file("x") + in_file("y") + replica))
    assert lines[0].startswith("myha.toml: pairs.y.replicas.r.host: is the same server as pairs.x")


def test_every_broken_pair_has_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + in_file("x") + "[pairs.z]\n", y="[[[", w=HEAD)
    starts = [line.split(": ")[0] for line in refusal(path)]
    assert starts == ["pairs.d/w.toml", "pairs.d/y.toml", "myha.toml", "myha.toml"]


def _again(config: Config) -> Config:
    return load_ordered(json.loads(json.dumps(config.order)))


def test_a_job_works_with_what_its_supervisor_has_loaded(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + in_file("x"), y=in_folder("y"))
    whole = load_all(path)
    path.write_text("[[[")
    for config in whole.pairs.values():
        again = _again(config)
        assert again.model_dump() == config.model_dump()
        assert (again.path, again.option) == (config.path, config.option)


def test_what_has_changed_is_seen_for_each_pair(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + in_file("x"), y=in_folder("y"))
    before = documents_now(path)
    assert before == {name: one.document for name, one in load_all(path).pairs.items()}
    written(tmp_path, HEAD + "# a remark\n" + in_file("x"), y=in_folder("other"))
    now = documents_now(path)
    assert now["x"] == before["x"]
    assert now["y"] != before["y"]


def test_only_files_that_have_changed_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEAD, x=in_folder("x"), y=in_folder("y"))
    read: list[str] = []

    def counted(one: Path) -> Content:
        read.append(one.name)
        return read_file(one)

    monkeypatch.setattr("myha.config.files.read_file", counted)
    files = KeptFiles()
    before = documents_now(path, files.read)
    assert sorted(read) == ["myha.toml", "x.toml", "y.toml"]
    assert documents_now(path, files.read) == before
    assert len(read) == 3
    (tmp_path / "pairs.d" / "y.toml").write_text("[[[")
    for _ in range(2):
        with pytest.raises(ConfigError, match="is not valid TOML"):
            documents_now(path, files.read)
    written(tmp_path, HEAD, x=in_folder("x"), y=in_folder("other"))
    now = documents_now(path, files.read)
    assert (now["x"], now["y"]) == (before["x"], documents_now(path)["y"])
    assert now["y"] != before["y"]


# -- init ------------------------------------------------------------------------------------------


def test_init_writes_a_pair_beside_what_the_pairs_share(tmp_path: Path) -> None:
    path = tmp_path / "myha.toml"
    for name in ("orders", "billing"):
        done = CliRunner().invoke(init, ["--path", str(path), "--pair", name])
        assert done.exit_code == 0, done.output
        assert f"myha setup --pair {name} --plan" in done.output
        file = tmp_path / "pairs.d" / f"{name}.toml"
        text = file.read_text()
        file.write_text(
            text.replace('host = ""', f'host = "{name}1"', 1)
            .replace('host = ""', f'host = "{name}2"', 1)
            .replace("/run/haproxy", f"/run/{name}")
        )
        assert "state_dir =" not in text
    whole = load_all(path)
    assert list(whole.pairs) == ["billing", "orders"]
    assert whole.supervisor == load_all(written(tmp_path, "[supervisor]\n")).supervisor
    secret = whole.pairs["orders"].accounts.supervisor_password_file
    assert secret == tmp_path / "secrets" / "supervisor"
    assert secret.exists()


def test_init_of_a_pair_refuses_what_it_would_spoil(tmp_path: Path) -> None:
    path = written(tmp_path, in_folder("one"))
    for words, why in (
        (("--pair", "two"), "is of one pair. For several, put it into pairs.d/NAME.toml"),
        (("--pair", "a/b"), "--pair 'a/b': use 1 to 64 letters"),
    ):
        done = CliRunner().invoke(init, ["--path", str(path), *words])
        assert isinstance(done.exception, ConfigError)
        assert why in str(done.exception)
    assert not (tmp_path / "pairs.d").exists()
