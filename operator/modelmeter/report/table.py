"""Plain tables for a terminal: text to the left, figures to the right."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], figures: frozenset[int] = frozenset()) -> str:
    """Rows under a header; columns whose index is in `figures` are aligned to the right.

    >>> print(table(("ITEM", "COST"), [("gpu", "0.8")], frozenset({1})))
    ITEM   COST
    gpu     0.8
    """
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    lines = (
        "   ".join(
            cell.rjust(width) if index in figures else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    )
    return "\n".join(lines)
