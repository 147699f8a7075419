"""How far outcomes must be read before a mail leaves: positions of one log each."""

from rollcall_notifier.facts import ReadUpTo


def test_an_end_has_the_epoch_that_was_read_before_it() -> None:
    read_up_to = ReadUpTo()
    assert not read_up_to.is_known

    read_up_to.know({0: 50, 1: 7}, {0: 3})

    assert read_up_to.is_known
    assert read_up_to.columns() == ([0, 1], [3, 0], [50, 7])


def test_reading_raises_the_offset_and_never_lowers_it() -> None:
    read_up_to = ReadUpTo()
    read_up_to.know({0: 50}, {})

    for epoch, offset in ((0, 49), (0, 60), (0, 55)):
        read_up_to.raise_to(0, epoch, offset)

    assert read_up_to.columns() == ([0], [0], [60])


def test_a_new_log_is_beyond_the_old_one_wherever_it_begins() -> None:
    read_up_to = ReadUpTo()
    read_up_to.know({0: 500}, {})

    read_up_to.raise_to(0, 1, 2)
    read_up_to.raise_to(0, 0, 900)

    assert read_up_to.columns() == ([0], [1], [2])


def test_before_the_ends_are_known_nothing_is_kept() -> None:
    read_up_to = ReadUpTo()

    read_up_to.raise_to(0, 0, 5)

    assert read_up_to.columns() == ([], [], [])
