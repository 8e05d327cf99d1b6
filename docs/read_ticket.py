"""A ticket of version 4 to weights: read_ticket.py IN.safetensors OUT.safetensors. # n: FORMAT.md, part n."""

import hashlib
import json
import math
import sys
import zlib
from statistics import NormalDist

import numpy as np
import safetensors.numpy


class Frame:
    def __init__(self, frame):  # 4
        length, crc, lanes = np.frombuffer(frame[:12], "<u4").tolist()
        assert (length, crc) == (len(frame) - 8, zlib.crc32(frame[8:])), "a part is damaged"
        x, self.words = np.split(np.frombuffer(frame[12:], "<u2").astype(int), [3 * lanes])
        self.x = x.reshape(-1, 3) @ [1, 2**16, 2**32]

    def take(self, count, weights):  # 4 and 5: the next symbols, as likely as these weights say
        weights = ((weights or [1] * 256) + [0] * 256)[:256]
        table = np.array([1 + w * 65280 // sum(weights) for w in weights])
        table[weights.index(max(weights))] += 65536 - sum(table)
        starts, found = np.cumsum(table) - table, np.zeros(count, int)
        for i in range(0, count, len(self.x) or 1):
            x = self.x[: count - i]
            found[i : i + len(x)] = s = np.searchsorted(starts, x & 0xFFFF, "right") - 1
            x[:] = table[s] * (x >> 16) + (x & 0xFFFF) - starts[s]
            low = np.flatnonzero(x < 2**32)
            x[low], self.words = x[low] << 16 | self.words[: len(low)], self.words[len(low) :]
        return found

    def bits(self, n, k, g):  # 5: the next vector
        p, h, bits = max(1, min(2**32 - 1, (2 * k * 2**32 + n) // (2 * n))), 2**64, np.full(n, k == n)
        if g:
            gaps = [h, *(h := h * (2**32 - p) >> 32 for _ in range(255))]
            s = self.take(g, [*(h * p >> 32 for h in gaps[:255]), gaps[255]])
            bits[np.cumsum(s + (s < 255))[s < 255] - 1] = True
        elif 0 < k < n:
            dense = [p ** s.bit_count() * (2**32 - p) ** (8 - s.bit_count()) for s in range(256)]
            bits[:] = np.unpackbits(self.take(-(-n // 8), dense).astype("u1"), bitorder="little")[:n]
        return bits


def numbers(planes, kind):  # 9 and 10
    word = np.stack(planes, 1).astype("u1").view(f"<u{len(planes)}")[:, 0]
    return (word >> 1 | word << 8 * len(planes) - 1 if "float" in kind else word).view(kind)


class Ticket:
    def __init__(self, path):
        with safetensors.safe_open(path, "numpy") as file:  # 1
            self.parts = {name: file.get_tensor(name).tobytes() for name in list(file.keys())}
            assert json.loads(file.metadata()["recycle_ticket"])["header"]["version"] == 4, "another version"
        self.said = json.loads(zlib.decompress(self.parts["header"], -15))  # 2

    def draw(self, x, places, number=0, purpose="weight"):  # 3: the words
        head = f"recycle-pipeline/draw/1/{purpose}\0".encode() + self.said["seed"].to_bytes(8, "little")
        key = hashlib.sha256(head + number.to_bytes(4, "little") + x["name"].encode()).digest()[:8]
        z = (places.astype("u8") + 1) * 0x9E3779B97F4A7C15 + np.frombuffer(key, "<u8")
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
        z = (z ^ z >> 27) * 0x94D049BB133111EB
        return z ^ z >> 31

    def coded(self):  # what that part has; gives the arrays of the state
        frame, tallies, groups = Frame(self.parts["coded"]), iter(self.said["planes"]), []
        both = [frame.take(sum(t), t) for t in map(self.said["tallies"].get, ("tables", "levels"))]
        self.contexts(*(iter((s >> 1 ^ -(s & 1)).tolist()) for s in both))
        fours = [np.reshape(self.said[key], (-1, 4)).astype(int).tolist() for key in ("masks", "moved")]
        self.streams = [{number: frame.bits(*counts) for number, *counts in own} for own in fours]
        for kind, arrays in self.said["state"]:  # 10
            n = sum(math.prod(array[1]) for array in arrays if len(array) == 2)
            own = [next(tallies) for _ in range(np.dtype(kind).itemsize)]
            groups.append((n, kind, arrays, [frame.take(n, tally) if tally else None for tally in own]))
        raw = iter(frame.x.astype("<u4").tobytes() + self.parts.get("raw", b"")[8:])  # 11
        self.digests = [bytes(next(raw) for _ in range(16)) for _ in [*self.said["layers"], "state"]]
        for n, kind, arrays, planes in groups:
            planes = [np.array([next(raw) for _ in range(n)]) if own is None else own for own in planes]
            values, group = numbers(planes, kind), []
            for name, shape, *repeats in arrays:
                group.append(group[repeats[0]] if repeats else values[: math.prod(shape)])
                values = values if repeats else values[math.prod(shape) :]
                yield name, group[-1].reshape(shape)

    def contexts(self, tables, levels):  # 6: in place of five numbers, sums, and levels of near and sum
        before = 128
        for x, key in [(x, key) for key in ("context", "moved") for x in self.said["layers"] if x[key]]:
            (a, b, c, d, flags), sides = x[key], zip((*x["sides"], 17, 15), (1, 2, 4, 8, 8), strict=True)
            table = np.array([next(tables) for _ in range(1 << b + d)]).reshape(1 << b, 1 << d)
            table[:, 0] = np.cumsum(table[:, 0]) + before
            table, before = np.cumsum(table, 1) % 256, table[0, 0]
            rows = [[next(levels) if flags & flag else 0 for _ in range(n)] for n, flag in sides]
            sums = table[(x["weight"] << a & 255) >> 8 - b, (x["score"] << c & 255) >> 8 - d] - 128
            sums = sums + np.reshape(rows[0], (-1, 1, 1)) + np.reshape(rows[1], (-1, 1)) + rows[2]
            x[key] = sums.reshape(-1, len(rows[2])), *map(np.array, rows[3:])

    def bits(self, x, key, p, kernels, near, total):  # 6 and 7
        sums, *levels = x[key]
        own = sums[kernels, p] + levels[0][near[kernels] + 8] + levels[1][total[kernels] + 7]
        bits, own, streams = kernels < 0, np.clip(64 + (own >> 2), 0, 127), self.streams[key == "moved"]
        for number in set(own.tolist()) & streams.keys():
            here = np.flatnonzero(own == number)
            bits[here], streams[number] = np.split(streams[number], [len(here)])
        return bits

    def position(self, x, p):  # 6 to 8
        t, sign, (up, left) = x["signs"], x["drawn"][:, p], divmod(p, x["width"])
        near = sign * (3 * (t[up + 1, left] + t[up, left + 1]) + t[up, left] + t[up, left + 2])
        told = near, sign * np.clip(t.sum((0, 1)), -7, 7)
        kept = np.flatnonzero(self.bits(x, "context", p, np.arange(len(sign)), *told))
        moved = self.bits(x, "moved", p, kept, *told) if x["moved"] else kept < 0
        t[up + 1, left + 1, kept] = sign[kept] * (1 - moved * (1 + x["plain"]))
        x["marks"][kept, p] = 1 + moved

    def sources(self, told, layers):  # 9
        places = [x["kept"][x["turned"]] for x in layers]
        sources, ends = np.concatenate(places), np.cumsum([len(own) for own in places])[:-1]
        away, draws = Frame(self.parts["elsewhere"]).bits(len(sources), *told["elsewhere"]), sources * 0
        frame, tallies = Frame(self.parts["sources"]), iter(told["planes"])
        for bits in (~away, away):
            high = frame.take(sum(bits), tally := next(tallies))
            for v in np.flatnonzero(tally):
                draws[np.flatnonzero(bits)[high == v]] = 256 * v + frame.take(tally[v], next(tallies))
        planes = ([frame.take(sum(bits), next(tallies)) for _ in range(4)] for bits in np.split(away, ends))
        sources[away] = np.concatenate([numbers(own, "uint32") for own in planes])
        for x, *both in zip(layers, np.split(draws, ends), np.split(sources, ends), strict=True):
            x["draws"][x["turned"]], x["sources"][x["turned"]] = both

    def weight(self, x):  # 3 and 8
        array = np.zeros(math.prod(x["shape"]), "f4")
        for number in np.unique(x["draws"]).tolist():
            here = x["draws"] == number
            word, size = self.draw(x, x["sources"][here], number), np.float32(1)
            if x["init"] == "kaiming_normal" and not x["plain"]:
                table = [NormalDist().inv_cdf(0.5 + (j + 0.5) / 131072) for j in range(65536)]
                size = np.array(table).astype("f4")[word >> 47 & 0xFFFF]
            elif x["init"] == "kaiming_uniform" and not x["plain"]:
                size = (word >> 39 & 0xFFFFFE | 1).astype("f4") * np.float32(2**-24)
            size = size * np.array(int(x["gain"] or x["scale"], 16), "u4").view("f4")
            negative = (word >> 63 > 0) ^ (x["turned"][here] & x["plain"])
            array[x["kept"][here]] = np.where(negative, -size, size)
        return array

    def arrays(self):
        for x in self.said["layers"]:
            (f, *s), x["plain"] = x["shape"], bool(x["gain"]) or x["init"] == "signed_constant"
            c, p, w = (s[0], math.prod(s[1:]), s[-1]) if x["context"][4] & 8 else (math.prod(s), 1, 1)  # 6
            for of in ("weight", "score"):
                x[of] = (self.draw(x, np.arange(f * c * p), 0, of) >> 56).astype(int).reshape(f, c, p)
            x["drawn"], x["marks"] = 1 - 2 * (x["weight"] >> 7).reshape(f * c, p), np.zeros((f * c, p), int)
            x["sides"], x["width"], x["signs"] = (f, c, p), w, np.zeros((-(-p // w) + 1, w + 2, f * c), int)
        yield from self.coded()
        for p, x in [(p, x) for p in range(64) for x in self.said["layers"] if p < x["sides"][2]]:
            self.position(x, p)
            x["kept"] = np.flatnonzero(x["marks"])  # in the end of all positions
            x["turned"], x["draws"] = x["marks"].reshape(-1)[x["kept"]] > 1, x["kept"] * 0
            x["sources"] = x["kept"].copy()
        if told := self.said["sources"]:
            self.sources(told, [x for x in self.said["layers"] if x["moved"] and not x["plain"]])
        for x, digest in zip(self.said["layers"], self.digests[:-1], strict=True):  # 11
            array = self.weight(x)
            kept, head = array.view("u4") > 0, f"float32:{','.join(map(str, x['shape']))}\0".encode()
            content = np.packbits(kept, bitorder="little").tobytes() + array[kept].tobytes()
            assert hashlib.sha256(head + content).digest()[:16] == digest, x["name"]
            yield x["name"] + ".weight", array.reshape(x["shape"])


if __name__ == "__main__":
    safetensors.numpy.save_file(dict(Ticket(sys.argv[1]).arrays()), sys.argv[2])
