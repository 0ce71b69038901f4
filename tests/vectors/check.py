#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares our code with the published vectors, with a foreign writer and
reader (shape.py), and with the openssl program. Run in the build folder."""
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
try:
    import cryptography  # noqa: F401
except ImportError:
    sys.exit("python3-cryptography is missing (./run install-tools)")
import make  # noqa: E402
import shape  # noqa: E402
import world  # noqa: E402

TOOL = os.environ.get("VECTOOL", "tests/vectors/vectool")
FORMATS = ("signed", "sealed", "merkle", "proof", "chunk", "directory", "envelope", "slip")
OUTPUTS = ("result", "stamp", "fits", "plain", "content_sha256", "root", "paths", "message_id", "signed_sha256")
count = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    count["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED {name} {detail}")


def vectool(rows):
    """The verdicts of our code, one for each row."""
    done = subprocess.run([TOOL], input="".join(json.dumps(r) + "\n" for r in rows), text=True,
                          capture_output=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(lines) != len(rows):
        at = rows[len(lines)].get("name") if len(lines) < len(rows) else "the end"
        sys.exit(f"vectool stopped at {at}: {done.stderr}")
    return lines


def load(name):
    with open(f"{HERE}/{name}.json", encoding="ascii") as f:
        whole = json.load(f)
    common = {k: v for k, v in whole.items() if k != "vectors"}
    return [{**common, **v} for v in whole["vectors"]]


def openssl(*arguments, **files):
    """Run the openssl program in a folder with these files; (worked, {file: bytes})."""
    with tempfile.TemporaryDirectory() as where:
        for name, data in files.items():
            with open(f"{where}/{name}", "wb") as f:
                f.write(data if isinstance(data, bytes) else data.encode())
        done = subprocess.run(["openssl", *arguments], cwd=where, capture_output=True, check=False)
        out = {}
        for name in os.listdir(where):
            with open(f"{where}/{name}", "rb") as f:
                out[name] = f.read()
        return done.returncode == 0, out


def time_of(der):
    """The signing time in seconds, wherever it stands."""
    at = der.index(shape.SIGNING_TIME) + len(shape.SIGNING_TIME) + 2
    text = der[at + 2:at + 2 + der[at + 1]].decode()
    form = "%y%m%d%H%M%SZ" if der[at] == 0x17 else "%Y%m%d%H%M%SZ"
    moment = datetime.datetime.strptime(text, form).replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())


SIGNER_CERTIFICATE = world.certificate("gb", "gb.ma", "signing")
CERTIFIED = 1767225600, 2114380799  # from 2026 to 2036
CA = world.pem_certificate(world.certificate("gb", "gb", "ca"))


def openssl_verify(der):
    """(verifies, content), by the command of the README in a bundle."""
    when = time_of(der)
    judged = ["-attime", str(when)] if CERTIFIED[0] <= when <= CERTIFIED[1] else ["-no_check_time"]
    good, files = openssl("cms", "-verify", "-binary", "-inform", "DER", "-in", "x", "-certfile", "signer.pem",
                          "-CAfile", "ca.pem", "-purpose", "any", *judged, "-out", "body", x=der,
                          **{"signer.pem": world.pem_certificate(SIGNER_CERTIFICATE), "ca.pem": CA})
    return good, files.get("body")


def openssl_decrypt(der):
    """What `openssl cms -decrypt' makes of it, for ke.ma; None: refused."""
    certificate = world.pem_certificate(world.certificate("ke", "ke.ma", "sealing"))
    good, files = openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-in", "e", "-recip", "cert.pem", "-inkey",
                          "key.pem", "-out", "x", e=der, **{"cert.pem": certificate, "key.pem": shape.pem(make.READER)})
    return files.get("x") if good else None


def check_published():
    """The files are what the writer writes, and our code agrees with each vector."""
    with tempfile.TemporaryDirectory() as where:
        make.main(where)
        for name in FORMATS:
            with open(f"{where}/{name}.json", "rb") as a, open(f"{HERE}/{name}.json", "rb") as b:
                check(f"{name}.json never changes", a.read() == b.read())
    contents = {v["name"]: v for v in load("directory")}
    for name in FORMATS:
        rows = load(name)
        for row in rows:
            if "contents_of" in row:
                row["contents"] = contents[row["contents_of"]]["contents"]
            if "directory" in row:
                row.update({k: contents[row["directory"]][k] for k in ("head", "contents", "pin")})
        for row, verdict in zip(rows, vectool(rows)):
            differs = {k: (row[k], verdict.get(k)) for k in OUTPUTS if k in row and row[k] != verdict.get(k)}
            check(f"{name}/{row['name']}", not differs, str(differs)[:300])


def check_openssl_reads_vectors():
    """What is right is right for openssl too; which of the wrong it takes is no news."""
    taken = []
    for row in load("signed"):
        der = bytes.fromhex(row["der"])
        if row["result"] == "ok":
            good, body = openssl_verify(der)
            check(f"openssl verifies {row['name']}",
                  good and hashlib.sha256(body).hexdigest() == row["content_sha256"])
        elif row["result"] == "cannot-be-opened" and b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05" in der:
            try:
                if openssl_verify(der)[0]:
                    taken.append(row["name"])
            except ValueError:
                pass
    for row in load("sealed"):
        der = bytes.fromhex(row["der"])
        plain = openssl_decrypt(der)
        if row["result"] == "ok":
            check(f"openssl opens {row['name']}", plain is not None and plain.hex() == row["plain"])
            check(f"Python opens {row['name']}",
                  shape.open_auth_enveloped(make.READER, der) == (bytes.fromhex(row["envelope_id"]),
                                                                  bytes.fromhex(row["plain"])))
        elif plain is not None:
            taken.append(row["name"])
    print("openssl takes what we refuse:", ", ".join(taken))
    for name in "aead_to_ofb", "certificates_empty", "digest_parameters_null":
        check(f"openssl takes {name}: our refusal is needed", name in taken)


def check_ours_for_others():
    """What our code signs and seals, for openssl and for Python."""
    sizes = [0, 1, 127, 128, 200, 255, 256, 1024, 65535, 65536]
    rows = [{"format": "make", "key": shape.pem(make.SIGNER), "reader": shape.point(make.READER).hex(),
             "content": bytes(i % 253 for i in range(n)).hex(), "time": world.CREATED + n,
             "envelope_id": world.ENVELOPE_ID.hex()} for n in sizes]
    for row, made in zip(rows, vectool(rows)):
        n = len(row["content"]) // 2
        signed, sealed = bytes.fromhex(made["signed"]), bytes.fromhex(made["sealed"])
        good, body = openssl_verify(signed)
        check(f"openssl verifies ours of {n} bytes", good and body.hex() == row["content"])
        check(f"openssl opens ours of {n} bytes", openssl_decrypt(sealed) == signed)
        check(f"Python opens ours of {n} bytes",
              shape.open_auth_enveloped(make.READER, sealed) == (world.ENVELOPE_ID, signed))
        again = shape.signed_data(make.SIGNER, bytes.fromhex(row["content"]), time_text(signed),
                                  signature=signature_of(signed))
        check(f"Python writes the same bytes for {n}", again == signed)


def time_text(der):
    at = der.index(shape.SIGNING_TIME) + len(shape.SIGNING_TIME) + 2
    return der[at + 2:at + 2 + der[at + 1]]


def signature_of(der):
    """The last element of the SignerInfo: an OCTET STRING of a SEQUENCE at the very end."""
    for length in range(8, 73):
        if der[-length - 2:-length] == bytes([4, length]) and der[-length] == 0x30:
            return der[-length:]
    raise ValueError("no signature")


def check_openssl_for_us():
    """openssl writes our SignedData exactly; its envelopes lack the ukm."""
    body = b"signed by the openssl program"
    good, files = openssl("cms", "-sign", "-binary", "-nodetach", "-nocerts", "-keyid", "-nosmimecap", "-md", "sha256",
                          "-signer", "signer.pem", "-inkey", "signer.key", "-econtent_type",
                          f"2.25.{shape.ARC}.0", "-in", "body", "-outform", "DER", "-out", "x", body=body,
                          **{"signer.pem": world.pem_certificate(SIGNER_CERTIFICATE),
                             "signer.key": shape.pem(make.SIGNER)})
    check("openssl signs", good)
    reader = world.pem_certificate(world.certificate("ke", "ke.ma", "sealing"))
    sealed_well, sealed = openssl("cms", "-encrypt", "-binary", "-aes-256-gcm", "-recip", "cert.pem", "-keyid",
                                  "-keyopt", "ecdh_kdf_md:sha256", "-in", "x", "-outform", "DER", "-out", "e",
                                  x=files["x"], **{"cert.pem": reader})
    check("openssl encrypts", sealed_well)
    variants = {"as we write": [], "with S/MIME capabilities": ["-smimecap"], "with its certificate": ["-certs"],
                "named by issuer and serial": ["-issuer"], "without attributes": ["-noattr"]}
    rows = [{"format": "signed", "signer": shape.point(make.SIGNER).hex(), "der": files["x"].hex()}]
    for options in variants.values():
        arguments = ["-nocerts", "-keyid", "-nosmimecap"]
        for option in options:
            drop = {"-smimecap": "-nosmimecap", "-certs": "-nocerts", "-issuer": "-keyid"}.get(option)
            arguments = [a for a in arguments if a != drop] + ([option] if drop is None else [])
        made = openssl("cms", "-sign", "-binary", "-nodetach", *arguments, "-md", "sha256", "-signer", "signer.pem",
                       "-inkey", "signer.key", "-econtent_type", f"2.25.{shape.ARC}.0", "-in", "body", "-outform",
                       "DER", "-out", "x", body=body,
                       **{"signer.pem": world.pem_certificate(SIGNER_CERTIFICATE),
                          "signer.key": shape.pem(make.SIGNER)})[1]
        rows.append({"format": "signed", "signer": shape.point(make.SIGNER).hex(), "der": made["x"].hex()})
    verdicts = vectool(rows)
    check("openssl's SignedData", verdicts[0].get("content_sha256") == hashlib.sha256(body).hexdigest(), verdicts[0])
    for name, verdict in zip(variants, verdicts[1:]):
        expect = "ok" if name == "as we write" else "cannot-be-opened"
        check(f"openssl's SignedData {name}", verdict["result"] == expect, verdict)
    verdict = vectool([{"format": "sealed", "key": shape.pem(make.READER), "envelope_id": world.ENVELOPE_ID.hex(),
                        "der": sealed["e"].hex()}])[0]
    check("openssl's envelope has no ukm", verdict["result"] == "cannot-be-opened")


def check_foreign_envelopes():
    """New ones each time, from the other hand, with real chance."""
    shape.chance = os.urandom
    rows, plains = [], []
    for n in 0, 1, 100, 1000, 30000:
        plain = os.urandom(n)
        envelope_id = os.urandom(16)
        der = shape.auth_enveloped(make.READER.public_key(), plain, envelope_id)
        rows.append({"format": "sealed", "key": shape.pem(make.READER), "envelope_id": envelope_id.hex(),
                     "der": der.hex()})
        plains.append(plain.hex())
    for plain, verdict in zip(plains, vectool(rows)):
        check(f"a foreign envelope of {len(plain) // 2} bytes", verdict.get("plain") == plain)


def check_keys():
    """Files of keys, both ways."""
    with tempfile.TemporaryDirectory() as where:
        path = f"{where}/ours.key"
        ours = vectool([{"format": "key", "key": shape.pem(make.SIGNER), "passphrase": "correct horse", "path": path}])[0]
        check("our key file reads again", ours.get("point") == shape.point(make.SIGNER).hex())
        done = subprocess.run(["openssl", "pkey", "-in", path, "-passin", "stdin", "-text", "-noout"],
                              input=b"correct horse\n", capture_output=True, check=False)
        text = done.stdout.replace(b"\n", b"").replace(b" ", b"").replace(b":", b"")
        check("openssl reads our key file", done.returncode == 0 and shape.point(make.SIGNER).hex().encode() in text)
        done = subprocess.run(["openssl", "pkey", "-in", path, "-passin", "stdin", "-noout"],
                              input=b"wrong horse\n", capture_output=True, check=False)
        check("openssl does not read it with another passphrase", done.returncode != 0)
        for cipher in ["-v2", "aes256"], ["-scrypt"]:
            theirs = f"{where}/theirs{len(cipher)}.key"
            with open(theirs, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
                f.write(subprocess.run(["openssl", "pkcs8", "-topk8", *cipher, "-passout", "pass:correct horse"],
                                       input=shape.pem(make.SIGNER).encode(), capture_output=True, check=True).stdout)
            verdict = vectool([{"format": "key", "passphrase": "correct horse", "path": theirs}])[0]
            check(f"we read openssl's key file ({' '.join(cipher)})",
                  verdict.get("point") == shape.point(make.SIGNER).hex(), verdict)


def main():
    check_published()
    check_openssl_reads_vectors()
    check_ours_for_others()
    check_openssl_for_us()
    check_foreign_envelopes()
    check_keys()
    print(f"{count['passed']} passed, {count['failed']} failed, 0 skipped")
    return count["failed"] != 0 or count["passed"] == 0


if __name__ == "__main__":
    sys.exit(main())
