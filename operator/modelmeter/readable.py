"""Numbers as people read them."""

from __future__ import annotations


def size(number_bytes: int) -> str:
    """Write a number of bytes.

    >>> size(2_147_483_648), size(1536), size(12)
    ('2.0 GiB', '1.5 KiB', '12 B')
    """
    for unit, bytes_each in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number_bytes >= bytes_each:
            tenths = number_bytes * 10 // bytes_each
            return f"{tenths // 10}.{tenths % 10} {unit}"
    return f"{number_bytes} B"


def duration(seconds: int) -> str:
    """Write whole seconds.

    >>> duration(7), duration(192), duration(7500)
    ('7 s', '3 min 12 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min {seconds % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
