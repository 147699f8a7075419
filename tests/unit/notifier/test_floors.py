"""How far outcomes must be read before a mail leaves: places of one log each."""

from rollcall_notifier.facts import Floors


def test_a_floor_has_the_epoch_of_before_the_end_was_asked() -> None:
    floors = Floors()
    assert not floors.is_known

    floors.know({0: 50, 1: 7}, {0: 3})

    assert floors.is_known
    assert floors.columns() == ([0, 1], [3, 0], [50, 7])


def test_what_was_read_raises_a_floor_and_never_lowers_it() -> None:
    floors = Floors()
    floors.know({0: 50}, {})

    for epoch, offset in ((0, 49), (0, 60), (0, 55)):
        floors.raise_to(0, epoch, offset)

    assert floors.columns() == ([0], [0], [60])


def test_a_new_log_is_beyond_the_old_one_wherever_it_begins() -> None:
    floors = Floors()
    floors.know({0: 500}, {})

    floors.raise_to(0, 1, 2)
    floors.raise_to(0, 0, 900)

    assert floors.columns() == ([0], [1], [2])


def test_before_the_ends_are_known_nothing_is_kept() -> None:
    floors = Floors()

    floors.raise_to(0, 0, 5)

    assert floors.columns() == ([], [], [])
