"""Numbers in sentences."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 user`, `2 users`, `1,000 keys`; `many` where the plural is not made by an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
