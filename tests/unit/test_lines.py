"""Splitting a stream into lines."""

from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.lines import LineSplitter


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(1, 50), max_size=50))
def test_chunks_make_no_difference(data: bytes, cuts: list[int]) -> None:
    """However a stream is cut, its whole lines are the same as if it came at once."""
    splitter, lines, rest = LineSplitter(1000), [], data
    for cut in [*cuts, len(data) + 1]:
        lines += splitter.feed(rest[:cut])
        rest = rest[cut:]
    assert lines == data.split(b"\n")[:-1]
    assert splitter.dropped == 0


@given(lines=st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)))
def test_long_lines_are_dropped_and_counted(lines: list[bytes]) -> None:
    """Lines over the limit are gone, the others stay, and nothing longer is ever held."""
    splitter, got = LineSplitter(20), []
    for byte in b"".join(line + b"\n" for line in lines):
        got += splitter.feed(bytes([byte]))
        assert len(splitter._part) <= 20
    assert got == [line for line in lines if len(line) <= 20]
    assert splitter.dropped == len(lines) - len(got)
