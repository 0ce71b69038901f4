# SPDX-License-Identifier: Apache-2.0
"""A peer that does what a citex node would not: it speaks the wire by hand,
with a member's real keys or somebody else's. Written from docs/protocol.md."""
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors"))
import shape  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.x509 import load_pem_x509_certificate  # noqa: E402

# --- protobuf by hand: [(field, value)] with int, bytes, str or a nested list ---


def varint(v):
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def pb(*fields):
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            if value:
                out += varint(number << 3) + varint(value)
            continue
        data = value.encode() if isinstance(value, str) else value
        if data:
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def parse(data):
    """{field: [values]}; nested messages stay bytes."""
    got, at = {}, 0

    def number():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return v
    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        else:
            n = number()
            value, at = data[at:at + n], at + n
        got.setdefault(tag >> 3, []).append(value)
    return got


HELLO, OFFER, TAKEN, LATER, CREDIT, CHUNK_REQUEST, CHUNK = range(1, 8)
DIRECTORY_REQUEST, HEADS, PART, PROBE, PROBE_RESULT, PROGRESS, KEEP_ALIVE, BYE = range(8, 16)


def frame(kind, body):
    # a member of a oneof is written also when it is empty
    data = varint(kind << 3 | 2) + varint(len(body)) + body
    return struct.pack(">I", len(data)) + data


class Peer:
    """One TLS session as NODE of a lab, with all that can be wrong about it."""

    def __init__(self, lab, node, target, *, alpn=("citex/1",), version=ssl.TLSVersion.TLSv1_3, keys=None,
                 use="tls", timeout=10, which=-1):
        folder = keys or lab.path("parties", lab.data["nodes"][node]["party"], "nodes", node)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if node:
            with open(lab.passphrase, encoding="ascii") as f:
                context.load_cert_chain(newest(folder, use, ".pem", which), newest(folder, use, ".key", which),
                                        f.readline().strip())
        raw = socket.create_connection(("127.0.0.1", lab.data["nodes"][target]["port"]), timeout=timeout)
        self.sock = context.wrap_socket(raw, server_hostname=None)
        self.held, self.offers = b"", 0

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def hello(self, node, directory=0, digest=b"", version=1):
        self.send(frame(HELLO, pb((1, version), (2, version), (3, node), (4, os.urandom(8)), (5, directory),
                                  (6, digest), (7, int(time.time() * 1000)))))

    def frames(self, seconds=5.0):
        """All frames until SECONDS of silence or the end: [(kind, body)]."""
        got = []
        self.sock.settimeout(seconds)
        try:
            while data := self.sock.recv(65536):
                self.held += data
                while len(self.held) >= 4:
                    n = struct.unpack(">I", self.held[:4])[0]
                    if len(self.held) < 4 + n:
                        break
                    for kind, bodies in parse(self.held[4:4 + n]).items():
                        got += [(kind, b) for b in bodies]
                    self.held = self.held[4 + n:]
        except (TimeoutError, ssl.SSLError, ConnectionError):
            pass
        return got

    def offer(self, envelope):
        self.offers += 1
        self.send(frame(OFFER, pb((1, self.offers)) + varint(2 << 3 | 2) + varint(len(envelope)) + envelope))
        return self.offers


def newest(folder, use, ending, which=-1):
    names = sorted(n for n in os.listdir(folder) if n.startswith(use) and n.endswith(ending))
    return os.path.join(folder, names[which])


