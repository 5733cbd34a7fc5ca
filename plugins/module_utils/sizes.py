"""Sizes for people."""

MIB = 1024 * 1024


def human(size: int) -> str:
    """Return a size in bytes as a person says it: ``512 bytes``, ``16.0 MiB``, ``1.5 GiB``."""
    if size < 1024:
        return "%d byte%s" % (size, "" if size == 1 else "s")
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1023.95 or unit == "TiB":
            break
    return "%.1f %s" % (value, unit)


def count(number: int, thing: str) -> str:
    """Return ``1 file`` or ``4 files``."""
    return "%d %s%s" % (number, thing, "" if number == 1 else "s")
