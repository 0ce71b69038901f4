# SPDX-License-Identifier: Apache-2.0
"""An independent writer and reader of citex's formats, for the tests: written
from docs/protocol.md over python3-cryptography, without a line of the C code.
It can also write what the protocol forbids."""
import hashlib
import os
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

chance = os.urandom  # make.py puts a fixed stream here
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ARC = 147698054712042959894840408000355340080

# --- DER ---


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 0x80:
        length = bytes([n])
    else:
        octets = n.to_bytes((n.bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + body


def seq(*parts):
    return tlv(0x30, *parts)


def integer(v):
    return tlv(0x02, v.to_bytes(v.bit_length() // 8 + 1, "big"))


def octets(b):
    return tlv(0x04, b)


def oid(text):
    numbers = [int(x) for x in text.split(".")]
    numbers = [numbers[0] * 40 + numbers[1]] + numbers[2:]
    out = b""
    for v in numbers:
        piece = [v & 0x7F]
        v >>= 7
        while v:
            piece.insert(0, v & 0x7F | 0x80)
            v >>= 7
        out += bytes(piece)
    return tlv(0x06, out)


NULL = b"\x05\x00"
CONTENT = oid(f"2.25.{ARC}.0")
DATA = oid("1.2.840.113549.1.7.1")
SIGNED_DATA = oid("1.2.840.113549.1.7.2")
ENVELOPED_DATA = oid("1.2.840.113549.1.7.3")
AUTH_ENVELOPED_DATA = oid("1.2.840.113549.1.9.16.1.23")
SHA256 = oid("2.16.840.1.101.3.4.2.1")
ECDSA_SHA256 = oid("1.2.840.10045.4.3.2")
EC_PUBLIC_KEY = oid("1.2.840.10045.2.1")
ECDH_SHA256 = oid("1.3.132.1.11.1")
AES256_WRAP = oid("2.16.840.1.101.3.4.1.45")
AES256_GCM = oid("2.16.840.1.101.3.4.1.46")
AES256_OFB = oid("2.16.840.1.101.3.4.1.43")
AES256_CBC = oid("2.16.840.1.101.3.4.1.42")
CONTENT_TYPE = oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = oid("1.2.840.113549.1.9.4")
SIGNING_TIME = oid("1.2.840.113549.1.9.5")

# --- keys ---


def key_of(scalar):
    return ec.derive_private_key(scalar, ec.SECP256R1())


def new_key():
    return key_of(int.from_bytes(chance(40), "big") % (ORDER - 1) + 1)


def point(key):
    public = key if isinstance(key, ec.EllipticCurvePublicKey) else key.public_key()
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def key_id(key):
    return hashlib.sha1(point(key)).digest()


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def verifies(public, signature, data):
    try:
        public.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def other_s(signature):
    """(r, n - s): another signature of the same."""
    r, s = utils.decode_dss_signature(signature)
    return utils.encode_dss_signature(r, ORDER - s)

# --- SignedData ---


def attributes(content, when, order=None, extra=(), content_type=CONTENT):
    attrs = {
        "type": seq(CONTENT_TYPE, tlv(0x31, content_type)),
        "digest": seq(MESSAGE_DIGEST, tlv(0x31, octets(hashlib.sha256(content).digest()))),
        "time": seq(SIGNING_TIME, tlv(0x31, tlv(0x17, when))),
    }
    if order is None:
        return b"".join(sorted(list(attrs.values()) + list(extra), key=lambda a: a + b"\0" * 100))
    return b"".join(attrs[name] for name in order) + b"".join(extra)


def signed_data(key, content, when=b"261123120000Z", *, version=3, digest_alg=None, inner_digest_alg=None,
                signature_alg=None, content_type=CONTENT, attrs=None, sid=None, signature=None, before=b"",
                unsigned=b"", signer_version=3, signers=None, embed=None, signed_bytes=None):
    digest_alg = seq(SHA256) if digest_alg is None else digest_alg
    attrs = attributes(content, when, content_type=content_type) if attrs is None else attrs
    to_sign = signed_bytes if signed_bytes is not None else (tlv(0x31, attrs) if attrs else content)
    signature = sign(key, to_sign) if signature is None else signature
    signer = seq(integer(signer_version), tlv(0x80, key_id(key)) if sid is None else sid,
                 seq(SHA256) if inner_digest_alg is None else inner_digest_alg,
                 tlv(0xA0, attrs) if attrs else b"",
                 seq(ECDSA_SHA256) if signature_alg is None else signature_alg, octets(signature), unsigned)
    embed = tlv(0xA0, octets(content)) if embed is None else embed
    body = seq(integer(version), tlv(0x31, digest_alg), seq(content_type, embed), before,
               tlv(0x31, signer) if signers is None else tlv(0x31, *[signer] * signers))
    return seq(SIGNED_DATA, tlv(0xA0, body))

# --- AuthEnvelopedData ---


def kek_of(z, ukm, wrap_alg=None):
    wrap_alg = seq(AES256_WRAP) if wrap_alg is None else wrap_alg
    info = seq(wrap_alg, tlv(0xA0, octets(ukm)) if ukm is not None else b"",
               tlv(0xA2, octets(struct.pack(">I", 256))))
    return hashlib.sha256(z + b"\0\0\0\1" + info).digest()


def recipient_info(ephemeral, recipient, cek, ukm, *, version=3, rkid=None, curve_params=b"", wrap_params=b"",
                   originator=None, count=1, tag=0xA1):
    z = ephemeral.exchange(ec.ECDH(), recipient)
    wrapped = keywrap.aes_key_wrap(kek_of(z, ukm, seq(AES256_WRAP, wrap_params)), cek)
    origin = tlv(0xA0, tlv(0xA1, seq(EC_PUBLIC_KEY, curve_params), tlv(
        0x03, b"\0" + (point(ephemeral) if originator is None else originator))))
    keys = seq(*[seq(tlv(0xA0, octets(key_id(recipient) if rkid is None else rkid)), octets(wrapped))] * count)
    return tlv(tag, integer(version), origin, tlv(0xA1, octets(ukm)) if ukm is not None else b"",
               seq(ECDH_SHA256, seq(AES256_WRAP, wrap_params)), keys)


def auth_enveloped(recipient, plain, ukm, *, ephemeral=None, cek=None, nonce=None, version=0, icv=16, tag_len=16,
                   inner=DATA, recipients=1, attrs=b"", cipher=AES256_GCM, after=b"", info=None, **more):
    ephemeral = ephemeral or new_key()
    cek, nonce = cek or chance(32), nonce or chance(12)
    # pyca takes no short tags: cut what GCM made
    sealed = AESGCM(cek).encrypt(nonce, plain, tlv(0x31, attrs) if attrs else None)
    text, tag = sealed[:-16], sealed[-16:][:tag_len]
    params = seq(octets(nonce), integer(icv) if icv is not None else b"")
    infos = [info if info is not None else recipient_info(ephemeral, recipient, cek, ukm, **more)] * recipients
    body = seq(integer(version), tlv(0x31, *infos), seq(inner, seq(cipher, params), tlv(0x80, text)),
               tlv(0xA1, attrs) if attrs else b"", octets(tag), after)
    return seq(AUTH_ENVELOPED_DATA, tlv(0xA0, body))


def relabelled(recipient, plain, ukm, cipher=AES256_OFB):
    """The same recipient, the content type moved down to EnvelopedData: the downgrade that leaks plaintext."""
    ephemeral, cek, iv = new_key(), chance(32), chance(16)
    mode = modes.OFB(iv) if cipher == AES256_OFB else modes.CBC(iv)
    padded = plain if cipher == AES256_OFB else plain + bytes([16 - len(plain) % 16]) * (16 - len(plain) % 16)
    enc = Cipher(algorithms.AES(cek), mode).encryptor()
    text = enc.update(padded) + enc.finalize()
    body = seq(integer(2), tlv(0x31, recipient_info(ephemeral, recipient, cek, ukm)),
               seq(DATA, seq(cipher, octets(iv)), tlv(0x80, text)))
    return seq(ENVELOPED_DATA, tlv(0xA0, body))


class Reader:
    """DER taken apart, for opening what the C code sealed."""

    def __init__(self, data):
        self.data = data

    def take(self, tag):
        if self.data[0] != tag:
            raise ValueError(f"tag {self.data[0]:02x} instead of {tag:02x}")
        n, at = self.data[1], 2
        if n & 0x80:
            at = 2 + (n & 0x7F)
            n = int.from_bytes(self.data[2:at], "big")
        body, self.data = self.data[at:at + n], self.data[at + n:]
        return body

    def sub(self, tag):
        return Reader(self.take(tag))


def open_auth_enveloped(private, der):
    """(ukm, plaintext) of an AuthEnvelopedData in our shape."""
    outer = Reader(der).sub(0x30)
    assert tlv(0x06, outer.take(0x06)) == AUTH_ENVELOPED_DATA
    body = outer.sub(0xA0).sub(0x30)
    assert body.take(0x02) == b"\0"
    kari = body.sub(0x31).sub(0xA1)
    assert kari.take(0x02) == b"\3"
    origin = kari.sub(0xA0).sub(0xA1)
    origin.take(0x30)
    z = private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), origin.take(0x03)[1:]))
    ukm = kari.sub(0xA1).take(0x04)
    kari.take(0x30)
    row = kari.sub(0x30).sub(0x30)
    assert row.sub(0xA0).take(0x04) == key_id(private)
    cek = keywrap.aes_key_unwrap(kek_of(z, ukm), row.take(0x04))
    content = body.sub(0x30)
    content.take(0x06)
    algorithm = content.sub(0x30)
    algorithm.take(0x06)
    nonce = algorithm.sub(0x30).take(0x04)
    text, tag = content.take(0x80), body.take(0x04)
    return ukm, AESGCM(cek).decrypt(nonce, text + tag, None)

# --- Merkle trees (RFC 9162, 2.1), signatures under a label, chunks ---


def leaf_hash(leaf):
    return hashlib.sha256(b"\0" + leaf).digest()


def root_of(hashes_of):
    if not hashes_of:
        return hashlib.sha256(b"").digest()
    if len(hashes_of) == 1:
        return hashes_of[0]
    k = 1
    while k * 2 < len(hashes_of):
        k *= 2
    return hashlib.sha256(b"\1" + root_of(hashes_of[:k]) + root_of(hashes_of[k:])).digest()


def path_of(index, hashes_of):
    if len(hashes_of) <= 1:
        return []
    k = 1
    while k * 2 < len(hashes_of):
        k *= 2
    if index < k:
        return path_of(index, hashes_of[:k]) + [root_of(hashes_of[k:])]
    return path_of(index - k, hashes_of[k:]) + [root_of(hashes_of[:k])]


def label_bytes(label, data):
    return label.encode() + b"\0" + data


def batch_bytes(leaves):
    return struct.pack(">Q", len(leaves)) + root_of([leaf_hash(x) for x in leaves])


def chunk(key, index, count, plain):
    nonce = b"\0" * 4 + struct.pack(">Q", index)
    return AESGCM(key).encrypt(nonce, plain, label_bytes("citex chunk v1", struct.pack(">II", index, count)))
