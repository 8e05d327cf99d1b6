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
        self.header, self.raw = json.loads(zlib.decompress(self.parts["header"], -15)), b""  # 2
        self.layers = self.header["layers"]

    def draw(self, layer, places, number=0, purpose="weight"):  # 3: the words
        head = f"recycle-pipeline/draw/1/{purpose}\0".encode() + self.header["seed"].to_bytes(8, "little")
        key = hashlib.sha256(head + number.to_bytes(4, "little") + layer["name"].encode()).digest()[:8]
        z = (places.astype("u8") + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.frombuffer(key, "<u8")
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)

    def symbols(self, part, segments):  # 4: segments are pairs, how many symbols and their table
        length, crc, lanes, *_ = numbers = np.frombuffer(self.parts[part], "<u4").astype("u8")
        content, x, rows = self.parts[part][8:], numbers[3 : 3 + 2 * int(lanes)], []
        assert length == len(content) and crc == zlib.crc32(content), f"{part} is damaged"
        x, rest, lanes = x[::2] | x[1::2] << np.uint64(32), numbers[3 + len(x) :], len(x) // 2
        for count, table in segments:
            ends, found = np.cumsum(table), np.zeros(count, int)
            for i in range(0, count, lanes or 1):
                own = x[: count - i]
                slot = (own & np.uint64(0xFFFF)).astype(int)
                found[i : i + lanes] = s = np.searchsorted(ends, slot, "right")
                own[:] = (own >> np.uint64(16)).astype(int) * table[s] + slot - ends[s] + table[s]
                low = np.flatnonzero(own < 1 << 32)
                own[low], rest = own[low] << np.uint64(32) | rest[: len(low)], rest[len(low) :]
            rows.append(found)
        self.raw += x.astype("<u4").tobytes()
        return iter(rows)

    def table(self, weights):  # 5
        weights = (weights or [1] * 256) + [0] * 256
        table = [1 + w * 65280 // sum(weights) for w in weights[:256]]
        table[weights.index(max(weights))] += 65536 - sum(table)
        return np.array(table)

    def vectors(self, part, counts):  # 5: of counts [n, k, g]
        segments, vectors = [], [np.full(n, k == n) for n, k, _ in counts]
        for n, k, g in [each for each in counts if 0 < each[1] < each[0]]:
            p, h = max(1, min(2**32 - 1, (2 * k * 2**32 + n) // (2 * n))), 2**64
            powers = [h, *(h := h * (2**32 - p) >> 32 for _ in range(255))]
            dense = [p ** s.bit_count() * (2**32 - p) ** (8 - s.bit_count()) for s in range(256)]
            sparse = [*(each * p >> 32 for each in powers[:255]), h]
            segments.append((g or -(-n // 8), self.table(dense if 16 * k >= n else sparse)))
        found = self.symbols(part, segments)
        for (n, k, _), bits in zip(counts, vectors):
            if 0 < k < n:
                ends = np.cumsum((s := next(found)) + (s < 255))[s < 255]
                dense = np.unpackbits(s.astype("u1"), bitorder="little")[:n]
                bits[np.flatnonzero(dense) if 16 * k >= n else ends - 1] = True
        return vectors

    def contexts(self):  # 6: in place of five numbers, four of them, the table and levels
        before, tallies = 128, [self.header["tallies"][row] for row in ("tables", "levels")]
        found = self.symbols("contexts", [(sum(row), self.table(row)) for row in tallies])
        tables, levels = (iter((s >> 1 ^ -(s & 1)).tolist()) for s in found)
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
        index, streams = (kernels // channels, kernels % channels, p, near, total), self.streams[key]
        own = (
            sum(row[i] for row, i in zip(levels, index))
            + table[(w << a & 255) >> 8 - b, (s << c & 255) >> 8 - d]
        )
        classes, bits = np.clip(64 + (own >> 2), 0, 127), np.zeros(len(kernels), bool)
        for number in set(classes.tolist()) & streams.keys():
            here = np.flatnonzero(classes == number)
            bits[here], streams[number] = np.split(streams[number], [len(here)])
        return bits

    def position(self, p, layers):  # 6 to 8
        for x in layers:
            t, side, (filters, channels, n) = x["signs"], x["shape"][-1], x["sides"]
            up, left, right = p >= side, p % side > 0, (p + 1) % side > 0
            near = 3 * (t[p - 1] * left + t[(p - side) % n] * up)
            near += t[(p - side - 1) % n] * (up and left) + t[(p - side + 1) % n] * (up and right)
            x["seen"] = np.stack([near, np.clip(t.sum(0), -7, 7)])
            x["now"] = np.flatnonzero(self.bits(x, "context", p, np.arange(filters * channels)))
        for x in layers:
            now, places = x["now"], x["now"] * x["sides"][2] + p
            turned = now < 0 if x["moved"] is None else self.bits(x, "moved", p, now)
            sign = 1 - 2 * (self.draw(x, places) >> np.uint64(63)).astype(int)
            x["signs"][p][now] = sign * (1 - turned * (1 + x["plain"]))
            x["kept"], x["turned"] = np.append(x["kept"], places), np.append(x["turned"], turned)

    def numbers(self, planes, kind):  # 9 and 10
        size = np.dtype(kind).itemsize
        word = np.stack([next(planes) for _ in range(size)], 1).astype("u1").view(f"<u{size}")[:, 0]
        return (word >> 1 | word << 8 * size - 1 if "float" in kind else word).view(kind)

    def state(self):  # 10
        groups = [(kind, dict(arrays)) for kind, arrays in self.header["state"]]
        counts = [(kind, sum(map(math.prod, arrays.values()))) for kind, arrays in groups]
        counts = [count for kind, count in counts for _ in range(np.dtype(kind).itemsize)]
        planes = list(zip(counts, self.header["planes"]))
        segments = [(count, self.table(tally)) for count, tally in planes if tally]
        coded = self.symbols("state", segments) if groups else None
        self.raw += self.parts.get("raw", b"")[8:]
        raw = iter(self.raw[32 * len(self.layers) + 32 :])
        found = iter(
            [next(coded) if tally else np.array([next(raw) for _ in range(n)]) for n, tally in planes]
        )
        for kind, arrays in groups:
            ends = np.cumsum([math.prod(shape) for shape in arrays.values()])
            for (name, shape), own in zip(arrays.items(), np.split(self.numbers(found, kind), ends)):
                yield name, own.reshape(shape)

    def sources(self, told, drawn):  # 9
        own = [x["kept"][x["turned"]] for x in drawn]
        sources, ends = np.concatenate(own), np.cumsum([len(places) for places in own])
        draws, (away,) = sources * 0, self.vectors("elsewhere", [[len(sources), *told["elsewhere"]]])
        tallies, segments = iter(told["planes"]), []
        for count in (sum(~away), sum(away)):
            segments.append((count, self.table(high := next(tallies))))
            segments += [(n, self.table(next(tallies))) for n in high if n]
        counts = [sum(bits) for bits in np.split(away, ends)[:-1] for _ in range(4)]
        found = self.symbols("sources", segments + [(n, self.table(next(tallies))) for n in counts])
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
        self.contexts()
        self.streams = {"context": {}, "moved": {}}
        for key, part in [("context", "masks")] + [("moved", "moved")] * ("moved" in self.parts):
            four = np.reshape(self.header[part], (-1, 4)).astype(int).tolist()
            vectors = self.vectors(part, [each[1:] for each in four])
            self.streams[key] = {each[0]: vector for each, vector in zip(four, vectors)}
        yield from self.state()
        for p in range(max(x["sides"][2] for x in self.layers)):
            self.position(p, [x for x in self.layers if p < x["sides"][2]])
        for x in self.layers:
            order = np.argsort(x["kept"])
            x["kept"], x["turned"], x["draws"] = x["kept"][order], x["turned"][order], order * 0
            x["sources"] = x["kept"].copy()
        if told := self.header["sources"]:
            self.sources(told, [x for x in self.layers if x["moved"] and not x["plain"]])
        for i, (x, array) in enumerate((x, self.weight(x)) for x in self.layers):  # 11
            head = f"float32:{','.join(map(str, array.shape))}\0".encode()
            assert hashlib.sha256(head + array.tobytes()).digest() == self.raw[32 * i : 32 * i + 32], x[
                "name"
            ]
            yield x["name"] + ".weight", array


if __name__ == "__main__":
    safetensors.numpy.save_file(dict(Ticket(sys.argv[1]).arrays()), sys.argv[2])