class Author:
    """An authority's keys in the hands of somebody who writes by hand."""

    def __init__(self, lab, authority):
        self.lab, self.authority = lab, authority
        party = authority.split(".")[0]
        self.folder = lab.path("parties", party, "authorities", authority)
        self.key = self.private("signing")
        self.sequence = int(time.time())

    def private(self, use):
        with open(self.lab.passphrase, encoding="ascii") as f:
            secret = f.readline().strip().encode()
        with open(newest(self.folder, use, ".key"), "rb") as f:
            return serialization.load_pem_private_key(f.read(), secret)

    def public(self, use):
        with open(newest(self.folder, use, ".pem"), "rb") as f:
            return load_pem_x509_certificate(f.read()).public_key()

    def content(self, to, *, message_id=None, kind="note", body=None, author=None, **more):
        """A Content; MORE by field number."""
        message_id = message_id or uuid7()
        self.incarnation = more.pop("incarnation", b"12345678")
        self.created = more.pop("created", int(time.time() * 1000))
        fields = {1: 1, 2: message_id, 3: message_id, 4: author or self.authority, 5: to, 7: self.created, 8: kind,
                  9: 1, 10: pb((1, "text")) if body is None else body, 12: pb((1, "AMBER")), 15: "Nobody",
                  16: "en", 17: 1, 21: self.incarnation}
        fields.update(more.pop("fields", {}))
        bare = pb(*sorted(fields.items()))
        size = 1024
        while size < len(bare) + 4:
            size *= 2
        for pad in range(size - len(bare), 0, -1):
            whole = bare + varint(22 << 3 | 2) + varint(pad) + b"\0" * pad
            if len(whole) == size:
                return whole
        raise ValueError("no padding fits")

    def envelope(self, to, signed, *, recipient=None, stamp_key=None, sealed=None, envelope_id=None, outer=None):
        envelope_id = envelope_id or uuid7()
        if sealed is None:
            sealed = shape.auth_enveloped((recipient or Author(self.lab, to)).public("sealing"), signed, envelope_id)
        self.sequence += 1
        fields = {1: 1, 2: envelope_id, 3: self.authority, 4: to, 5: self.incarnation, 6: self.sequence,
                  7: self.created, 8: self.created + 30 * 86400_000, 10: hashlib.sha256(signed).digest(),
                  11: len(sealed), 12: hashlib.sha256(sealed).digest()}
        fields.update(outer or {})
        outer_bytes = pb(*sorted(fields.items()))
        key = stamp_key or self.key
        signature = shape.sign(key, shape.label_bytes("citex stamp v1", shape.batch_bytes([outer_bytes])))
        stamp = pb((1, shape.key_id(key)), (3, 1), (5, signature))
        return pb((1, outer_bytes), (2, stamp), (3, sealed))


def elements(der):
    """The members of a constructed value, each whole."""
    got, at = [], 0
    while at < len(der):
        n, head = der[at + 1], 2
        if n >= 0x80:
            head += n & 0x7F
            n = int.from_bytes(der[at + 2:at + head], "big")
        got.append(der[at:at + head + n])
        at += head + n
    return got


def inside(der):
    return der[2 + (der[1] & 0x7F if der[1] >= 0x80 else 0):]


def shorten(lab, node, use, seconds):
    """NODE's certificate for USE again, by its own Party, but it ends SECONDS from now."""
    home = lab.path("parties", lab.data["nodes"][node]["party"])
    path = newest(os.path.join(home, "nodes", node), use, ".pem")
    with open(path, encoding="ascii") as f:
        tbs, algorithm, _ = elements(inside(ssl.PEM_cert_to_DER_cert(f.read())))
    with open(lab.passphrase, encoding="ascii") as f, open(os.path.join(home, "ca.key"), "rb") as key:
        ca = serialization.load_pem_private_key(key.read(), f.readline().strip().encode())
    fields = elements(inside(tbs))
    end = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + seconds)).encode()
    fields[1] = fields[1][:-1] + bytes([fields[1][-1] ^ 1])  # another serial number
    fields[4] = shape.seq(elements(inside(fields[4]))[0], shape.tlv(0x17, end))
    tbs = shape.seq(*fields)
    whole = shape.seq(tbs, algorithm, shape.tlv(0x03, b"\0" + shape.sign(ca, tbs)))
    with open(path, "w", encoding="ascii") as f:
        f.write(ssl.DER_cert_to_PEM_cert(whole))


def uuid7():
    ms = int(time.time() * 1000)
    rest = bytearray(os.urandom(10))
    rest[0] = rest[0] & 0x0F | 0x70
    rest[2] = rest[2] & 0x3F | 0x80
    return ms.to_bytes(6, "big") + bytes(rest)
