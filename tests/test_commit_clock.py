"""When commits count as stuck."""

from myha.servers.base import CommitClock


def test_commits_that_do_not_end_are_stuck() -> None:
    clock = CommitClock()
    assert [clock.stuck_seconds({4, 7}, 1000, at) for at in (5.0, 6.0, 9.5)] == [0.0, 1.0, 4.5]


def test_a_commit_that_writes_the_binary_log_goes_on() -> None:
    clock = CommitClock()
    looks = [clock.stuck_seconds({4}, 1000 * int(at), at) for at in (5.0, 6.0, 17.0)]
    assert looks == [0.0, 0.0, 0.0]
    assert clock.stuck_seconds({4}, 17000, 19.0) == 2.0  # from there on nothing more was written


def test_others_that_begin_later_are_not_stuck_as_long() -> None:
    clock = CommitClock()
    clock.stuck_seconds({4}, 1000, 5.0)
    assert clock.stuck_seconds({7}, 1000, 8.0) == 0.0
    assert clock.stuck_seconds(set(), -1, 9.0) == 0.0
