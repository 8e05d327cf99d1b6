"""A ticket of version 3 to weights: read_ticket.py IN.safetensors OUT.safetensors. # n: FORMAT.md, part n."""
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
            self.parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            assert json.loads(file.metadata()["recycle_ticket"])["header"]["version"] == 3, "another version"
        self.header = json.loads(zlib.decompress(self.parts["header"].tobytes(), -15))  # 2
        self.layers = self.header["layers"]

    def draw(self, layer, places, number=0, purpose="weight"):  # 3
        head = f"recycle-pipeline/draw/1/{purpose}\0".encode() + self.header["seed"].to_bytes(8, "little")
        key = hashlib.sha256(head + number.to_bytes(4, "little") + layer["name"].encode()).digest()[:8]
        z = (places.astype("u8") + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.frombuffer(key, "<u8")
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)

    def symbols(self, part, segments):  # 4: segments are pairs, how many symbols and their table
        length, crc, lanes, *_ = numbers = np.frombuffer(self.parts[part].tobytes(), "<u4").astype("u8")
        content, x = self.parts[part][8:].tobytes(), numbers[3 : 3 + 2 * int(lanes)]
        assert length == len(content) and crc == zlib.crc32(content), f"{part} is damaged"
        x, rest, lanes = x[::2] | x[1::2] << np.uint64(32), numbers[3 + len(x) :], len(x) // 2
        for count, table in segments:
            ends, found = np.cumsum(table), np.zeros(count, int)
            for i in range(0, count, lanes):
                own = x[: count - i]
                slot = (own & np.uint64(0xFFFF)).astype(int)
                found[i : i + lanes] = s = np.searchsorted(ends, slot, "right")
                own[:] = (own >> np.uint64(16)).astype(int) * table[s] + slot - ends[s] + table[s]
                low = np.flatnonzero(own < 1 << 32)
                own[low], rest = own[low] << np.uint64(32) | rest[: len(low)], rest[len(low) :]
            yield found

    def tally(self, weights):  # 5
        table = [1 + w * 65280 // sum(weights) for w in weights] + [1] * (256 - len(weights))
        table[weights.index(max(weights))] += 65536 - sum(table)
        return np.array(table)

    def of_bits(self, n, k):  # 5
        p = max(1, min(2**32 - 1, (2 * k * 2**32 + n) // (2 * n)))
        q, h = 2**32 - p, 2**64
        if 16 * k >= n:
            return self.tally([p ** s.bit_count() * q ** (8 - s.bit_count()) for s in range(256)])
        powers = [h, *(h := h * q >> 32 for _ in range(255))]
        return self.tally([*(each * p >> 32 for each in powers[:255]), h])

    def vectors(self, part, counts):  # 5: of counts [n, k, g]
        found = self.symbols(part, [(g or -(-n // 8), self.of_bits(n, k)) for n, k, g in counts if 0 < k < n])
        for n, k, _ in counts:
            bits = np.full(n, k == n)
            if 0 < k < n:
                s = next(found)
                ends = np.cumsum(s + (s < 255))[s < 255]
                dense = np.unpackbits(s.astype("u1"), bitorder="little")[:n]
                bits[np.flatnonzero(dense) if 16 * k >= n else ends - 1] = True
            yield bits

    def classes(self):  # 6: in place of five numbers, the class of each weight
        before = 128
        of = [(layer, key) for key in ("context", "moved") for layer in self.layers if layer[key]]
        sides = [(s[0], math.prod(s[1:2]), math.prod(s[2:])) for s in (layer["shape"] for layer, _ in of)]
        rows = [self.header["tallies"][row] for row in ("tables", "levels")]
        found = self.symbols("contexts", [(sum(row), self.tally(row or [1])) for row in rows])
        tables, levels = (iter((s >> 1 ^ -(s & 1)).tolist()) for s in found)
        for (layer, key), side in zip(of, sides):
            a, b, c, d, flags = layer[key]
            table = np.array([next(tables) for _ in range(1 << b + d)]).reshape(1 << b, 1 << d)
            table[:, 0] = np.cumsum(table[:, 0]) + before
            table, before = np.cumsum(table, 1) % 256, table[0, 0]
            level = [[next(levels) if flags >> i & 1 else 0 for _ in range(n)] for i, n in enumerate(side)]
            f, ch, p = map(np.array, level)
            args = layer, np.arange(math.prod(side)), 0
            w, s = ((self.draw(*args, of) >> np.uint64(56)).astype(int) for of in ("weight", "score"))
            index = (w << a & 255) >> 8 - b, (s << c & 255) >> 8 - d
            layer[key] = table[index] + (f[:, None, None] + ch[:, None] + p).reshape(-1)

    def bits(self, part, classes):  # 7 and 8
        four, joined = np.reshape(self.header[part], (-1, 4)).astype(int).tolist(), np.concatenate(classes)
        bits = np.zeros(len(joined), bool)
        for (number, *_), vector in zip(four, self.vectors(part, [each[1:] for each in four])):
            bits[joined == number] = vector
        return np.split(bits, np.cumsum([len(each) for each in classes]))

    def rows(self, part, tallies, counts, kinds):  # 9
        each = [count for count, kind in zip(counts, kinds) for _ in range(np.dtype(kind).itemsize)]
        planes = self.symbols(part, zip(each, (self.tally(told or [1] * 256) for told in tallies)))
        for kind in map(np.dtype, kinds):
            word = np.stack([next(planes) for _ in range(kind.itemsize)], 1).astype("u1")
            word = word.view(f"<u{kind.itemsize}")[:, 0]
            yield (word >> 1 | word << 8 * kind.itemsize - 1 if kind.kind == "f" else word).view(kind)

    def arrays(self):
        self.classes()
        for x, mask in zip(self.layers, self.bits("masks", [layer["context"] for layer in self.layers])):
            x["kept"] = x["sources"] = np.flatnonzero(mask)
            x["turned"], x["draws"] = x["kept"] < 0, x["kept"] * 0
        if moved := [layer for layer in self.layers if layer["moved"] is not None]:
            for x, bits in zip(moved, self.bits("moved", [x["moved"][x["kept"]] for x in moved])):
                x["turned"], x["sources"] = bits, x["kept"].copy()
        if told := self.header["sources"]:  # 9
            drawn = [x for x in moved if x["gain"] is None and x["init"] != "signed_constant"]
            own = [x["kept"][x["turned"]] for x in drawn]
            sources, ends = np.concatenate(own), np.cumsum([len(places) for places in own])
            draws, (away,) = sources * 0, self.vectors("elsewhere", [[len(sources), *told["elsewhere"]]])
            counts = [int(bits.sum()) for bits in (~away, away, *np.split(away, ends)[:-1])]
            kinds = ["uint16", "uint16", *["uint32"] * len(own)]
            draws[~away], draws[away], *found = self.rows("sources", told["planes"], counts, kinds)
            sources[away] = np.concatenate(found)
            for x, *both in zip(drawn, np.split(draws, ends), np.split(sources, ends)):
                x["draws"][x["turned"]], x["sources"][x["turned"]] = both
        groups = self.header["state"]  # 10
        sizes = [[math.prod(shape) for _, shape in group] for _, group in groups]
        args = self.header["planes"], [sum(each) for each in sizes], [kind for kind, _ in groups]
        for (_, group), each, row in zip(groups, sizes, self.rows("state", *args)):
            for (name, shape), own in zip(group, np.split(row, np.cumsum(each))):
                yield name, own.reshape(shape)
        for x in self.layers:  # 3 and 8
            array, plain = np.zeros(x["shape"], "f4"), x["gain"] or x["init"] == "signed_constant"
            for number in np.unique(x["draws"]).tolist():
                here = x["draws"] == number
                word = self.draw(x, x["sources"][here], number)
                size = np.array(int(x["gain"] or x["scale"], 16), "u4").view("f4") * np.ones(len(word), "f4")
                if x["init"] == "kaiming_normal" and not plain:
                    table = [NormalDist().inv_cdf(0.5 + (j + 0.5) / 131072) for j in range(65536)]
                    size *= np.array(table).astype("f4")[word >> np.uint64(47) & np.uint64(0xFFFF)]
                elif x["init"] == "kaiming_uniform" and not plain:
                    odd = 2 * (word >> np.uint64(40) & np.uint64(0x7FFFFF)) + np.uint64(1)
                    size *= odd.astype("f4") * np.float32(2**-24)
                negative = (word >> np.uint64(63) != 0) ^ (x["turned"][here] & bool(plain))
                array.reshape(-1)[x["kept"][here]] = np.where(negative, -size, size)
            head = f"float32:{','.join(map(str, array.shape))}\0".encode()  # 11
            assert hashlib.sha256(head + array.tobytes()).hexdigest() == x["sha256"], x["name"]
            yield x["name"] + ".weight", array


if __name__ == "__main__":
    safetensors.numpy.save_file(dict(Ticket(sys.argv[1]).arrays()), sys.argv[2])
