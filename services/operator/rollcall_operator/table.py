"""The layout of tables: aligned columns for pipes, a frame for terminals; ids are never cut."""

from collections.abc import Sequence

from rich.cells import cell_len


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table without any decoration, columns two spaces apart, numbers right."""
    table = [list(columns), *map(list, rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    numbers = _number_columns(columns, rows)
    return [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in table
    ]


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as lines `column  value`, with an empty line between two rows."""
    width = max(map(len, columns))
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        lines += [
            f"{name.ljust(width)}  {cell}".rstrip() for name, cell in zip(columns, row, strict=True)
        ]
    return lines


def fitting(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column of a framed table that fits into a width; None where none fits.

    The widest column that can be folded between its words gives way first.
    """
    cells = [[name, *(row[index] for row in rows)] for index, name in enumerate(columns)]
    widths = [max(map(cell_len, column)) for column in cells]
    least = [
        max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in cells
    ]
    room = width - 3 * len(columns) - 1
    while sum(widths) > room:
        loose = [index for index in range(len(columns)) if widths[index] > least[index]]
        if not loose:
            return None
        widths[max(loose, key=widths.__getitem__)] -= 1
    return widths


def print_framed(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], width: int
) -> None:
    """Print a table in a frame, its cells folded between words to `widths`, on a terminal of
    `width` cells."""
    from rich.console import Console  # slow to import, for terminals only
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column, cells, is_number in zip(
        columns, widths, _number_columns(columns, rows), strict=True
    ):
        table.add_column(column, justify="right" if is_number else "left", width=cells)
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=width).print(table)


def _number_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold nothing but numbers, with or without a unit."""
    return [
        bool(rows) and all(row[index].replace(",", "").split(" ")[0].isdigit() for row in rows)
        for index in range(len(columns))
    ]
