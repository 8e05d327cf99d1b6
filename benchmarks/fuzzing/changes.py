"""Ways to change a ticket: bytes of the file, fields of its header, bytes of a part, or parts of another."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
from fuzzing.drafts import Draft

NUMBERS = [-1, 0, 1, 2, 7, 8, 255, 256, 257, 2**15, 2**16, 2**30, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30]
VALUES: list[Any] = [None, True, False, "", "a", "0" * 64, 0.5, 1e300, [], {}, [0], [[]], {"a": 1}]


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """A few bytes other, more or fewer."""
    row = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(row) + 1)
        how = rng.randrange(4)
        if how == 0 and place < len(row):
            row[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            row[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif how == 2:
            del row[place : place + rng.randrange(1, 9)]
        else:
            number = rng.choice(NUMBERS) & (2**32 - 1)
            row[place : place + 4] = number.to_bytes(4, "little")
    return bytes(row)


def changed_json(value: Any, rng: random.Random) -> Any:
    """One place of nested JSON other."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        other = value.copy()
        if rng.random() < 0.05:
            del other[key]
        elif rng.random() < 0.05 and isinstance(other, list):
            other.append(value[rng.randrange(len(value))])
        else:
            other[key] = changed_json(value[key], rng)
        return other
    if type(value) is int and rng.random() < 0.7:
        return value + rng.choice((-8, -2, -1, 1, 2, 8, 100))
    if isinstance(value, str) and value and rng.random() < 0.7:
        return "".join(rng.choice((c, c, c, "0", "f", "é")) for c in value)
    return rng.choice([*NUMBERS, *VALUES])


def changed(draft: Draft, other: Draft, rng: random.Random) -> Draft:
    """The ticket with one thing changed; at times with something of the other one."""
    how = rng.random()
    if how < 0.04:
        return replace(draft, head=changed_json(draft.head, rng))
    if how < 0.4 or not draft.parts:
        return draft.saying(changed_json(draft.said, rng))
    parts = dict(draft.parts)
    name = rng.choice(list(parts))
    if how < 0.9:
        row = changed_bytes(parts[name].tobytes(), rng)
        width = parts[name].itemsize
        parts[name] = np.frombuffer(row[: len(row) // width * width], parts[name].dtype)
    elif how < 0.92:
        del parts[name]
    elif how < 0.94 or not (shared := sorted(parts.keys() & other.parts.keys())):
        parts["x" * rng.randrange(4)] = parts[name]
    elif how < 0.97:
        parts[rng.choice(shared)] = other.parts[rng.choice(shared)]
    else:
        return _crossed(draft, other, rng)
    return replace(draft, parts=parts)


def _crossed(draft: Draft, other: Draft, rng: random.Random) -> Draft:
    """A field of the header from another ticket."""
    if not isinstance(draft.said, dict) or not isinstance(other.said, dict) or not other.said:
        return draft
    field = rng.choice(list(other.said))
    return draft.saying(draft.said | {field: other.said[field]})
