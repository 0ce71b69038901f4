# SPDX-License-Identifier: Apache-2.0
"""A small exchange of fixed keys, certificates and directories, written by
hand: the same bytes in every run. Importing it puts a fixed stream in the
place of chance and RFC 6979 in the place of random signatures."""
import hashlib
import hmac

import shape
from shape import integer, octets, oid, seq, tlv

NOW = 1795435200000  # 2026-11-23T12:00:00Z
DAY = 86400000
CREATED = NOW - 3600000


class Stream:
    """SHA-256 in counter mode over a name."""

    def __init__(self, name):
        self.name, self.count, self.left = name.encode(), 0, b""

    def __call__(self, n):
        while len(self.left) < n:
            self.left += hashlib.sha256(self.name + self.count.to_bytes(8, "big")).digest()
            self.count += 1
        out, self.left = self.left[:n], self.left[n:]
        return out


def begin(name):
    """From here on chance is the stream NAME."""
    shape.chance = Stream(name)


def sign_6979(key, data):
    """ECDSA with the nonce of RFC 6979, 3.2: the same signature each time."""
    q = shape.ORDER
    x = key.private_numbers().private_value
    digest = hashlib.sha256(data).digest()
    z = int.from_bytes(digest, "big")
    seed = x.to_bytes(32, "big") + (z % q).to_bytes(32, "big")
    v, k = b"\1" * 32, b"\0" * 32
    for mark in b"\0", b"\1":
        k = hmac.digest(k, v + mark + seed, "sha256")
        v = hmac.digest(k, v, "sha256")
    while True:
        v = hmac.digest(k, v, "sha256")
        nonce = int.from_bytes(v, "big")
        if 0 < nonce < q:
            r = shape.key_of(nonce).public_key().public_numbers().x % q
            s = pow(nonce, -1, q) * (z + r * x) % q
            if r and s:
                return shape.utils.encode_dss_signature(r, s)
        k = hmac.digest(k, v + b"\0", "sha256")
        v = hmac.digest(k, v, "sha256")


shape.sign = sign_6979

# --- protobuf, one spelling: defaults left out, fields in order ---


