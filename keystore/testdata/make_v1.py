#!/usr/bin/env python3
"""Makes v1.json: a store of version 1, after docs/keystore-format.md and by nothing of the Go code.

Needs python3-cryptography. HChaCha20 is written out below (draft-irtf-cfrg-xchacha-03, 2.2).
"""
import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


def hkdf(secret, salt, info):
    """RFC 5869 with SHA-256, 32 bytes."""
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def hchacha20(key, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = ((s[z] << n) | (s[z] >> (32 - n))) & 0xFFFFFFFF

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return struct.pack("<8I", *s[:4], *s[12:])


def seal(key, nonce, value, ad):
    """nonce | XChaCha20-Poly1305 of value with its tag."""
    return nonce + ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], value, ad)


assert hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")).hex() == (
    "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")  # the draft's own numbers

secret = bytes([7]) * 32
salt = bytes(range(32))


def header():
    plain = b"PKH1" + salt
    sealed = plain + seal(hkdf(secret, salt, b"pngw keystore 1 header"), bytes(range(100, 124)), b"", plain)
    return sealed + hashlib.sha256(sealed).digest()


def record(file, value, first):
    key = hkdf(secret, salt, b"pngw keystore 1 record")
    return b"PKR1" + seal(key, bytes(range(first, first + 24)), value, b"PKR1" + file.encode())


files = {
    "header": header(),
    "pne-0001.rec": record("pne-0001.rec", b"a value of version 1", 10),
    "urn:x%2Fy.rec": record("urn:x%2Fy.rec", b"", 50),
}
print(json.dumps({name: content.hex() for name, content in files.items()}, indent=1))
