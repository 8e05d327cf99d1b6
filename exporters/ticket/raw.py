"""Bytes that are as they are: digests, and planes of numbers that no table foretells.

The lanes of frames carry them, four bytes each, which costs nothing; what is left has a part of its own.
"""


class Raw:
    """Takes them, one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._taken = content, 0

    def take(self, count: int) -> bytes:
        """The next ones. Raises ValueError if there are fewer."""
        first, self._taken = self._taken, self._taken + count
        if self._taken > len(self._content):
            raise ValueError(f"{len(self._content)} raw bytes where more are needed")
        return self._content[first : self._taken]

    def end(self, carried: int) -> None:
        """Checks that nothing is left but what lanes carry in vain, as 0.

        Args:
            carried: how many bytes the lanes carry.

        Raises:
            ValueError: something is left.
        """
        if len(self._content) > max(carried, self._taken) or any(self._content[self._taken :]):
            raise ValueError(f"raw bytes are left over, of {len(self._content)}")