def varint(v):
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, (list, tuple)):
        return b"".join(repeated(number, v) for v in value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value if value else b""


def repeated(number, value):
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    """Fields from number 1 on; None: not there. A message in a message is bytes already."""
    return b"".join(field(i + 1, v) for i, v in enumerate(fields) if v is not None)


# --- keys and certificates (docs/protocol.md, section 4) ---

KEYS = {}


def key(name):
    if name not in KEYS:
        scalar = int.from_bytes(hashlib.sha512(b"citex test key " + name.encode()).digest(), "big")
        KEYS[name] = shape.key_of(scalar % (shape.ORDER - 1) + 1)
    return KEYS[name]


def name_der(party, name):
    return seq(tlv(0x31, seq(oid("2.5.4.10"), tlv(0x0C, party.encode()))),
               tlv(0x31, seq(oid("2.5.4.3"), tlv(0x0C, name.encode()))))


def extension(number, value, critical=False):
    return seq(oid(f"2.5.29.{number}"), b"\x01\x01\xff" if critical else b"", octets(value))


USES = {"tls": 1, "signing": 2, "sealing": 3, "receipts": 4, "directory": 5}
SPKI_FRONT = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def certificate(party, name, use, subject=None):
    """One leaf under its Party's CA (self-signed: a CA, a publisher)."""
    subject = subject or key(f"{name} {use}")
    alone = use in ("ca", "directory")
    issuer = subject if alone else key(f"{party} ca")
    usage = {"ca": b"\x03\x02\x01\x06", "sealing": b"\x03\x02\x03\x08"}.get(use, b"\x03\x02\x07\x80")
    basic = seq(b"\x01\x01\xff", integer(0)) if use == "ca" else seq()
    extensions = [extension(19, basic, True), extension(15, usage, True),
                  extension(14, octets(shape.key_id(subject))),
                  extension(35, seq(tlv(0x80, shape.key_id(issuer))))]
    if use != "ca":
        oids = [oid(f"2.25.{shape.ARC}.{USES[use]}")]
        if use == "tls":
            oids += [oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2")]
        extensions.append(extension(37, seq(*oids)))
    serial = b"\x40" + hashlib.sha256(f"{party} {name} {use}".encode() + shape.point(subject)).digest()[:15]
    body = seq(tlv(0xA0, integer(2)), tlv(0x02, serial), seq(oid("1.2.840.10045.4.3.2")),
               name_der(party, name if alone else party), seq(tlv(0x17, b"260101000000Z"), tlv(0x17, b"361231235959Z")),
               name_der(party, name), SPKI_FRONT + shape.point(subject), tlv(0xA3, seq(*extensions)))
    return seq(body, seq(oid("1.2.840.10045.4.3.2")), tlv(0x03, b"\0" + sign_6979(issuer, body)))


def pem_certificate(der):
    import base64
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


# --- the directory ---

MEMBERS = {  # Party: (node, addresses, via, {authority: role})
    "gb": ("gb", ["127.0.0.1:7003"], [], {"gb.ma": "management"}),
    "ke": ("ke", ["127.0.0.1:7002"], [], {"ke.ma": "management", "ke.kws": "enforcement"}),
    "secretariat": ("secretariat", ["127.0.0.1:7001"], [], {"secretariat": "secretariat"}),
    "so": ("so", [], ["secretariat"], {"so.ma": "management"}),
}


def listed(party, name, use, ended):
    """Keys of one use, oldest first. ENDED: {(name, use): (state, until)} of a key before the present one."""
    out = []
    since = 1767225600000
    present = None
    if (name, use) in ended:
        state, until = ended[(name, use)]
        out.append(message(certificate(party, name, use), since, until, state))
        present = key(f"{name} {use} 2")
    out.append(message(certificate(party, name, use, present), since, 0, "live"))
    return out


def newest(name, use, ended):
    return key(f"{name} {use} 2" if (name, use) in ended else f"{name} {use}")


def signed_card(card, label, signer):
    return message(card, shape.key_id(signer), shape.sign(signer, shape.label_bytes(label, card)))


def party(code, ended):
    node, addresses, via, authorities = MEMBERS[code]
    cards = []
    for name, role in authorities.items():
        card = message(1, CREATED, name, name, [role], node, listed(code, name, "signing", ended),
                       listed(code, name, "sealing", ended))
        cards.append(signed_card(card, "citex authority card v1", newest(name, "signing", ended)))
    card = message(1, CREATED, node, addresses, via, listed(code, node, "tls", ended),
                   listed(code, node, "receipts", ended), list(authorities))
    nodes = [signed_card(card, "citex node card v1", newest(node, "receipts", ended))]
    return message(code, code, listed(code, code, "ca", {}), None, cards, nodes)


def directory(ended=None):
    """(SignedHead, contents, fingerprint of the publisher)."""
    ended = ended or {}
    publisher = certificate("secretariat", "secretariat", "directory")
    contents = message(1, 1, [message(publisher, 1767225600000, 0, "live")],
                       [party(code, ended) for code in MEMBERS])
    head = message(1, 1, None, hashlib.sha256(contents).digest(), len(contents), CREATED, NOW + 30 * DAY)
    signer = key("secretariat directory")
    signed = message(head, shape.key_id(signer), shape.sign(signer, shape.label_bytes("citex directory v1", head)))
    digits = hashlib.sha256(publisher).hexdigest()
    return signed, contents, " ".join(digits[i:i + 4] for i in range(0, 64, 4))


# --- messages ---

INCARNATION = bytes(range(1, 9))
MESSAGE_ID = bytes.fromhex("019ab0c0de007000800000000000000a")
ENVELOPE_ID = bytes.fromhex("019ab0c0de007000800000000000000b")


def attachment(number, length=1000):
    fill = bytes([number])
    return {"name": f"scan{number}.pdf", "length": length, "digest": fill * 32, "key": fill * 32, "root": fill * 32,
            "sealed_length": length + 16 * max(1, -(-length // 65520))}


def content(author="gb.ma", addressees=("ke.ma",), audience="", created=CREATED, version=1, body=b"hello", pad=True,
            message_id=MESSAGE_ID, incarnation=INCARNATION, attachments=(), fill=b"\0"):
    files = [message(a["name"], "application/pdf", a["length"], a["digest"], a["key"], a["root"], a["sealed_length"])
             for a in attachments]
    out = message(version, message_id, message_id, author, list(addressees), audience, created, "note", 1, body, None,
                  None, files, None, "j.doe", "en", 1, None, None, None, incarnation)
    if not pad:
        return out
    target = 1024
    while True:
        for length in range(max(0, target - len(out) - 6), max(0, target - len(out)) + 1):
            padding = field(22, fill * length)
            if len(out) + len(padding) == target:
                return out + padding
        target *= 2


def proofs(signer, label, leaves):
    """A Proof for each leaf."""
    hashed = [shape.leaf_hash(x) for x in leaves]
    signature = shape.sign(signer, shape.label_bytes(label, shape.batch_bytes(leaves)))
    return [message(shape.key_id(signer), i, len(leaves), shape.path_of(i, hashed), signature)
            for i in range(len(leaves))]


def outer(signed_data, sealed, author="gb.ma", addressee="ke.ma", version=1, envelope_id=ENVELOPE_ID, sequence=1,
          created=CREATED, expires=CREATED + 30 * DAY, priority=0, incarnation=INCARNATION, attachments=(),
          sealed_digest=None, signed_digest=None, sealed_length=None):
    return message(version, envelope_id, author, addressee, incarnation, sequence, created, expires, priority,
                   signed_digest or hashlib.sha256(signed_data).digest(),
                   len(sealed) if sealed_length is None else sealed_length,
                   sealed_digest or hashlib.sha256(sealed).digest(),
                   [message(a["root"], a["sealed_length"]) for a in attachments])


def envelope(outer_bytes, sealed, stamp):
    return message(outer_bytes, stamp, sealed)


SLIPS = {"relayed": 1, "stored": 2, "opened": 3, "seen": 4, "refused": 5, "expired": 6}


def slip_body(kind, about, maker, to="gb.ma", version=1, envelope_id=ENVELOPE_ID, time=NOW, reason="", words=""):
    return message(version, SLIPS.get(kind, kind), envelope_id, hashlib.sha256(about).digest(), to, maker, time, reason,
                   words, 1)


def slip(body, proof):
    return message(body, proof)
