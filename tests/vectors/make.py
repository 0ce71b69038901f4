#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the published test vectors: make.py DIRECTORY. Every byte comes from
shape.py and world.py, none from the C code; two runs write the same files.
`result' is what a right reader says: ok, or err_name() of the refusal."""
import hashlib
import json
import sys

sys.dont_write_bytecode = True
import shape  # noqa: E402
import world  # noqa: E402
from shape import NULL, integer, octets, oid, seq, tlv  # noqa: E402
from world import CREATED, DAY, ENVELOPE_ID, NOW  # noqa: E402

SIGNER = world.key("gb.ma signing")
STRANGER = world.key("somebody else")
READER = world.key("ke.ma sealing")


class File:
    """One file of vectors; each with its own stream of chance, named by the vector."""

    def __init__(self, form, **common):
        self.form, self.common, self.vectors = form, common, []

    def add(self, name, result, make, **fields):
        world.begin(f"{self.form} {name}")
        made = make() if callable(make) else make
        if any(v["name"] == name for v in self.vectors):
            raise ValueError(f"{name} twice")
        self.vectors.append({"name": name, "result": result, **made, **fields})

    def write(self, where):
        def plain(value):
            return value.hex() if isinstance(value, bytes) else value
        rows = [",\n".join(f'      "{k}": {json.dumps(v, default=plain)}' for k, v in vector.items())
                for vector in self.vectors]
        common = "".join(f'  "{k}": {json.dumps(v, default=plain)},\n' for k, v in self.common.items())
        text = f'{{\n  "format": "{self.form}",\n{common}  "vectors": [\n    {{\n'
        text += "\n    },\n    {\n".join(rows) + "\n    }\n  ]\n}\n"
        with open(f"{where}/{self.form}.json", "w", encoding="ascii") as f:
            f.write(text)


# --- SignedData ---

def signed_vectors():
    f = File("signed", signer=shape.point(SIGNER))
    plain = b"the signed content"

    def ok(name, text, when=b"261123120000Z", **how):
        def make():
            der = shape.signed_data(SIGNER, text, when, **how)
            return {"der": der, "content_sha256": hashlib.sha256(text).digest()}
        f.add(name, "ok", make)

    def no(name, why, text=plain, result="cannot-be-opened", **how):
        f.add(name, result, lambda: {"why": why, "der": shape.signed_data(SIGNER, text, **how)})

    def raw(name, why, make, result="cannot-be-opened"):
        f.add(name, result, lambda: {"why": why, "der": make()})

    for length in 0, 1, 127, 128, 255, 256, 1024:
        ok(f"content_of_{length}_bytes", bytes(i % 251 for i in range(length)))
    ok("time_1970", plain, b"700101000000Z")
    ok("time_2049", plain, b"491231235959Z")
    f.add("time_2050_generalized", "ok", lambda: {
        "der": shape.signed_data(SIGNER, plain, attrs=attrs_with_time(plain, tlv(0x18, b"20500101000000Z"))),
        "content_sha256": hashlib.sha256(plain).digest()})
    f.add("signature_twin", "ok", lambda: {
        "why": "(r, n-s) verifies as well as (r, s): no defect, but the hash of a file is not its identity",
        "der": shape.signed_data(SIGNER, plain, signature=shape.other_s(shape.sign(SIGNER, tlv(
            0x31, shape.attributes(plain, b"261123120000Z"))))),
        "content_sha256": hashlib.sha256(plain).digest()})

    whole = shape.signed_data(SIGNER, plain)
    attrs = shape.attributes(plain, b"261123120000Z")
    # attributes
    for order in ("type digest time", "digest time type", "digest type time", "time digest type", "type time digest"):
        no("attributes_order_" + order.replace(" ", "_"), "DER sorts a SET OF",
           attrs=shape.attributes(plain, b"261123120000Z", order.split()))
    for order in ("time type", "time digest", "type digest"):
        no("attributes_only_" + order.replace(" ", "_"), "all three are mandatory",
           attrs=shape.attributes(plain, b"261123120000Z", order.split()))
    mime = seq(oid("1.2.840.113549.1.9.15"), tlv(0x31, seq(seq(shape.AES256_CBC))))
    no("attributes_smime_capabilities", "no other attribute",
       attrs=shape.attributes(plain, b"261123120000Z", extra=[mime]))
    time = seq(shape.SIGNING_TIME, tlv(0x31, tlv(0x17, b"261123120001Z")))
    no("attributes_time_twice", "each attribute once", attrs=shape.attributes(plain, b"261123120000Z", extra=[time]))
    two = seq(shape.SIGNING_TIME, tlv(0x31, tlv(0x17, b"261123120000Z"), tlv(0x17, b"261123120001Z")))
    no("attributes_time_with_two_values", "one value", attrs=attrs_with(plain, two))
    no("attributes_none", "a signature over the content itself", attrs=b"")
    raw("lamps_eufcma", "the attributes made into the content, without attributes: the signature verifies", lambda:
        shape.signed_data(SIGNER, tlv(0x31, attrs), attrs=b"", signature=shape.sign(SIGNER, tlv(0x31, attrs))))
    no("attributes_signed_under_their_tag", "the signature covers them as a SET", result="signature",
       signed_bytes=tlv(0xA0, attrs))
    no("attributes_content_type_of_data", "the content type is ours",
       attrs=shape.attributes(plain, b"261123120000Z", content_type=shape.DATA))
    no("digest_of_other_content", "messageDigest is that of the content", result="signature",
       attrs=shape.attributes(b"other", b"261123120000Z"))
    no("digest_of_20_bytes", "SHA-256", attrs=attrs_with(plain, None, octets(b"d" * 20)))
    for name, when in (("without_seconds", b"2611231200Z"), ("with_offset", b"261123120000+0000"),
                       ("of_1950", b"500101000000Z"), ("of_no_day", b"260230120000Z"), ("without_z", b"261123120000")):
        no("time_" + name, "RFC 5652, 11.3", attrs=shape.attributes(plain, when))
    no("time_generalized_before_2050", "RFC 5652, 11.3",
       attrs=attrs_with_time(plain, tlv(0x18, b"20261123120000Z")))
    # algorithms and versions
    no("digest_parameters_null", "parameters absent", digest_alg=seq(shape.SHA256, NULL))
    no("signer_digest_parameters_null", "parameters absent", inner_digest_alg=seq(shape.SHA256, NULL))
    no("signature_parameters_null", "parameters absent", signature_alg=seq(shape.ECDSA_SHA256, NULL))
    no("digest_sha384", "SHA-256 only", digest_alg=seq(oid("2.16.840.1.101.3.4.2.2")))
    no("signer_digest_sha384", "SHA-256 only", inner_digest_alg=seq(oid("2.16.840.1.101.3.4.2.2")))
    no("signature_sha384", "SHA-256 only", signature_alg=seq(oid("1.2.840.10045.4.3.3")))
    no("signature_rsa", "ECDSA only", signature_alg=seq(oid("1.2.840.113549.1.1.11"), NULL))
    no("digests_none", "one digest algorithm", digest_alg=b"")
    no("digests_two", "one digest algorithm", digest_alg=seq(shape.SHA256) * 2)
    for version in 0, 1, 4, 5:
        no(f"version_{version}", "version 3", version=version)
    no("signer_version_1", "version 3", signer_version=1)
    # structure
    no("content_type_data", "our content type", content_type=shape.DATA)
    no("content_type_of_another_arc", "our content type", content_type=oid("2.25.1.0"))
    no("content_detached", "content embedded", embed=b"")
    no("content_twice", "one content", embed=tlv(0xA0, octets(plain)) * 2)
    no("content_constructed", "no BER strings", embed=tlv(0xA0, tlv(0x24, octets(plain[:5]), octets(plain[5:]))))
    no("content_without_octets", "an OCTET STRING", embed=tlv(0xA0, plain))
    no("certificates", "none inside", before=tlv(0xA0, world.certificate("gb", "gb.ma", "signing")))
    no("certificates_empty", "none inside", before=tlv(0xA0))
    no("crls_empty", "none inside", before=tlv(0xA1))
    no("signers_none", "one signer", signers=0)
    no("signers_two", "one signer", signers=2)
    no("signer_by_issuer_and_serial", "named by key identifier", sid=seq(world.name_der("gb", "gb"), integer(1)))
    no("key_id_of_19_bytes", "20 bytes", sid=tlv(0x80, shape.key_id(SIGNER)[:19]))
    no("key_id_of_21_bytes", "20 bytes", sid=tlv(0x80, shape.key_id(SIGNER) + b"\0"))
    no("key_id_of_somebody_else", "looked up by exact match", result="unknown-key",
       sid=tlv(0x80, shape.key_id(STRANGER)))
    no("unsigned_attributes", "none", unsigned=tlv(0xA1, time))
    no("unsigned_attributes_empty", "none", unsigned=tlv(0xA1))
    # signatures
    no("signature_by_somebody_else", "the signer's key", result="signature",
       signature=shape.sign(STRANGER, tlv(0x31, attrs)))
    no("signature_empty", "a signature", signature=b"")
    no("signature_of_zeros", "r and s are not zero", result="signature", signature=seq(integer(0), integer(0), NULL))
    good = shape.sign(SIGNER, tlv(0x31, attrs))
    no("signature_trailing", "DER, nothing left over", signature=good + b"\0",
       result="signature" if len(good) < 72 else "cannot-be-opened")
    r, s = shape.utils.decode_dss_signature(good)
    no("signature_raw", "DER", result="signature", signature=r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    no("signature_r_longer_than_needed", "shortest integers, at most 72 bytes",
       signature=seq(tlv(0x02, b"\0" + r.to_bytes(33, "big")), integer(s)))
    # BER
    raw("trailing_byte", "nothing left over", lambda: whole + b"\0")
    raw("twice", "nothing left over", lambda: whole * 2)
    raw("cut", "whole", lambda: whole[:-1])
    raw("nothing", "whole", lambda: b"")
    raw("length_indefinite", "DER lengths",
        lambda: b"\x30\x80" + shape.Reader(whole).take(0x30) + b"\0\0")
    raw("length_longer_than_needed", "DER lengths",
        lambda: b"\x30\x83\x00" + whole[2:4] + shape.Reader(whole).take(0x30))
    raw("pkcs7_without_content_info", "a ContentInfo", lambda: shape.Reader(shape.Reader(whole).take(0x30)).data[11:])
    raw("content_type_of_enveloped", "SignedData", lambda: whole.replace(shape.SIGNED_DATA, shape.ENVELOPED_DATA))
    raw("null_after_content_info", "nothing left over", lambda: seq(shape.Reader(whole).take(0x30), NULL))
    return f


def attrs_with(content, time=None, digest=None):
    """The attributes with another time or another digest in it, sorted."""
    time = time or seq(shape.SIGNING_TIME, tlv(0x31, tlv(0x17, b"261123120000Z")))
    digest = digest or octets(hashlib.sha256(content).digest())
    return b"".join(sorted([seq(shape.CONTENT_TYPE, tlv(0x31, shape.CONTENT)), time,
                            seq(shape.MESSAGE_DIGEST, tlv(0x31, digest))]))


def attrs_with_time(content, time):
    return attrs_with(content, seq(shape.SIGNING_TIME, tlv(0x31, time)))


# --- AuthEnvelopedData ---

def sealed_vectors():
    f = File("sealed", key=shape.pem(READER), envelope_id=ENVELOPE_ID)
    inner = shape.signed_data(SIGNER, b"the sealed content")
    reader = READER.public_key()

    def no(name, why, **how):
        f.add(name, "cannot-be-opened", lambda: {"why": why, "der": shape.auth_enveloped(
            reader, inner, how.pop("ukm", ENVELOPE_ID), **how)})

    def raw(name, why, make):
        f.add(name, "cannot-be-opened", lambda: {"why": why, "der": make()})

    for length in 0, 1, 15, 16, 127, 128, 255, 256, 1350:
        text = bytes(i % 251 for i in range(length))
        f.add(f"plaintext_of_{length}_bytes", "ok",
              lambda: {"der": shape.auth_enveloped(reader, text, ENVELOPE_ID), "plain": text})
    f.add("signed_data", "ok", lambda: {"der": shape.auth_enveloped(reader, inner, ENVELOPE_ID), "plain": inner})
    # the attacks that general readers fall for
    raw("aead_to_ofb", "re-labelled as EnvelopedData: leaks plaintext", lambda:
        shape.relabelled(reader, inner, ENVELOPE_ID))
    raw("efail_cbc", "re-labelled as EnvelopedData in CBC", lambda:
        shape.relabelled(reader, inner, ENVELOPE_ID, shape.AES256_CBC))
    no("openssl_34182_tag_of_1_byte", "a tag that can be guessed", tag_len=1, icv=1)
    no("tag_of_12_bytes", "16 bytes", tag_len=12, icv=12)
    no("tag_of_12_bytes_called_16", "16 bytes", tag_len=12)
    no("icv_length_absent", "its default is 12", icv=None)
    no("icv_length_12", "16 written out", icv=12)
    no("icv_length_17", "16", icv=17)
    # recipient
    no("ukm_missing", "the envelope id", ukm=None)
    no("ukm_of_another_envelope", "replayed under another id", ukm=bytes(15) + b"\1")
    no("ukm_of_15_bytes", "16 bytes", ukm=ENVELOPE_ID[:15])
    no("ukm_of_17_bytes", "16 bytes", ukm=ENVELOPE_ID + b"\0")
    no("recipients_none", "one recipient", recipients=0)
    no("recipients_two", "one recipient", recipients=2)
    no("recipient_keys_two", "one key", count=2)
    no("recipient_keys_none", "one key", count=0)
    no("recipient_version_4", "version 3", version=0, info=recipient(reader, inner, version=4))
    no("recipient_key_transport", "key agreement only", info=recipient(reader, inner, tag=0xA0))
    no("recipient_password", "key agreement only", info=recipient(reader, inner, tag=0xA3))
    no("recipient_other", "key agreement only", info=recipient(reader, inner, tag=0xA4))
    no("recipient_key_id_of_somebody_else", "exact match", rkid=shape.key_id(STRANGER))
    no("recipient_key_id_of_19_bytes", "20 bytes", rkid=shape.key_id(READER)[:19])
    raw("recipient_is_somebody_else", "their key", lambda:
        shape.auth_enveloped(STRANGER.public_key(), inner, ENVELOPE_ID))
    raw("recipient_is_somebody_else_named_us", "their key under our name", lambda:
        shape.auth_enveloped(STRANGER.public_key(), inner, ENVELOPE_ID, rkid=shape.key_id(READER)))
    no("originator_parameters_null", "absent", curve_params=NULL)
    no("originator_parameters_curve", "absent", curve_params=oid("1.2.840.10045.3.1.7"))
    no("wrap_parameters_null", "absent", wrap_params=NULL)
    flipped = bytearray(shape.point(STRANGER))
    flipped[64] ^= 1
    no("originator_off_the_curve", "a point of P-256", originator=bytes(flipped))
    no("originator_compressed", "uncompressed", originator=bytes([2]) + shape.point(STRANGER)[1:33])
    no("originator_hybrid", "uncompressed", originator=bytes([6 + (shape.point(STRANGER)[64] & 1)])
       + shape.point(STRANGER)[1:])
    no("originator_at_infinity", "a point of P-256", originator=b"\0")
    no("originator_zeros", "a point of P-256", originator=b"\4" + bytes(64))
    no("originator_over_the_prime", "a point of P-256", originator=b"\4" + b"\xff" * 64)
    no("originator_of_another_key", "the ephemeral key", originator=shape.point(STRANGER))
    # content
    no("version_1", "version 0", version=1)
    no("version_2", "version 0", version=2)
    no("inner_type_signed_data", "id-data", inner=shape.SIGNED_DATA)
    no("cipher_aes_128_gcm", "AES-256-GCM", cipher=oid("2.16.840.1.101.3.4.1.6"))
    no("cipher_aes_256_ccm", "AES-256-GCM", cipher=oid("2.16.840.1.101.3.4.1.47"))
    no("cipher_aes_256_cbc", "AES-256-GCM", cipher=shape.AES256_CBC)
    no("nonce_of_8_bytes", "12 bytes", nonce=b"n" * 8)
    no("nonce_of_13_bytes", "12 bytes", nonce=b"n" * 13)
    no("nonce_of_16_bytes", "12 bytes", nonce=b"n" * 16)
    extra = seq(shape.CONTENT_TYPE, tlv(0x31, shape.DATA))
    no("authenticated_attributes", "none", attrs=extra)
    no("unauthenticated_attributes", "none", after=tlv(0xA2, extra))
    no("unauthenticated_attributes_empty", "none", after=tlv(0xA2))
    world.begin("sealed whole")
    whole = shape.auth_enveloped(reader, inner, ENVELOPE_ID)
    for name, at in (("tag", -1), ("ciphertext", -20), ("ciphertext_begin", -18 - len(inner)), ("first_byte", 0)):
        raw(f"flipped_{name}", "every byte counts", lambda: flip(whole, at))
    raw("flipped_wrapped_key", "key wrap", lambda: flip(whole, whole.index(b"\x04\x28") + 7))
    raw("openssl_63072_wrapped_key_of_odd_length", "40 bytes", lambda: rewrap(whole, 41))
    raw("wrapped_key_of_48_bytes", "40 bytes", lambda: rewrap(whole, 48))
    raw("wrapped_key_empty", "40 bytes", lambda: rewrap(whole, 0))
    raw("kdf_sha1", "SHA-256", lambda: whole.replace(shape.ECDH_SHA256, oid("1.3.132.1.11.0")))
    raw("kdf_sha1_openssl_default", "SHA-256",
        lambda: whole.replace(shape.ECDH_SHA256, oid("1.3.133.16.840.63.0.2")[:8]))
    raw("originator_info", "none", lambda: insert_after(whole, b"\x02\x01\x00", tlv(0xA0)))
    raw("type_enveloped", "AuthEnvelopedData", lambda: whole.replace(shape.AUTH_ENVELOPED_DATA, shape.ENVELOPED_DATA))
    raw("trailing_byte", "nothing left over", lambda: whole + b"\0")
    raw("cut", "whole", lambda: whole[:-1])
    raw("nothing", "whole", lambda: b"")
    raw("length_indefinite", "DER lengths", lambda: b"\x30\x80" + shape.Reader(whole).take(0x30) + b"\0\0")
    raw("signed_data_only", "sealed", lambda: inner)
    return f


def recipient(reader, _plain, **how):
    world.begin("recipient")
    return shape.recipient_info(shape.new_key(), reader, shape.chance(32), ENVELOPE_ID, **how)


def flip(data, at):
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)


def rewrap(whole, length):
    """WHOLE with a wrapped key of LENGTH bytes, all lengths around it right."""
    row = whole.index(b"\x04\x28" + whole[whole.index(b"\x04\x28") + 2:][:40])
    return replace_inside(whole, whole[row:row + 42], octets((whole[row + 2:row + 42] + bytes(8))[:length]))


def insert_after(whole, mark, more):
    return replace_inside(whole, mark, mark + more)


def replace_inside(data, old, new):
    """Replace the element OLD by NEW wherever it stands first, with the lengths around it."""
    out, rest = b"", shape.Reader(data)
    done = False
    while rest.data:
        tag = rest.data[0]
        before = rest.data
        value = rest.take(tag)
        element = before[:len(before) - len(rest.data)]
        if not done and element == old:
            out, done = out + new, True
        elif not done and tag & 0x20 and old in element:
            out, done = out + tlv(tag, replace_inside(value, old, new)), True
        else:
            out += element
    return out


# --- Merkle trees, proofs, chunks ---

def merkle_vectors():
    f = File("merkle")
    for size in 0, 1, 2, 3, 5, 7, 8, 9, 64, 127:
        leaves = [bytes([i]) * (i % 5) for i in range(size)]
        hashed = [shape.leaf_hash(x) for x in leaves]
        places = range(size) if size < 10 else (0, 1, size // 2, size - 1)
        f.add(f"tree_of_{size}", "ok", {
            "leaves": [x.hex() for x in leaves], "root": shape.root_of(hashed),
            "paths": {i: [h.hex() for h in shape.path_of(i, hashed)] for i in places}})
    return f


def proof_vectors():
    f = File("proof", signer=shape.point(SIGNER), label="citex stamp v1")
    leaves = [f"leaf {i}".encode() for i in range(5)]

    def put(name, result, why=None, leaf=None, at=2, label="citex stamp v1", signer=SIGNER, of=None, change=None):
        of = leaves if of is None else of
        parts = {"key_id": shape.key_id(signer), "index": at, "size": len(of),
                 "path": shape.path_of(at, [shape.leaf_hash(x) for x in of]),
                 "signature": shape.sign(signer, shape.label_bytes(label, shape.batch_bytes(of)))}
        if change:
            change(parts)
        proof = world.message(parts["key_id"], parts["index"], parts["size"], parts["path"], parts["signature"])
        made = {"leaf": of[at] if leaf is None else leaf, "proof": proof}
        f.add(name, result, {"why": why, **made} if why else made)

    for i in range(5):
        put(f"leaf_{i}_of_5", "ok", at=i)
    put("leaf_alone", "ok", of=leaves[:1], at=0)
    put("leaves_128", "ok", of=[bytes([i]) for i in range(128)], at=77)
    put("leaves_129", "malformed", "at most 128 leaves", of=[bytes([i]) for i in range(129)], at=77)
    put("other_leaf", "signature", "the leaf it was made for", leaf=b"other")
    put("node_as_leaf", "signature", "leaves and nodes are hashed differently",
        leaf=b"".join(shape.leaf_hash(x) for x in leaves[:2]), at=0,
        change=lambda p: p.update(path=p["path"][1:], size=3))
    put("other_label", "signature", "each label its own signature", label="citex slip v1")
    put("other_signer", "signature", "the signer's key", signer=STRANGER)
    put("index_beside", "signature", "its own place", change=lambda p: p.update(index=3))
    put("index_outside", "malformed", "under the size", change=lambda p: p.update(index=5))
    put("size_zero", "malformed", "at least one", change=lambda p: p.update(index=0, size=0))
    put("size_other", "signature", "the size is signed", change=lambda p: p.update(size=6))
    put("path_one_less", "malformed", "as long as the tree is high", change=lambda p: p.update(path=p["path"][:-1]))
    put("path_one_more", "malformed", "as long as the tree is high",
        change=lambda p: p.update(path=p["path"] + [bytes(32)]))
    put("path_changed", "signature", "every hash", change=lambda p: p.update(path=[bytes(32)] + p["path"][1:]))
    put("path_of_31_bytes", "malformed", "32 bytes", change=lambda p: p.update(path=[bytes(31)] + p["path"][1:]))
    put("key_id_of_19_bytes", "malformed", "20 bytes", change=lambda p: p.update(key_id=bytes(19)))
    put("signature_missing", "malformed", "a signature", change=lambda p: p.update(signature=b""))
    return f


def chunk_vectors():
    key = bytes(range(32))
    f = File("chunk", key=key)

    def put(name, result, index, count, plain, sealed=None, why=None):
        made = {"index": index, "count": count, "sealed": shape.chunk(key, index, count, plain) if sealed is None
                else sealed}
        if result == "ok":
            made["plain"] = plain
        f.add(name, result, {"why": why, **made} if why else made)

    put("empty", "ok", 0, 1, b"")
    put("one_byte", "ok", 0, 1, b"x")
    put("last_of_three", "ok", 2, 3, b"the last piece")
    put("number_70000", "ok", 70000, 70001, b"far behind", why="index in four bytes")
    other = shape.chunk(key, 1, 3, b"the last piece")
    put("of_another_index", "cannot-be-opened", 2, 3, b"", other, "bound to its index")
    put("of_another_count", "cannot-be-opened", 2, 3, b"", shape.chunk(key, 2, 4, b"the last piece"), "bound to the count")
    put("tag_changed", "cannot-be-opened", 0, 1, b"", flip(shape.chunk(key, 0, 1, b"x"), -1), "whole")
    put("shorter_than_a_tag", "cannot-be-opened", 0, 1, b"", bytes(15), "a tag of 16 bytes")
    put("index_outside", "cannot-be-opened", 1, 1, b"x", None, "under the count")
    put("short_before_the_last", "cannot-be-opened", 0, 2, b"short", None, "only the last may be shorter")
    put("last_of_two_empty", "cannot-be-opened", 1, 2, b"", None, "a lone chunk only may be empty")
    return f


# --- directories, envelopes, slips ---

DIRECTORIES = {
    "plain": {},
    "retired": {("gb.ma", "signing"): ("retired", NOW - DAY), ("ke", "receipts"): ("retired", NOW - 60 * DAY)},
    "revoked": {("gb.ma", "signing"): ("revoked", NOW), ("ke", "receipts"): ("revoked", NOW)},
}


def directory_vectors():
    f = File("directory")
    made = {name: world.directory(ended) for name, ended in DIRECTORIES.items()}
    for name, (head, contents, pin) in made.items():
        f.add(name, "ok", {"head": head, "contents": contents, "pin": pin})
    head, contents, pin = made["plain"]
    f.add("pinned_to_another", "unknown-key", {"head": head, "contents": b"", "contents_of": "plain",
                                               "pin": "0000" + pin[4:]})
    f.add("contents_of_another", "directory", {"head": head, "contents": b"", "contents_of": "revoked", "pin": pin})
    f.add("signature_changed", "signature", {"head": flip(head, -1), "contents": b"", "contents_of": "plain",
                                             "pin": pin})
    return f


def envelope_vectors():
    f = File("envelope", key=shape.pem(READER), me="ke.ma", now=NOW)
    signing = SIGNER

    def put(name, result, why=None, stamp="ok", directory="plain", signer=None, text=None, inner=None, sealed=None,
            stamper=None, with_content=None, with_outer=None, seal_with=None, batch=(), to=None, now=None):
        def make():
            clear = world.content(**(with_content or {})) if text is None else text
            signed = shape.signed_data(signer or signing, clear, b"261123110000Z") if inner is None else inner
            box = shape.auth_enveloped((to or READER).public_key(), signed,
                                       *[(seal_with or {}).get("ukm", ENVELOPE_ID)],
                                       **{k: v for k, v in (seal_with or {}).items() if k != "ukm"}) \
                if sealed is None else sealed(signed)
            leaf = world.outer(signed, box, **(with_outer or {}))
            leaves = [leaf, *batch]
            proof = world.proofs(stamper or signing, "citex stamp v1", leaves)[0]
            made = {"directory": directory, "stamp": stamp, "envelope": world.envelope(leaf, box, proof)}
            if now:
                made["now"] = now
            if result == "ok":
                made["message_id"] = world.MESSAGE_ID
                made["signed_sha256"] = hashlib.sha256(signed).digest()
            return {"why": why, **made} if why else made
        f.add(name, result, make)

    files = [world.attachment(1), world.attachment(2, 200000)]
    ke_signing = world.key("ke.ma signing")
    put("plain", "ok")
    put("in_a_batch", "ok", batch=[b"another leaf", b"a third"])
    put("two_attachments", "ok", with_content={"attachments": files}, with_outer={"attachments": files})
    put("to_several", "ok", with_content={"addressees": ["so.ma", "ke.ma"]})
    put("to_all", "ok", with_content={"addressees": [], "audience": "all@1"})
    put("large", "ok", with_content={"body": b"b" * 3000})
    put("urgent", "ok", with_outer={"priority": 1})
    put("key_retired_meanwhile", "ok", "mail that waited", directory="retired", now=NOW + 20 * DAY)
    put("key_retired_long_ago", "ok", "the post's part: a stamp by it is too old by then", stamp="expired",
        directory="retired", now=NOW + 60 * DAY)
    put("key_revoked", "revoked", "whoever stole it can sign any time", stamp="revoked", directory="revoked")
    # the stamp and the outer fields
    put("stamp_of_somebody_else", "ok", "the post's part", stamp="identity", stamper=ke_signing)
    put("stamp_by_a_sealing_key", "ok", "one key, one use", stamp="identity", stamper=world.key("gb.ma sealing"))
    put("stamp_by_a_stranger", "ok", "ask for the directory", stamp="unknown-key", stamper=STRANGER)
    put("outer_version_2", "version", "version 1", stamp="version", with_outer={"version": 2})
    put("outer_id_of_15_bytes", "malformed", "16 bytes", stamp="malformed", with_outer={"envelope_id": bytes(15)})
    put("outer_lifetime_91_days", "malformed", "at most 90 days", stamp="malformed",
        with_outer={"expires": CREATED + 91 * DAY})
    put("outer_sealed_digest", "malformed", "of the sealed bytes", stamp="malformed",
        with_outer={"sealed_digest": b"d" * 32})
    put("outer_sealed_length", "malformed", "of the sealed bytes", stamp="malformed", with_outer={"sealed_length": 5})
    put("outer_author_of_odd_letters", "malformed", "PARTY.OFFICE", stamp="malformed", with_outer={"author": "GB.ma"})
    put("outer_sequence_0", "malformed", "from 1", stamp="malformed", with_outer={"sequence": 0})
    # alike up to the signature
    put("outer_signed_digest", "cannot-be-opened", "of the SignedData", with_outer={"signed_digest": b"d" * 32})
    put("ukm_of_another_envelope", "cannot-be-opened", "the envelope id", seal_with={"ukm": bytes(15) + b"\1"})
    put("sealed_to_somebody_else", "cannot-be-opened", "our key", to=STRANGER)
    put("aead_to_ofb", "cannot-be-opened", "AuthEnvelopedData",
        sealed=lambda signed: shape.relabelled(READER.public_key(), signed, ENVELOPE_ID))
    put("inner_is_no_signed_data", "cannot-be-opened", "SignedData", inner=b"hello")
    put("signed_by_a_sealing_key", "cannot-be-opened", "one key, one use", signer=world.key("gb.ma sealing"))
    put("signed_by_a_receipt_key", "cannot-be-opened", "one key, one use", signer=world.key("gb receipts"))
    put("signed_by_a_tls_key", "cannot-be-opened", "one key, one use", signer=world.key("gb tls"))
    put("signed_by_a_ca", "cannot-be-opened", "one key, one use", signer=world.key("gb ca"))
    put("signed_by_a_stranger", "cannot-be-opened", "listed", signer=STRANGER)
    put("signed_by_another_authority", "cannot-be-opened", "the author", signer=ke_signing)
    put("signature_wrong", "cannot-be-opened", "the signature", inner=shape.signed_data(
        signing, world.content(), signature=shape.sign(STRANGER, b"x")))
    so_text = world.content(author="so.ma", addressees=["gb.ma"])
    put("davis_2001_as_own", "cannot-be-opened", "so.ma's message to gb.ma, sealed to ke.ma by gb.ma",
        inner=shape.signed_data(world.key("so.ma signing"), so_text))
    put("davis_2001_as_theirs", "identity", "the same, in so.ma's name", stamp="identity",
        inner=shape.signed_data(world.key("so.ma signing"), so_text), with_outer={"author": "so.ma"})
    # after it
    put("content_author", "identity", "inner against outer", with_content={"author": "gb.border-force"})
    put("content_for_somebody_else", "identity", "inner against outer", with_content={"addressees": ["so.ma"]})
    put("content_created", "identity", "inner against outer", with_content={"created": CREATED + 1})
    put("content_incarnation", "identity", "inner against outer", with_content={"incarnation": bytes(8)})
    put("attachments_missing_outside", "identity", "inner against outer", with_content={"attachments": files})
    put("attachments_missing_inside", "identity", "inner against outer", with_outer={"attachments": files})
    put("attachments_swapped", "identity", "inner against outer", with_content={"attachments": files},
        with_outer={"attachments": files[::-1]})
    put("content_version_2", "version", "version 1", with_content={"version": 2})
    put("content_not_padded", "malformed", "a power of two", with_content={"pad": False})
    put("content_padded_with_ones", "malformed", "zeros", with_content={"fill": b"\1"})
    put("content_audience_and_addressees", "malformed", "one of the two", with_content={"audience": "all@1"})
    put("content_audience_of_nobody", "identity", "all@N", with_content={"addressees": [], "audience": "all@0"})
    put("content_id_of_15_bytes", "malformed", "16 bytes", with_content={"message_id": bytes(range(15))})
    put("content_junk", "malformed", "a Content", text=b"\xff" * 1024)
    return f


def slip_vectors():
    f = File("slip")
    world.begin("slip envelope")
    signed = shape.signed_data(SIGNER, world.content(addressees=["so.ma"]), b"261123110000Z")
    box = shape.auth_enveloped(world.key("so.ma sealing").public_key(), signed, ENVELOPE_ID)
    about = world.outer(signed, box, addressee="so.ma")
    whole = world.envelope(about, box, world.proofs(SIGNER, "citex stamp v1", [about])[0])
    f.common["envelope"] = whole

    def put(name, result, kind, maker, use, fits=None, why=None, directory="plain", signer=None, label="citex slip v1",
            batch=(), **body):
        made = world.slip_body(kind, about, maker, **body)
        leaves = [*batch, made]
        proof = world.proofs(signer or world.key(f"{maker} {use}"), label, leaves)[-1]
        row = {"directory": directory, "slip": world.slip(made, proof), "fits": fits or result}
        f.add(name, result, {"why": why, **row} if why else row)

    put("stored", "ok", "stored", "so", "receipts")
    put("stored_in_a_batch", "ok", "stored", "so", "receipts", batch=[b"another", b"third"])
    put("stored_by_a_relay", "ok", "stored", "secretariat", "receipts", "identity", "the addressee's own node")
    put("relayed", "ok", "relayed", "secretariat", "receipts")
    put("relayed_by_no_relay", "ok", "relayed", "ke", "receipts", "identity", "a node in `via'")
    put("opened", "ok", "opened", "so.ma", "signing")
    put("opened_by_somebody_else", "ok", "opened", "ke.ma", "signing", "identity", "the addressee")
    put("opened_signed_by_the_node", "identity", "opened", "so.ma", "receipts", None, "a signing key of its maker",
        signer=world.key("so receipts"))
    put("seen", "ok", "seen", "so.ma", "signing")
    put("refused", "ok", "refused", "so.ma", "signing", reason="cannot-be-opened", words="it does not open")
    put("refused_by_the_authors_node", "ok", "refused", "gb", "receipts", reason="unreachable")
    put("refused_without_a_reason", "malformed", "refused", "so.ma", "signing", None, "a reason")
    put("expired", "ok", "expired", "secretariat", "receipts", reason="expired")
    put("stored_with_a_reason", "malformed", "stored", "so", "receipts", None, "no reason", reason="expired")
    put("stored_by_an_authority", "malformed", "stored", "so.ma", "signing", None, "by a node")
    put("type_0", "malformed", 0, "so", "receipts", None, "a type")
    put("type_7", "malformed", 7, "so", "receipts", None, "a type")
    put("version_2", "version", "stored", "so", "receipts", version=2)
    put("id_of_15_bytes", "malformed", "stored", "so", "receipts", envelope_id=bytes(range(15)))
    put("time_0", "malformed", "stored", "so", "receipts", time=0)
    put("words_of_512_bytes", "ok", "refused", "so.ma", "signing", reason="value", words="w" * 512)
    put("words_of_513_bytes", "malformed", "refused", "so.ma", "signing", reason="value", words="w" * 513)
    put("about_another_envelope", "ok", "stored", "so", "receipts", "identity", envelope_id=bytes(range(16)))
    put("to_somebody_else", "ok", "stored", "so", "receipts", "identity", to="ke.ma")
    put("signed_as_a_stamp", "signature", "stored", "so", "receipts", "ok", "its own label", label="citex stamp v1")
    put("signed_by_somebody_else", "identity", "stored", "so", "receipts", "ok", signer=world.key("ke receipts"))
    put("signed_by_a_stranger", "unknown-key", "stored", "so", "receipts", signer=STRANGER)
    put("key_retired", "ok", "stored", "ke", "receipts", "identity", directory="retired")
    put("key_revoked_later", "ok", "stored", "ke", "receipts", "identity", directory="revoked", time=NOW - 1)
    put("key_revoked_before", "revoked", "stored", "ke", "receipts", "identity", directory="revoked", time=NOW)
    return f


def main(where):
    files = [signed_vectors(), sealed_vectors(), merkle_vectors(), proof_vectors(), chunk_vectors(),
             directory_vectors(), envelope_vectors(), slip_vectors()]
    for f in files:
        f.write(where)
    print(sum(len(f.vectors) for f in files), "vectors")


if __name__ == "__main__":
    main(sys.argv[1])
