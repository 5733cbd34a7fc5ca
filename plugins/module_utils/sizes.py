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


def rate(size: int, seconds: float) -> str:
    """Return what was moved as a person says it: ``1.0 GiB moved in 2.1 s, 488.0 MiB/s``."""
    speed = human(int(size / max(seconds, 0.001)))
    return "%s moved in %s, %s/s" % (human(size), duration(seconds), speed)


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``0.02 s``, ``2.1 s``, ``3 min 20 s``."""
    if seconds < 59.95:
        return "%.*f s" % (2 if seconds < 0.095 else 1, seconds)
    return "%d min %d s" % divmod(round(seconds), 60)


def count(number: int, thing: str) -> str:
    """Return ``1 file`` or ``4 files``."""
    return "%d %s%s" % (number, thing, "" if number == 1 else "s")
