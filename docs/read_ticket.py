"""A ticket of version 4 to weights: read_ticket.py IN.safetensors OUT.safetensors. # n: FORMAT.md, part n."""
# ruff: noqa: B905

import hashlib
import json
import math
import sys
import zlib
from statistics import NormalDist

import numpy as np
import safetensors.numpy


class Ticket:
    def __init__(self, path):
        with safetensors.safe_open(path, "numpy") as file:  # 1
            self.parts = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
            assert json.loads(file.metadata()["recycle_ticket"])["header"]["version"] == 4, "another version"
        self.said = json.loads(zlib.decompress(self.parts["header"], -15))  # 2
        self.layers = self.said["layers"]

    def draw(self, x, places, number=0, purpose="weight"):  # 3: the words
        head = f"recycle-pipeline/draw/1/{purpose}\0".encode() + self.said["seed"].to_bytes(8, "little")
        key = hashlib.sha256(head + number.to_bytes(4, "little") + x["name"].encode()).digest()[:8]
        z = (places.astype("u8") + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.frombuffer(key, "<u8")
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)

    def symbols(self, part, segments):  # 4: segments are pairs, how many symbols and their table
        (length, crc, lanes), content = np.frombuffer(self.parts[part][:12], "<u4"), self.parts[part][8:]
        assert length == len(content) and crc == zlib.crc32(content), f"{part} is damaged"
        words, lanes, rows = np.frombuffer(content[4:], "<u2").astype(int), int(lanes), []
        x, rest = words[: 3 * lanes].reshape(-1, 3) @ [1, 2**16, 2**32], words[3 * lanes :]
        for count, table in segments:
            ends, found = np.cumsum(table), np.zeros(count, int)
            for i in range(0, count, lanes or 1):
                own = x[: count - i]
                slot = own & 0xFFFF
                found[i : i + lanes] = s = np.searchsorted(ends, slot, "right")
                own[:] = (own >> 16) * table[s] + slot - ends[s] + table[s]
                low = np.flatnonzero(own < 2**32)
                own[low], rest = own[low] << 16 | rest[: len(low)], rest[len(low) :]
            rows.append(found)
        return iter(rows), x.astype("<u4").tobytes()

    def table(self, weights):  # 5
        weights = ((weights or [1] * 256) + [0] * 256)[:256]
        table = [1 + w * 65280 // sum(weights) for w in weights]
        table[weights.index(max(weights))] += 65536 - sum(table)
        return np.array(table)

    def segments(self, counts):  # 5: of vectors of bits, whose counts are n, k, g
        for n, k, g in [each for each in counts if 0 < each[1] < each[0]]:
            p, h = max(1, min(2**32 - 1, (2 * k * 2**32 + n) // (2 * n))), 2**64
            powers = [h, *(h := h * (2**32 - p) >> 32 for _ in range(255))]
            dense = [p ** s.bit_count() * (2**32 - p) ** (8 - s.bit_count()) for s in range(256)]
            sparse = [*(each * p >> 32 for each in powers[:255]), h]
            yield g or -(-n // 8), self.table(dense if 16 * k >= n else sparse)

    def vectors(self, counts, found):  # 5
        for n, k, _ in counts:
            bits = np.full(n, k == n)
            if 0 < k < n:
                ends = np.cumsum((s := next(found)) + (s < 255))[s < 255]
                dense = np.unpackbits(s.astype("u1"), bitorder="little")[:n]
                bits[np.flatnonzero(dense) if 16 * k >= n else ends - 1] = True
            yield bits

    def coded(self):  # what that part has, and the state
        tallies = [self.said["tallies"][row] for row in ("tables", "levels")]
        four = [np.reshape(self.said[key], (-1, 4)).astype(int).tolist() for key in ("masks", "moved")]
        counts = [[each[1:] for each in own] for own in four]
        groups = [(kind, sum(math.prod(s) for _, s in arrays), arrays) for kind, arrays in self.said["state"]]
        planes = [n for kind, n, _ in groups for _ in range(np.dtype(kind).itemsize)]
        planes = list(zip(planes, self.said["planes"]))
        segments = [(sum(row), self.table(row)) for row in tallies] + [*self.segments(counts[0] + counts[1])]
        segments += [(n, self.table(tally)) for n, tally in planes if tally]
        found, carried = self.symbols("coded", segments)
        self.contexts(*(iter((s >> 1 ^ -(s & 1)).tolist()) for s in (next(found), next(found))))
        classes = [[each[0] for each in own] for own in four]
        self.streams = [dict(zip(c, self.vectors(own, found))) for c, own in zip(classes, counts)]
        raw = iter(carried + self.parts.get("raw", b"")[8:])  # 11
        self.digests = [bytes(next(raw) for _ in range(16)) for _ in [*self.layers, "state"]]
        rows = iter([next(found) if t else np.array([next(raw) for _ in range(n)]) for n, t in planes])
        for kind, _, arrays in groups:
            numbers = self.numbers(rows, kind)
            for name, shape in arrays:
                own, numbers = np.split(numbers, [math.prod(shape)])
                yield name, own.reshape(shape)

    def contexts(self, tables, levels):  # 6: in place of five numbers, four of them, the table and levels
        before = 128
        for x, key in [(x, key) for key in ("context", "moved") for x in self.layers if x[key]]:
            a, b, c, d, flags = x[key]
            table = np.array([next(tables) for _ in range(1 << b + d)]).reshape(1 << b, 1 << d)
            table[:, 0] = np.cumsum(table[:, 0]) + before
            table, before = np.cumsum(table, 1) % 256, table[0, 0]
            many = [(n, flags & bit) for n, bit in zip((*x["sides"], 17, 15), (1, 2, 4, 8, 8))]
            rows = [np.array([next(levels) if on else 0 for _ in range(n)]) for n, on in many]
            x[key] = a, b, c, d, table - 128, rows

    def bits(self, x, key, p, kernels):  # 6 and 7
        (a, b, c, d, table, levels), (_, channels, positions) = x[key], x["sides"]
        words = (self.draw(x, kernels * positions + p, 0, of) for of in ("weight", "score"))
        w, s = ((word >> np.uint64(56)).astype(int) for word in words)
        near, total = x["seen"][:, kernels] * (1 - 2 * (w >> 7)) + [[8], [7]]
        index, streams = (
            (kernels // channels, kernels % channels, p, near, total),
            self.streams[key == "moved"],
        )
        own = table[(w << a & 255) >> 8 - b, (s << c & 255) >> 8 - d]
        own = 64 + (own + sum(row[i] for row, i in zip(levels, index)) >> 2)
        bits = np.zeros(len(kernels), bool)
        for number in set(np.clip(own, 0, 127).tolist()) & streams.keys():
            here = np.flatnonzero(np.clip(own, 0, 127) == number)
            bits[here], streams[number] = np.split(streams[number], [len(here)])
        return bits

    def position(self, p, layers):  # 6 to 8
        for x in layers:
            t, side, (filters, channels, n) = x["signs"], x["shape"][-1], x["sides"]
            up, left, right = p >= side, p % side > 0, (p + 1) % side > 0
            near = 3 * (t[p - 1] * left + t[(p - side) % n] * up)
            near += t[(p - side - 1) % n] * (up and left) + t[(p - side + 1) % n] * (up and right)
            x["seen"] = np.stack([near, np.clip(t.sum(0), -7, 7)])
            now = np.flatnonzero(self.bits(x, "context", p, np.arange(filters * channels)))
            places = now * n + p
            turned = now < 0 if x["moved"] is None else self.bits(x, "moved", p, now)
            sign = 1 - 2 * (self.draw(x, places) >> np.uint64(63)).astype(int)
            t[p][now] = sign * (1 - turned * (1 + x["plain"]))
            x["kept"], x["turned"] = np.append(x["kept"], places), np.append(x["turned"], turned)

    def numbers(self, planes, kind):  # 9 and 10
        size = np.dtype(kind).itemsize
        word = np.stack([next(planes) for _ in range(size)], 1).astype("u1").view(f"<u{size}")[:, 0]
        return (word >> 1 | word << 8 * size - 1 if "float" in kind else word).view(kind)

    def sources(self, told, drawn):  # 9
        own = [x["kept"][x["turned"]] for x in drawn]
        sources, ends = np.concatenate(own), np.cumsum([len(places) for places in own])
        counts = [[len(sources), *told["elsewhere"]]]
        (away,) = self.vectors(counts, self.symbols("elsewhere", self.segments(counts))[0])
        draws, tallies, segments = sources * 0, iter(told["planes"]), []
        for count in (sum(~away), sum(away)):
            segments.append((count, self.table(high := next(tallies))))
            segments += [(n, self.table(next(tallies))) for n in high if n]
        counts = [sum(bits) for bits in np.split(away, ends)[:-1] for _ in range(4)]
        found, _ = self.symbols("sources", segments + [(n, self.table(next(tallies))) for n in counts])
        for bits in (~away, away):
            for value in np.unique(high := next(found)):
                draws[np.flatnonzero(bits)[high == value]] = 256 * value + next(found)
        sources[away] = np.concatenate([self.numbers(found, "uint32") for _ in own])
        for x, *both in zip(drawn, np.split(draws, ends), np.split(sources, ends)):
            x["draws"][x["turned"]], x["sources"][x["turned"]] = both

    def weight(self, x):  # 3 and 8
        array = np.zeros(x["shape"], "f4")
        for number in np.unique(x["draws"]).tolist():
            here = x["draws"] == number
            word, size = self.draw(x, x["sources"][here], number), np.float32(1)
            if x["init"] == "kaiming_normal" and not x["plain"]:
                table = [NormalDist().inv_cdf(0.5 + (j + 0.5) / 131072) for j in range(65536)]
                size = np.array(table).astype("f4")[word >> np.uint64(47) & np.uint64(0xFFFF)]
            elif x["init"] == "kaiming_uniform" and not x["plain"]:
                odd = 2 * (word >> np.uint64(40) & np.uint64(0x7FFFFF)) + np.uint64(1)
                size = odd.astype("f4") * np.float32(2**-24)
            size = size * np.array(int(x["gain"] or x["scale"], 16), "u4").view("f4")
            negative = (word >> np.uint64(63) != 0) ^ (x["turned"][here] & x["plain"])
            array.reshape(-1)[x["kept"][here]] = np.where(negative, -size, size)
        return array

    def arrays(self):
        for x in self.layers:
            (f, *s), x["plain"] = x["shape"], bool(x["gain"]) or x["init"] == "signed_constant"
            c, p = (s[0], math.prod(s[1:])) if x["context"][4] & 8 else (math.prod(s), 1)
            x["sides"], x["signs"] = (f, c, p), np.zeros((p, f * c), int)
            x["kept"], x["turned"] = np.zeros(0, int), np.zeros(0, bool)
        yield from self.coded()
        for p in range(max(x["sides"][2] for x in self.layers)):
            self.position(p, [x for x in self.layers if p < x["sides"][2]])
        for x in self.layers:
            order = np.argsort(x["kept"])
            x["kept"], x["turned"], x["draws"] = x["kept"][order], x["turned"][order], order * 0
            x["sources"] = x["kept"].copy()
        if told := self.said["sources"]:
            self.sources(told, [x for x in self.layers if x["moved"] and not x["plain"]])
        for x, digest in zip(self.layers, self.digests):  # 11
            array = self.weight(x)
            head = f"float32:{','.join(map(str, array.shape))}\0".encode()
            assert hashlib.sha256(head + array.tobytes()).digest()[:16] == digest, x["name"]
            yield x["name"] + ".weight", array


if __name__ == "__main__":
    safetensors.numpy.save_file(dict(Ticket(sys.argv[1]).arrays()), sys.argv[2])
