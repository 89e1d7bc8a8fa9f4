#!/usr/bin/env python3
"""A store of version 2, after docs/keystore-format.md and by nothing of the Go code.

    store.py read FOLDER SECRET-IN-HEX     prints its records as JSON, and what does not open
    store.py make SECRET-IN-HEX            prints the log of a store, in hexadecimal

Python alone, slow and not in constant time: to look at a store, and to rescue one.
"""
import hashlib
import hmac
import json
import struct
import sys
import zlib

PUT, DELETE, DAMAGED, NAMES, VOID, BEGIN, END = range(1, 8)
FIRST = 0x80
PAGE = 4096


def hkdf(secret, salt, info):
    """RFC 5869 with SHA-256, 32 bytes."""
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def chacha20(key, nonce, data, counter):
    """RFC 8439, 2.4."""
    out = bytearray()
    for at in range(0, len(data), 64):
        start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
        s = start[:]

        def quarter(a, b, c, d):
            for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = (s[x] + s[y]) & 0xFFFFFFFF
                s[z] ^= s[x]
                s[z] = ((s[z] << n) | (s[z] >> (32 - n))) & 0xFFFFFFFF

        for _ in range(10):
            quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
            quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
        block = struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(s, start)))
        out += bytes(a ^ b for a, b in zip(data[at:at + 64], block))
        counter += 1
    return bytes(out)


def poly1305(key, message):
    """RFC 8439, 2.5."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    sum = 0
    for at in range(0, len(message), 16):
        sum = (sum + int.from_bytes(message[at:at + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((sum + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def tag(key, nonce, sealed, ad):
    def padded(b):
        return b + bytes(-len(b) % 16)

    return poly1305(chacha20(key, nonce, bytes(32), 0),
                    padded(ad) + padded(sealed) + struct.pack("<QQ", len(ad), len(sealed)))


def seal(key, nonce, contents, ad):
    """RFC 8439, 2.8."""
    sealed = chacha20(key, nonce, contents, 1)
    return sealed + tag(key, nonce, sealed, ad)


def unseal(key, nonce, box, ad):
    """The contents, None for a box that does not open."""
    if len(box) < 16 or not hmac.compare_digest(tag(key, nonce, box[:-16], ad), box[-16:]):
        return None
    return chacha20(key, nonce, box[:-16], 1)


# The RFC's own numbers, 2.8.2.
assert seal(bytes(range(0x80, 0xa0)), bytes.fromhex("070000004041424344454647"),
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
            bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def header(secret, salt):
    plain = b"PKL2" + salt
    whole = plain + seal(hkdf(secret, salt, b"pngw keystore 2 header"), bytes(12), b"", plain)
    return whole + struct.pack(">I", zlib.crc32(whole))


def make(secret):
    salt = bytes(range(32))
    key = hkdf(secret, salt, b"pngw keystore 2 entry")
    log = bytearray(header(secret, salt))
    number = 0

    def entry(id, contents):
        nonlocal number
        number += 1
        size = 14 + 7 + len(contents) + 16
        if len(log) % PAGE and len(log) % PAGE + size >= PAGE:
            log.extend(bytes(-len(log) % PAGE))
        head = struct.pack(">H", len(contents) + 16) + number.to_bytes(5, "big") + id.to_bytes(3, "big")
        random = bytes((number + i) & 255 for i in range(7))
        log.extend(head + struct.pack(">I", zlib.crc32(head)) + random)
        log.extend(seal(key, number.to_bytes(5, "big") + random, contents, b"PKL2" + number.to_bytes(5, "big")))

    def named(kind, name, value=b""):
        return bytes([kind, len(name)]) + name.encode() + value

    entry(0, bytes([BEGIN | FIRST]))
    entry(0, bytes([NAMES]) + (1).to_bytes(3, "big") + b"\x08pne-0001" + b"\x07urn:x/y")
    entry(1, named(PUT, "pne-0001", b"a value of version 2"))
    entry(2, named(PUT, "urn:x/y"))
    entry(0, bytes([END]))
    entry(1, named(PUT | FIRST, "pne-0001", b"a later one"))
    entry(0, bytes([NAMES | FIRST]) + (3).to_bytes(3, "big") + b"\x04gone" + b"\x04long")
    entry(3, named(PUT, "gone", b"soon"))
    entry(4, named(PUT, "long", bytes(range(250)) * 20))
    entry(3, named(DELETE | FIRST, "gone"))
    entry(0xFFFFFF, named(DAMAGED | FIRST, "spoilt"))
    return bytes(log)


def read(log, secret):
    if log[:4] != b"PKL2" or log[:56] != header(secret, log[4:36]):
        sys.exit("not the header of a log of version 2 under this secret")
    key = hkdf(secret, log[4:36], b"pngw keystore 2 entry")
    records, damaged, names = {}, [], {}
    at, last = 56, 0
    while at < len(log):
        head = log[at:at + 10]
        whole = len(log) >= at + 14 and zlib.crc32(head) == struct.unpack(">I", log[at + 10:at + 14])[0]
        if not whole:
            if not any(log[at:at + -at % PAGE]):
                at += -at % PAGE or PAGE
                continue
            sys.exit("no entry begins at byte %d" % at)
        size, number, id = struct.unpack(">H", head[:2])[0], int.from_bytes(head[2:7], "big"), int.from_bytes(head[7:], "big")
        random, box = log[at + 14:at + 21], log[at + 21:at + 21 + size]
        at += 21 + size
        contents = unseal(key, head[2:7] + random, box, b"PKL2" + head[2:7])
        if contents is None or number <= last:
            damaged.append(names.get(id, "entry %d" % number))
            continue
        last = number
        kind, rest = contents[0] & ~FIRST, contents[1:]
        if kind == NAMES:
            id, rest = int.from_bytes(rest[:3], "big"), rest[3:]
            while rest:
                names[id], rest = rest[1:1 + rest[0]].decode(), rest[1 + rest[0]:]
                id += 1
        elif kind in (PUT, DELETE, DAMAGED):
            name, value = rest[1:1 + rest[0]].decode(), rest[1 + rest[0]:]
            records.pop(name, None)
            damaged = [other for other in damaged if other != name]
            if kind == PUT:
                records[name] = value.hex()
            elif kind == DAMAGED:
                damaged.append(name)
    return {"records": records, "damaged": damaged}


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"] and len(sys.argv) == 3:
        print(make(bytes.fromhex(sys.argv[2])).hex())
    elif sys.argv[1:2] == ["read"] and len(sys.argv) == 4:
        with open(sys.argv[2] + "/log", "rb") as f:
            print(json.dumps(read(f.read(), bytes.fromhex(sys.argv[3]))))
    else:
        sys.exit(__doc__)
