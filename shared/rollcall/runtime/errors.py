"""Two errors that a process meets from outside: wrong settings, and a dependency that is away."""


class Unavailable(Exception):
    """A dependency of this process cannot be used at present; try later.

    `what` names it in plain words (`Postgres`, `Kafka`, `the mail server`); `retry_after_s` is a
    guess in seconds when trying again makes sense.
    """

    def __init__(self, what: str, retry_after_s: float = 5.0) -> None:
        super().__init__(f"{what} is unavailable, try again in {retry_after_s:g} s")
        self.what = what
        self.retry_after_s = retry_after_s


class Unacknowledged(Unavailable):
    """Something did not answer in time, so what was asked of it may or may not have happened."""


class InvalidSettings(Exception):
    """Settings are missing or wrong; the message has one line for each."""
