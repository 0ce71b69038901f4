#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real nodes, real faults. Each test: what must happen happens, the officer is
told why, nothing is stored that should not be.

  test_lab.py [--build BUILD] [NAME...]     NAME: part of a test's name
Last line: N passed, N failed, N skipped.
"""
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostile  # noqa: E402
from labkit import PAIR, STORY, Lab, LabError, alive, wait_until  # noqa: E402

shape = hostile.shape
CANARIES = ("CanaryTextZebra", "CANARY 2026/7777", "Canarius speciosus", "canary-file-name", "CanaryAttachmentGnu")
QUERY = ("--permit-number", "KE 2026/0417", "--permit-type", "export", "--species", "Panthera pardus",
         "--reason", "suspected-forgery", "--text")


class Skipped(Exception):
    pass


def check(condition, words):
    if not condition:
        raise AssertionError(words)


def ask(lab, text, *more, author="gb.ma", to="ke.ma", fails=False):
    done = lab.citex(author, "ask", to, *QUERY, text, *more, "--json", check=not fails)
    return done if fails else json.loads(done.stdout)["id"]


def inbox(lab, authority, text=None):
    rows = lab.json(authority, "inbox")["messages"]
    return rows if text is None else [r for r in rows if text in json.dumps(r)]


def has(lab, authority, message, box="inbox"):
    return any(r["id"] == message for r in lab.json(authority, box)["messages"])


def state(lab, author, message, to="ke.ma"):
    for a in lab.json(author, "track", message)["addressees"]:
        if a["authority"] == to:
            return a["state"]
    return None


def arrives(lab, message, to="ke.ma", author="gb.ma", seconds=30):
    wait_until(f"{message} is opened at {to}", seconds,
               lambda: state(lab, author, message, to) in ("opened", "seen", "answered"))
    check([r["id"] for r in inbox(lab, to)].count(message) == 1, "it is in the inbox exactly once")


def blob(lab, name, size):
    path = lab.path(name)
    with open(path, "wb") as f:
        f.write(os.urandom(size))
    return path


# --- the way of a message ---


def test_a_query_and_its_answer(lab):
    query = ask(lab, "simple")
    arrives(lab, query)
    check(inbox(lab, "ke.ma", query)[0]["new"], "it is new before anybody has shown it")
    check(inbox(lab, "ke.ma", query)[0]["new"], "inbox changes nothing")
    lab.citex("ke.ma", "show", query)
    check(not inbox(lab, "ke.ma", query)[0]["new"], "show ends new")
    check(inbox(lab, "ke.ma", query)[0]["due"], "it has a due date")
    proofs = [lab.json(a, "exchange", query)["addressees"][0]["proofs"] for a in ("gb.ma", "ke.ma")]
    stored = [[p for p in of if p["state"] == "stored"] for of in proofs]
    check(len(stored[0]) == 1 and stored[0] == stored[1], f"both hold what starts the clock: {stored}")
    lab.citex("ke.ma", "answer", query, "--outcome", "not-issued", "--text", "None.")
    lab.citex("gb.ma", "wait", query, "--for", "answered", "--timeout", "30s")
    check(lab.json("gb.ma", "exchange", query)["state"] == "answered", "the exchange is answered")
    done = lab.citex("ke.ma", "answer", query, "--outcome", "matches", "--text", "After all.")
    check("Note: you have answered this before" in done.stderr, f"a second answer is not silent: {done.stderr}")
    again = str(__import__("uuid").UUID(bytes=hostile.uuid7()))
    for _ in range(2):
        done = lab.citex("gb.ma", "close", query, "--outcome", "refused-import", "--id", again)
        check("Note" not in done.stderr, f"the same command again is no second closing: {done.stderr}")
    done = lab.citex("gb.ma", "close", query, "--outcome", "authorised", check=False)
    check("Note: this was closed before" in done.stderr, f"a second closing is not silent: {done.stderr}")
    check(lab.json("gb.ma", "exchange", query)["state"] == "closed", "the exchange is closed")
    told = lab.citex("gb.ma", "exchange", query).stdout
    check("authorised (Import or re-export authorised)" in told, f"the outcome is in words: {told}")
    done = lab.run("sh", "-c", f"{lab.program('citex')} -a gb.ma exchange {query} >/dev/full", check=False)
    check(done.returncode != 0 and "what was asked for was done" in done.stderr, f"no room for the output: {done}")


def test_the_same_id_never_sends_twice(lab):
    chosen = str(__import__("uuid").UUID(bytes=hostile.uuid7()))
    first = ask(lab, "once", "--id", chosen)
    again = ask(lab, "once", "--id", chosen)
    check(first == again == chosen, "the same message is answered with the same id")
    other = ask(lab, "something else", "--id", chosen, fails=True)
    check(other.returncode != 0 and "id" in other.stderr, f"another content is refused: {other.stderr}")
    arrives(lab, chosen)


def test_who_may_send_what_to_whom(lab):
    done = lab.citex("ke.kws", "alert", "--all", "--text", "no", check=False)
    check(done.returncode == 5, f"an alert is the Secretariat's: {done.returncode} {done.stderr}")
    done = lab.citex("gb.ma", "ask", "xx.ma", *QUERY, "no", check=False)
    check(done.returncode == 4 and "xx.ma" in done.stderr, f"an unknown authority is named: {done.stderr}")


def test_a_message_that_does_not_fit_is_refused_at_once(lab):
    path = lab.path("long.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"reason": "routine", "permit": {"number": "1"}, "text": "x" * 32_700, "basis": "y" * 32_700}, f)
    done = lab.citex("gb.ma", "ask", "ke.ma", "--from", path, check=False)
    check(done.returncode == 3 and "shorten" in done.stderr, f"told what to do: {done.returncode} {done.stderr}")


def test_withdrawn_means_never_sent(lab):
    lab.stop("gb", "post")  # the post hangs: nothing leaves the office
    query = ask(lab, "withdrawn")
    done = lab.citex("gb.ma", "withdraw", query, check=False)
    lab_start = lab.pid_of("gb", "post")
    os.kill(lab_start, signal.SIGCONT)
    time.sleep(2)
    arrived = has(lab, "ke.ma", query)
    check(arrived == (done.returncode != 0), f"withdrawn ({done.returncode}) and yet arrived: {arrived}")


def test_what_waits_for_a_peer_is_withdrawn(lab):
    there = ask(lab, "there already")
    arrives(lab, there)
    done = lab.citex("gb.ma", "withdraw", there, check=False)
    check(done.returncode != 0 and "it has left for ke.ma" in done.stderr, f"it has left: {done.stderr}")
    lab.cut("ke", reset=True)
    time.sleep(1)
    query = ask(lab, "never mind", "--attach", blob(lab, "never.bin", 300_000))
    wait_until("the officer is told why", 30, lambda: lab.json("gb.ma", "track", query)["addressees"][0]["reason"])
    check(state(lab, "gb.ma", query) == "queued", "it is queued")
    lab.stop("gb")
    lab.start("gb")
    wait_until("its post says after the restart that it waits", 30,
               lambda: lab.json("gb.ma", "track", query)["addressees"][0]["reason"])
    alert = lab.json("secretariat", "alert", "--all", "--text", "all but one have it")["id"]
    arrives(lab, alert, "gb.ma", "secretariat")
    done = lab.citex("secretariat", "withdraw", alert, check=False)
    check(done.returncode != 0 and "gb.ma" in done.stderr and "ke.ma" not in done.stderr,
          f"who has it is named: {done.stderr}")
    lab.citex("gb.ma", "withdraw", query)
    check(state(lab, "gb.ma", query) == "withdrawn", "track says so")
    check(not lab.json("gb.ma", "track", query)["addressees"][0].get("next_try"), "and of no next try")
    check([r["state"] for r in lab.json("gb.ma", "sent")["messages"] if r["id"] == query] == ["withdrawn"], "sent, too")
    check("withdrawn" in json.dumps(lab.json("gb.ma", "exchange", query)), "and exchange")
    check(query not in json.dumps(lab.json("gb.ma", "due")), "nothing of it is due")
    lab.kill("gb", "office gb.ma")
    lab.kill("gb", "post")
    lab.wait_ready("gb")
    lab.heal("ke")
    after = ask(lab, "after it")
    arrives(lab, after)
    arrives(lab, alert, "ke.ma", "secretariat")
    time.sleep(2)
    check(not has(lab, "ke.ma", query), "it never arrives")
    check(state(lab, "gb.ma", query) == "withdrawn", "and stays withdrawn")


def test_handling_stops_a_forward(lab):
    path = lab.path("case.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"title": "t", "text": "secret matter"}, f)
    case = lab.json("ke.kws", "share", "gb.border-force", "--handling", "amber", "--from", path)["id"]
    arrives(lab, case, "gb.border-force", "ke.kws")
    done = lab.citex("gb.border-force", "forward", case, "so.ma", check=False)
    check(done.returncode == 5 and "AMBER" in done.stderr, f"refused with the reason: {done.stderr}")


def test_a_case_is_released_before_it_goes_to_the_secretariat(lab):
    case = lab.json("ke.kws", "share", "gb.border-force", "--handling", "green", "--title", "t", "--text", "green")["id"]
    arrives(lab, case, "gb.border-force", "ke.kws")
    done = lab.citex("gb.border-force", "forward", case, "secretariat", check=False)
    check(done.returncode == 3 and "release" in done.stderr, f"refused without a release: {done.stderr}")
    told = lab.json("gb.border-force", "forward", case, "secretariat", "--release", "J. Smith, Border Force")["id"]
    arrives(lab, told, "secretariat", "gb.border-force")
    body = lab.json("secretariat", "show", told)
    check(body["body"]["release"] == "J. Smith, Border Force" and body["body"]["text"] == "green", f"it says who: {body}")
    query = ask(lab, "needs no release")
    done = lab.citex("gb.ma", "forward", query, "ke.kws", "--release", "me", check=False)
    check(done.returncode == 3 and "needs no release" in done.stderr, f"a query takes none: {done.stderr}")


def test_attachments_arrive_as_they_were(lab):
    sizes = (0, 1, 65519, 65520, 65521, 300_000)
    names = [blob(lab, f"piece-{n}.bin", n) for n in sizes]
    query = ask(lab, "with pieces", *[w for n in names for w in ("--attach", n)])
    arrives(lab, query)
    lab.citex("ke.ma", "save", query, "--to", lab.path("saved"))
    for name in names:
        with open(name, "rb") as a, open(lab.path("saved", os.path.basename(name)), "rb") as b:
            check(a.read() == b.read(), f"{name} is the same")


def readme_says(lab):
    """What the commands in the README of a bundle print, as an outsider runs them."""
    with open(lab.path("bundle", "README"), encoding="utf-8") as f:
        commands = [line for line in f if line.startswith("  ")]
    check(len(commands) == 3, f"three commands: {commands}")
    done = subprocess.run(["bash", "-c", "".join(commands)], cwd=lab.path("bundle"), capture_output=True, text=True,
                          timeout=60)
    return done.stdout


def forge(lab, name):
    """The message again, signed by another authority whose certificate is in the bundle too."""
    text = subprocess.run(["openssl", "cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", name,
                           "-certfile", lab.path("bundle", "certificates", "signers.pem")],
                          capture_output=True, timeout=20, check=True).stdout
    ke = hostile.Author(lab, "ke.ma")
    with open(name, "wb") as f:
        f.write(shape.signed_data(ke.key, text))


def test_a_bundle_verifies_offline_and_by_openssl(lab):
    query = ask(lab, "for the court")
    arrives(lab, query)
    lab.citex("ke.ma", "note", query, "--text", "so that the bundle has a message of ours")
    wait_until("the note is there", 20, lambda: len(lab.json("gb.ma", "exchange", query)["messages"]) == 2)
    lab.citex("gb.ma", "export", query, "-o", lab.path("bundle"))
    lab.citex("gb.ma", "verify", lab.path("bundle"))
    name = lab.path("bundle", "messages", f"{query}.cms")
    whole = readme_says(lab)
    check(whole.count("author gb.ma, signed by: subject=O = gb, CN = gb.ma\nissuer=O = gb, CN = gb\n") == 1, whole)
    check("NOT PROVED" not in whole and "Fingerprint=" in whole, whole)
    with open(name, "rb") as f:
        original = f.read()
    forge(lab, name)
    forged = readme_says(lab)
    check("author gb.ma, signed by: subject=O = ke, CN = ke.ma" in forged, f"whose signature it is, is told: {forged}")
    check(lab.citex("gb.ma", "verify", lab.path("bundle"), check=False).returncode == 8, "a forged message is found")
    with open(name, "wb") as f:
        f.write(original)
    with open(name, "r+b") as f:
        f.seek(-60, os.SEEK_END)
        byte = f.read(1)
        f.seek(-60, os.SEEK_END)
        f.write(bytes([byte[0] ^ 1]))
    check(lab.citex("gb.ma", "verify", lab.path("bundle"), check=False).returncode == 8, "a changed message is found")


# --- faults ---


def test_kill_each_process_in_mid_story(lab):
    sent = []
    for node, role in (("gb", "office gb.ma"), ("gb", "post"), ("ke", "post"), ("ke", "office ke.ma"),
                       ("gb", "supervisor"), ("ke", "supervisor")):
        for i in range(3):
            sent.append(ask(lab, f"{node} {role} {i}"))
        lab.kill(node, role)
        if role == "supervisor":
            wait_until("its children are gone", 10, lambda n=node: not lab.children(n))
            time.sleep(0.3)
            lab.start(node)
        else:
            lab.wait_ready(node)
    for message in sent:
        arrives(lab, message)


def test_a_peer_away_and_back(lab):
    lab.stop("ke")
    query = ask(lab, "while away")
    wait_until("the officer is told why", 20, lambda: lab.json("gb.ma", "track", query)["addressees"][0]["reason"])
    check(state(lab, "gb.ma", query) == "queued", "it stays queued")
    lab.start("ke")
    arrives(lab, query)


def test_a_link_cut_in_mid_chunk_resumes(lab):
    before = lab.order(do="bytes")["bytes"].get("gb>ke", 0)
    size = 12_000_000
    lab.shape("ke", rate=4_000_000)
    query = ask(lab, "large", "--attach", blob(lab, "large.bin", size))
    for _ in range(3):
        time.sleep(1)
        lab.cut("ke", reset=True)
        time.sleep(0.3)
        lab.heal("ke")
    lab.shape("ke")
    arrives(lab, query, seconds=60)
    carried = lab.order(do="bytes")["bytes"].get("gb>ke", 0) - before
    check(carried < size * 1.35, f"what was stored is not sent again: {carried} bytes for {size}")
    lab.citex("ke.ma", "save", query, "--to", lab.path("saved-large"))


def test_a_link_that_swallows(lab):
    lab.cut("ke")
    query = ask(lab, "swallowed")
    time.sleep(1)
    check(state(lab, "gb.ma", query) == "queued", "nothing is claimed")
    lab.heal("ke")
    arrives(lab, query, seconds=60)


def test_the_relay_keeps_the_mail_of_one_who_is_away(lab):
    alert = lab.json("secretariat", "alert", "--all", "--text", "to everybody")["id"]
    query = ask(lab, "to so", to="so.ma")
    wait_until("the relay has it", 30, lambda: state(lab, "gb.ma", query, "so.ma") == "relayed")
    check("not delivered yet" in lab.citex("gb.ma", "due").stdout, "nothing is due before it is there, and that is said")
    node = [lab.run(lab.program("citex"), "-n", "secretariat", "node", "queue", who, check=False).returncode
            for who in ("so", "ke", "zz")]
    check(node == [0, 0, 4], f"the queue for a node, an empty one, and one that nobody knows: {node}")
    way = [c for c in lab.json("gb.ma", "doctor")["checks"] if c["what"] == "way to so"]
    check(way and "as far as secretariat" in way[0]["reason"], f"doctor does not say that so is there: {way}")
    lab.start("so")
    arrives(lab, query, "so.ma")
    arrives(lab, alert, "so.ma", "secretariat")
    answer = lab.json("so.ma", "answer", query, "--outcome", "not-issued", "--text", "No.")["id"]
    wait_until("the answer comes home", 30, lambda: has(lab, "gb.ma", answer))
    lab.stop("so")


def test_a_second_daemon_on_the_same_store_is_refused(lab):
    done = subprocess.run([lab.program("citexd"), "-c", lab.path("ke", "citexd.conf")], env=lab.env(),
                          capture_output=True, text=True, timeout=20, check=False)
    check(done.returncode != 0 and done.stderr, f"refused with words: {done.stderr}")
    arrives(lab, ask(lab, "still there"))


def garbage():
    yield b"\0\0\0\0"
    yield b"\xff\xff\xff\xff" + b"x" * 100
    yield os.urandom(5000)
    yield b"GET / HTTP/1.1\r\n\r\n"
    yield b"\0\0\1\0" + b"\x0a" * 256
    yield b"\0\1\0\0half a frame"


def test_garbage_on_each_socket(lab):
    pids = dict(lab.children("ke"))
    for name in sorted(os.listdir(lab.path("run"))):
        for data in garbage():
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                try:
                    s.connect(lab.path("run", name))
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    s.recv(100)
                except OSError:
                    pass
    for data in garbage():
        with socket.create_connection(("127.0.0.1", lab.data["nodes"]["ke"]["port"]), timeout=5) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                s.recv(100)
            except OSError:
                pass
    check(lab.children("ke") == pids, "no process died of it")
    arrives(lab, ask(lab, "after the garbage"))


def test_a_user_id_that_is_nobodys(lab):
    if os.getuid() != 0:
        raise Skipped("needs root to become somebody else")
    os.chmod(lab.path("run"), 0o755)
    os.chmod(lab.dir, 0o755)
    sock = lab.path("run", "office-ke.ma.sock")
    mode = os.stat(sock).st_mode & 0o777
    os.chmod(sock, 0o666)
    done = subprocess.run([lab.program("citex"), "-a", "ke.ma", "inbox"], env=lab.env(), user=65534, group=65534,
                          extra_groups=[], capture_output=True, text=True, timeout=20, check=False)
    os.chmod(sock, mode)
    check(done.returncode == 5, f"refused: {done.returncode} {done.stderr}")


# --- peers that are not what they say ---


def refused_handshake(lab, **how):
    """Nothing of ours was read: the other side ends the session without a frame."""
    try:
        peer = hostile.Peer(lab, "gb", "ke", **how)
    except (ssl.SSLError, ConnectionError) as e:
        return str(e)
    try:
        peer.hello("gb")
        frames = peer.frames(3)
    except (ssl.SSLError, ConnectionError):
        frames = []
    check(not frames, f"no frame is spoken: {frames}")
    return "closed"


def test_tls_1_2_is_refused(lab):
    check(refused_handshake(lab, version=ssl.TLSVersion.TLSv1_2) != "closed", "in the handshake")


def test_no_alpn_is_refused(lab):
    refused_handshake(lab, alpn=())
    refused_handshake(lab, alpn=("h2",))


def test_a_certificate_of_another_use_is_refused(lab):
    refused_handshake(lab, use="receipts")


def test_a_peer_outside_the_directory_is_refused(lab):
    home = lab.path("strangers")
    secret = ("--passphrase-file", lab.passphrase)
    lab.pki("party", "init", home, "--party", "gb", "--name", "Not the United Kingdom", *secret)
    lab.pki("node", home, "gb", "--address", "127.0.0.1:1", "--serves", "gb.ma", *secret)
    refused_handshake(lab, keys=os.path.join(home, "nodes", "gb"))


def session(lab, node="gb", target="ke"):
    peer = hostile.Peer(lab, node, target)
    peer.hello(node)
    return peer


def outcome(peer, envelope, seconds=3.0):
    """What came back for one offer: kinds of frames and slips."""
    number = peer.offer(envelope)
    for kind, body in peer.frames(seconds):
        if kind == hostile.TAKEN:
            return "taken"
        if kind == hostile.LATER and hostile.parse(body)[1][0] == number:
            return "later:" + hostile.parse(body)[2][0].decode()
        if kind == hostile.BYE:
            return "bye:" + hostile.parse(body).get(1, [b""])[0].decode()
    return "closed"


def quarantined(lab, authority="ke.ma"):
    return len(lab.json(authority, "quarantine", "list")["messages"])


def test_a_hello_under_another_name_is_refused(lab):
    peer = hostile.Peer(lab, "gb", "ke")
    peer.hello("secretariat")
    kinds = [k for k, _ in peer.frames(3)]
    check(hostile.BYE in kinds or not kinds, f"closed: {kinds}")


def test_a_wrong_stamp_is_not_stored(lab):
    gb, ke = hostile.Author(lab, "gb.ma"), hostile.Author(lab, "ke.ma")
    before = len(inbox(lab, "ke.ma"))
    envelope = gb.envelope("ke.ma", shape.signed_data(gb.key, gb.content("ke.ma")), stamp_key=ke.key)
    held = quarantined(lab)
    outcome(session(lab), envelope)  # whatever it says: what is false may be taken and thrown away
    time.sleep(1)
    check(len(inbox(lab, "ke.ma")) == before, "not in the inbox")
    check(quarantined(lab) == held, "it did not even reach the office")
    check(hex_id(envelope) not in lab.run(lab.program("citex"), "-n", "ke", "node", "queue").stdout, "not in the spool")


def test_an_author_of_another_node_is_not_let_in(lab):
    so = hostile.Author(lab, "so.ma")
    before, held = len(inbox(lab, "ke.ma")), quarantined(lab)
    outcome(session(lab), so.envelope("ke.ma", shape.signed_data(so.key, so.content("ke.ma"))))
    time.sleep(1)
    check(len(inbox(lab, "ke.ma")) == before and quarantined(lab) == held, "gb does not speak for so.ma")


def hex_id(envelope):
    """The beginning of an envelope's id, as `node queue' prints it."""
    return hostile.parse(hostile.parse(envelope)[1][0])[2][0].hex()[:8]


def delivered_but_refused(lab, envelope, text="cannot-be-opened"):
    """Taken by the post, refused by the office, quarantined, and not in the inbox."""
    before, held = len(inbox(lab, "ke.ma")), quarantined(lab)
    got = outcome(session(lab), envelope)
    check(got == "taken", f"its stamp is good: {got}")
    wait_until("it is quarantined", 20, lambda: quarantined(lab) == held + 1)
    check(len(inbox(lab, "ke.ma")) == before, "not in the inbox")
    reasons = {r["reason"] for r in lab.json("ke.ma", "quarantine", "list")["messages"]}
    check(any(text in r for r in reasons), f"{text} among {reasons}")


def test_sealed_to_somebody_else(lab):
    gb = hostile.Author(lab, "gb.ma")
    signed = shape.signed_data(gb.key, gb.content("ke.ma"))
    delivered_but_refused(lab, gb.envelope("ke.ma", signed, recipient=hostile.Author(lab, "so.ma")))


def test_other_cms_shapes(lab):
    gb, ke = hostile.Author(lab, "gb.ma"), hostile.Author(lab, "ke.ma")
    public = ke.public("sealing")
    content = gb.content("ke.ma")
    attrs = shape.attributes(content, b"261123120000Z")
    for name, signed in {
        "no signed attributes": shape.signed_data(gb.key, content, attrs=b""),
        "attributes moved into the content": shape.signed_data(
            gb.key, shape.tlv(0x31, attrs), attrs=b""),
        "id-data": shape.signed_data(gb.key, content, content_type=shape.DATA),
        "two signers": shape.signed_data(gb.key, content, signers=2),
        "another's key": shape.signed_data(ke.key, content),
        "trailing bytes": shape.signed_data(gb.key, content) + b"\0",
    }.items():
        print(f"    {name}")
        delivered_but_refused(lab, gb.envelope("ke.ma", signed))
    signed = shape.signed_data(gb.key, content)
    for name, how in {"OFB": {"cipher": shape.AES256_OFB}, "CBC": {"cipher": shape.AES256_CBC}}.items():
        print(f"    re-labelled {name}")
        ukm = hostile.uuid7()
        delivered_but_refused(lab, gb.envelope("ke.ma", signed, envelope_id=ukm,
                                               sealed=shape.relabelled(public, signed, ukm, **how)))
    for name, how in {"short tag": {"icv": 12, "tag_len": 12}, "two recipients": {"recipients": 2}}.items():
        print(f"    {name}")
        ukm = hostile.uuid7()
        delivered_but_refused(lab, gb.envelope("ke.ma", signed, envelope_id=ukm,
                                               sealed=shape.auth_enveloped(public, signed, ukm, **how)))


def test_a_message_readdressed(lab):
    """gb.ma passes on, as if meant for ke.ma, what was signed for somebody else."""
    gb = hostile.Author(lab, "gb.ma")
    signed = shape.signed_data(gb.key, gb.content("so.ma"))
    before = len(inbox(lab, "ke.ma"))
    check(outcome(session(lab), gb.envelope("ke.ma", signed)) == "taken", "its stamp is good")
    time.sleep(2)
    check(len(inbox(lab, "ke.ma")) == before, "not in the inbox")


def test_a_replay_is_new_once(lab):
    gb = hostile.Author(lab, "gb.ma")
    message_id = hostile.uuid7()
    signed = shape.signed_data(gb.key, gb.content("ke.ma", message_id=message_id, body=hostile.pb((1, "replayed"))))
    envelope = gb.envelope("ke.ma", signed)
    before = len(inbox(lab, "ke.ma"))
    for _ in range(3):
        check(outcome(session(lab), envelope) == "taken", "a duplicate is taken, too")
    check(outcome(session(lab), gb.envelope("ke.ma", signed)) == "taken", "another envelope, the same message")
    time.sleep(2)
    check(len(inbox(lab, "ke.ma")) <= before + 1, "new at most once")


def test_a_modified_sender_gains_nothing(lab):
    """An alert from an authority that may not send one."""
    gb = hostile.Author(lab, "gb.ma")
    before = len(inbox(lab, "ke.ma"))
    signed = shape.signed_data(gb.key, gb.content("ke.ma", kind="alert"))
    check(outcome(session(lab), gb.envelope("ke.ma", signed)) == "taken", "its stamp is good")
    time.sleep(2)
    check(len(inbox(lab, "ke.ma")) == before, "not in the inbox")


# --- the directory ---


def test_a_lower_directory_is_refused(lab):
    old = lab.path("directory-1.citex")
    lab.data["directory"] = 1
    new = lab.publish({})
    lab.save()
    lab.pki("directory", "install", new, "--into", lab.path("ke", "state"), "--pin", lab.data["pin"])
    os.kill(lab.pid("ke"), signal.SIGHUP)
    wait_until("ke has directory 2", 20, lambda: lab.json("ke.ma", "directory")["number"] == 2)
    wait_until("it spreads to gb", 60, lambda: lab.json("gb.ma", "directory")["number"] == 2)
    done = lab.pki("directory", "install", old, "--into", lab.path("ke", "state"), "--pin", lab.data["pin"], check=False)
    check(done.returncode != 0, "citex-pki does not go back")


def test_two_directories_with_one_number(lab):
    fork = lab.path("fork")
    shutil.copytree(lab.path("publisher"), fork)
    number = lab.json("ke.ma", "directory")["number"]
    secret = ("--passphrase-file", lab.passphrase)
    for publisher, node in ((lab.path("publisher"), "ke"), (fork, "gb")):
        out = lab.path(f"split-{node}.citex")
        time.sleep(1.1)  # another date, another head
        lab.pki("directory", "publish", publisher, "-o", out, *secret)
        lab.pki("directory", "install", out, "--into", lab.path(node, "state"), "--pin", lab.data["pin"])
    lab.cut("ke", reset=True)
    for node in ("ke", "gb"):
        os.kill(lab.pid(node), signal.SIGHUP)
    time.sleep(2)
    lab.heal("ke")
    query = ask(lab, "mail goes on")
    arrives(lab, query, seconds=60)
    wait_until("the officers are alarmed", 30, lambda: all(
        "split-view" in lab.json(a, "status")["alarms"] for a in ("ke.ma", "gb.ma")))
    check(number >= 1, "there was one before")


def test_a_revoked_node_is_refused(lab):
    secret = ("--passphrase-file", lab.passphrase)
    home = lab.path("parties", "gb")
    lab.pki("revoke", home, "--node", "gb", "--use", "tls", "--reason", "stolen", *secret)
    refused_after = lab.publish({"gb": PAIR["gb"]})
    lab.pki("directory", "install", refused_after, "--into", lab.path("ke", "state"), "--pin", lab.data["pin"])
    os.kill(lab.pid("ke"), signal.SIGHUP)
    time.sleep(2)
    refused_handshake(lab, which=0)


def spread(lab, out, *nodes):
    """NODES take OUT; what else there is learns of it from them."""
    for node in nodes:
        lab.pki("directory", "install", out, "--into", lab.path(node, "state"), "--pin", lab.data["pin"])
        os.kill(lab.pid(node), signal.SIGHUP)


def test_an_expired_certificate_is_refused(lab):
    seconds = 25
    hostile.shorten(lab, "gb", "tls", seconds)
    begin = time.monotonic()
    spread(lab, lab.publish({"gb": PAIR["gb"]}), "ke", "gb")
    lab.save()
    lab.stop("gb")
    lab.start("gb")
    arrives(lab, ask(lab, "while it holds"))
    time.sleep(max(0.0, seconds + 2 - (time.monotonic() - begin)))
    refused_handshake(lab)
    lab.cut("gb", reset=True)
    lab.cut("ke", reset=True)
    lab.heal("gb")
    lab.heal("ke")
    late = ask(lab, "after its end")
    words = lab.citex("gb.ma", "doctor", check=False).stdout
    for said in ("the other side says that our certificate has ended", "no other node lets this one in"):
        check(said in words, f"the doctor names it: {words}")
    wait_until("the other node's doctor names it, too", 20,
               lambda: "its certificate has ended" in lab.citex("ke.ma", "doctor", check=False).stdout)
    check(not has(lab, "ke.ma", late) and state(lab, "gb.ma", late) == "queued", "nothing was let in, nothing is lost")
    lab.pki("renew", lab.path("parties", "gb"), "--node", "gb", "--use", "tls", "--passphrase-file", lab.passphrase)
    spread(lab, lab.publish({"gb": PAIR["gb"]}), "ke", "gb")
    lab.save()
    arrives(lab, late, seconds=60)


def stolen(lab, party, node, row):
    """Another CA for PARTY, with keys under the same names, in a publisher's hands that lies."""
    home = lab.path("stolen")
    secret = ("--passphrase-file", lab.passphrase)
    _, name, authorities, _ = row
    lab.pki("party", "init", home, "--party", party, "--name", name, *secret)
    serves = []
    for authority, title, role in authorities:
        lab.pki("authority", home, authority, "--name", title, "--role", role, "--node", node, "--language", "en",
                *secret)
        serves += ["--serves", authority]
    lab.pki("node", home, node, "--address", f"127.0.0.1:{lab.data['nodes'][node]['front']}", *serves, *secret)
    lab.pki("directory", "remove", lab.path("publisher"), "--party", party)
    said = lab.pki("directory", "admit", lab.path("publisher"), "--party", party, "--name", name, "--ca",
                   os.path.join(home, "ca.pem")).stdout
    for who in [("--node", node)] + [(a,) for a, _, _ in authorities]:
        card = os.path.join(home, who[-1] + "-".join(who[:-1]) + ".card")
        lab.pki("card", home, *who, "-o", card, *secret)
        lab.pki("directory", "add", lab.path("publisher"), card)
    return home, re.search(r"fingerprint ((?:[0-9a-f]{4} ?){16})", said)[1].strip()


def test_a_party_whose_ca_changed_is_held(lab):
    arrives(lab, ask(lab, "before"))
    home, fingerprint = stolen(lab, "ke", "ke", PAIR["ke"])
    keys = os.path.join(home, "nodes", "ke")

    def let_in():
        try:
            peer = hostile.Peer(lab, "ke", "gb", keys=keys)
            peer.hello("ke")
            return bool(peer.frames(3))
        except (ssl.SSLError, ConnectionError):
            return False

    def is_held(why):
        check("party-held" in lab.json("gb.ma", "status")["alarms"], f"{why}: the officer is alarmed")
        done = ask(lab, "to whom?", fails=True)
        check(done.returncode == 4 and "ke.ma" in done.stderr, f"{why}: nothing is sealed to it: {done.stderr}")
        check(not let_in(), f"{why}: nor is its node let in")
        check(fingerprint in lab.citex("gb.ma", "doctor", check=False).stdout, f"{why}: the doctor knows whom to ask")

    secret = ("--passphrase-file", lab.passphrase)
    for number in (2, 3):
        out = lab.path(f"directory-{number}.citex")
        lab.pki("directory", "publish", lab.path("publisher"), "-o", out, *secret)
        if number == 2:
            spread(lab, out, "gb")
        else:  # given at the start: the way in that knows nothing of what was before
            lab.stop("gb")
            lab.pki("directory", "install", out, "--into", lab.path("gb", "state"), "--pin", lab.data["pin"])
            lab.start("gb")
        wait_until(f"gb has directory {number}", 20, lambda n=number: lab.json("gb.ma", "directory")["number"] == n)
        is_held(f"directory {number}")
    lab.stop("gb")
    lab.start("gb")
    is_held("after a restart")
    check(f'party-held party=ke ca="{fingerprint}"' in lab.log("gb"), "the log says whose fingerprint to ask for")
    with open(lab.path("gb", "citexd.conf"), "a", encoding="utf-8") as f:
        f.write(f'confirmed-ca = {{"{fingerprint}"}}\n')
    os.kill(lab.pid("gb"), signal.SIGHUP)
    wait_until("the confirmed one is let in", 20, let_in)
    ask(lab, "to the new one")
    check("party-held" not in lab.json("gb.ma", "status")["alarms"], "the alarm is over")


# --- disks ---


def test_a_full_disk_says_later_and_loses_nothing(lab):
    with open(lab.path("ke", "citexd.conf"), "a", encoding="utf-8") as f:
        f.write('store-limit = "8MiB"\n')
    lab.stop("ke")
    lab.start("ke")
    sent = [ask(lab, f"big {i}", "--attach", blob(lab, f"fill-{i}.bin", 2_000_000)) for i in range(10)]
    time.sleep(4)
    states = [state(lab, "gb.ma", m) for m in sent]
    check("queued" in states, f"some wait: {states}")
    lab.stop("ke")
    conf = lab.path("ke", "citexd.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read().replace('store-limit = "8MiB"\n', "")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    lab.start("ke")
    for message in sent:
        arrives(lab, message, seconds=60)


def go_back(lab, node, copy):
    """NODE's disk burns; what is put in its place is older than what it has promised."""
    lab.stop(node)
    os.unlink(lab.path(node, "state", "spool.mdb"))
    shutil.rmtree(lab.path(node, "state", "offices"))
    lab.run(lab.program("citexd"), "restore", "-c", lab.path(node, "citexd.conf"), copy)
    lab.start(node)


def test_an_addressee_restored_from_an_old_backup_gets_all_again(lab):
    before = ask(lab, "in the backup")
    arrives(lab, before)
    copy = lab.path("old-ke")
    lab.run(lab.program("citexd"), "backup", "-c", lab.path("ke", "citexd.conf"), copy)
    scan = blob(lab, "after.bin", 300_000)
    after = [ask(lab, "after it"), ask(lab, "after it, with a scan", "--attach", scan)]
    for message in after:
        arrives(lab, message)
    go_back(lab, "ke", copy)
    for message in after:
        wait_until("it is there again", 60, lambda m=message: has(lab, "ke.ma", m))
    check(sorted(r["id"] for r in inbox(lab, "ke.ma")) == sorted([before, *after]), "each once")
    folder = lab.path("saved")
    lab.citex("ke.ma", "save", after[1], "--to", folder)
    with open(scan, "rb") as a, open(os.path.join(folder, "after.bin"), "rb") as b:
        check(a.read() == b.read(), "with its attachment")
    lab.citex("ke.ma", "answer", after[0], "--outcome", "not-issued", "--text", "None.")
    lab.citex("gb.ma", "wait", after[0], "--for", "answered", "--timeout", "30s")


def test_an_author_restored_from_an_old_backup_sends_on(lab):
    copy = lab.path("old-gb")
    lab.cut("ke", reset=True)
    waiting = ask(lab, "under way when the backup was made")
    # signed once only: what a backup holds unsigned would be signed anew, and be another content under its id
    wait_until("it is sealed, and at the post", 20, lambda: json.loads(lab.run(
        lab.program("citex"), "-n", "gb", "node", "queue", "--json").stdout)["queue"])
    lab.run(lab.program("citexd"), "backup", "-c", lab.path("gb", "citexd.conf"), copy)
    lab.heal("ke")
    arrives(lab, waiting)
    lost = ask(lab, "known to the addressee only")
    arrives(lab, lost)
    go_back(lab, "gb", copy)
    arrives(lab, waiting, seconds=60)
    after = ask(lab, "after the restore")
    arrives(lab, after)
    check([r["id"] for r in inbox(lab, "ke.ma")].count(lost) == 1, "what it no longer knows of was not undone")
    lab.citex("ke.ma", "answer", lost, "--outcome", "not-issued", "--text", "None.")
    wait_until("its answer is kept and explained", 30, lambda: any(
        "that we did not send" in r["subject"] for r in lab.json("gb.ma", "quarantine", "list")["messages"]))


def test_nothing_is_lost_between_the_stores_of_one_backup(lab):
    """The stores are copied one after the other, the spool first: here much happens between two of them."""
    spool, offices = lab.path("first"), lab.path("then")
    lab.run(lab.program("citexd"), "backup", "-c", lab.path("ke", "citexd.conf"), spool)
    came = [ask(lab, "between the stores"), ask(lab, "with a scan", "--attach", blob(lab, "between.bin", 300_000))]
    for message in came:
        arrives(lab, message)
    lab.citex("ke.ma", "answer", came[0], "--outcome", "not-issued", "--text", "None.")
    lab.citex("gb.ma", "wait", came[0], "--for", "answered", "--timeout", "30s")
    lab.cut("gb", reset=True)
    went = lab.json("ke.ma", "note", came[0], "--text", "waits at the post")["id"]
    wait_until("it is sealed, and at the post", 20, lambda: json.loads(lab.run(
        lab.program("citex"), "-n", "ke", "node", "queue", "--json").stdout)["queue"])
    lab.run(lab.program("citexd"), "backup", "-c", lab.path("ke", "citexd.conf"), offices)
    shutil.rmtree(os.path.join(spool, "offices"))
    os.rename(os.path.join(offices, "offices"), os.path.join(spool, "offices"))
    go_back(lab, "ke", spool)
    lab.heal("gb")
    arrives(lab, went, "gb.ma", "ke.ma", seconds=60)
    for message in came:
        wait_until("it is there", 60, lambda m=message: has(lab, "ke.ma", m))
    check([r["id"] for r in inbox(lab, "gb.ma")].count(went) == 1, "once")
    # and after it, all is as ever
    after = ask(lab, "after it")
    arrives(lab, after)


def test_no_plaintext_anywhere(lab):
    path = lab.path(f"{CANARIES[3]}.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(CANARIES[4] * 50_000)
    for to in ("ke.ma", "so.ma"):
        lab.citex("gb.ma", "ask", to, "--permit-number", CANARIES[1], "--permit-type", "export", "--species",
                  CANARIES[2], "--reason", "routine", "--text", CANARIES[0], "--attach", path)
    wait_until("ke has it", 30, lambda: any(r["from"] == "gb.ma" for r in inbox(lab, "ke.ma")))
    lab.citex("ke.ma", "show", inbox(lab, "ke.ma")[0]["id"])
    time.sleep(1)
    os.unlink(path)
    for node in ("ke", "gb", "secretariat"):
        lab.run(lab.program("citexd"), "backup", "-c", lab.path(node, "citexd.conf"), lab.path(f"backup-{node}"))
    looked_at = 0
    for folder, _, names in os.walk(lab.dir):
        for name in names:
            where = os.path.join(folder, name)
            if not os.path.isfile(where):
                continue
            with open(where, "rb") as f:
                data = f.read()
            looked_at += 1
            for canary in CANARIES:
                check(canary.encode() not in data, f"{canary} in {where}")
    check(looked_at > 20, f"only {looked_at} files looked at")


def test_mdb_stat_and_mdb_copy_work_while_it_runs(lab):
    for folder, _, names in os.walk(lab.path("ke", "state")):
        for name in names:
            if name.endswith(".mdb"):
                lab.run("mdb_stat", "-n", "-e", os.path.join(folder, name))
                lab.run("mdb_copy", "-n", os.path.join(folder, name), lab.path(f"copy-{name}-{len(folder)}"))


def test_sigterm_ends_cleanly(lab):
    query = ask(lab, "before the end")
    for node in ("gb", "ke"):
        lab.stop(node)
        check(not alive(lab.pid(node)) and not lab.children(node), f"{node} has ended")
    for node in ("gb", "ke"):
        lab.start(node)
    arrives(lab, query)


# Each row: a lab of its own, and the tests that share it, in order.
GROUPS = [
    ("way", STORY, [test_a_query_and_its_answer, test_the_same_id_never_sends_twice, test_who_may_send_what_to_whom,
                    test_a_message_that_does_not_fit_is_refused_at_once, test_withdrawn_means_never_sent,
                    test_what_waits_for_a_peer_is_withdrawn, test_handling_stops_a_forward,
                    test_a_case_is_released_before_it_goes_to_the_secretariat,
                    test_attachments_arrive_as_they_were, test_a_bundle_verifies_offline_and_by_openssl,
                    test_the_relay_keeps_the_mail_of_one_who_is_away]),
    ("faults", STORY, [test_a_peer_away_and_back, test_a_link_cut_in_mid_chunk_resumes, test_a_link_that_swallows,
                       test_a_second_daemon_on_the_same_store_is_refused, test_garbage_on_each_socket,
                       test_a_user_id_that_is_nobodys, test_kill_each_process_in_mid_story,
                       test_mdb_stat_and_mdb_copy_work_while_it_runs, test_sigterm_ends_cleanly]),
    ("peers", STORY, [test_tls_1_2_is_refused, test_no_alpn_is_refused, test_a_certificate_of_another_use_is_refused,
                      test_a_peer_outside_the_directory_is_refused, test_a_hello_under_another_name_is_refused,
                      test_a_wrong_stamp_is_not_stored, test_an_author_of_another_node_is_not_let_in,
                      test_sealed_to_somebody_else, test_other_cms_shapes, test_a_message_readdressed,
                      test_a_replay_is_new_once, test_a_modified_sender_gains_nothing]),
    ("directory", PAIR, [test_a_lower_directory_is_refused, test_a_revoked_node_is_refused]),
    ("expired", PAIR, [test_an_expired_certificate_is_refused]),
    ("held", PAIR, [test_a_party_whose_ca_changed_is_held]),
    ("split", PAIR, [test_two_directories_with_one_number]),
    ("disk", PAIR, [test_a_full_disk_says_later_and_loses_nothing]),
    ("restored", PAIR, [test_an_addressee_restored_from_an_old_backup_gets_all_again,
                        test_an_author_restored_from_an_old_backup_sends_on,
                        test_nothing_is_lost_between_the_stores_of_one_backup]),
    ("plaintext", STORY, [test_no_plaintext_anywhere]),
]


def run_group(build, name, topology, tests, counts):
    folder = tempfile.mkdtemp(prefix=f"citex-lab-{name}-")
    lab = Lab(os.path.join(folder, "lab"), build)
    failed = counts["failed"]
    try:
        lab.up(topology)
        for test in tests:
            begin = time.monotonic()
            word, words = "passed", ""
            try:
                test(lab)
            except Skipped as e:
                word, words = "skipped", str(e)
            except (AssertionError, LabError, OSError, KeyError, ValueError, subprocess.SubprocessError) as e:
                word, words = "failed", f"{e}\n{traceback.format_exc(limit=-4)}"
            counts[word] += 1
            print(f"{word:8} {test.__name__} ({time.monotonic() - begin:.1f} s) {words}", flush=True)
    except LabError as e:
        counts["failed"] += len(tests)
        print(f"failed   the lab of {name}: {e}", flush=True)
    finally:
        lab.down()
        if counts["failed"] == failed:
            shutil.rmtree(folder)
        else:
            print(f"kept for a look: {lab.dir}")
            for node in lab.data["nodes"]:
                try:
                    print(f"--- {node}\n" + re.sub(r"(?m)^", "    ", lab.log(node)[-2000:]))
                except OSError:
                    continue


def main():
    words = sys.argv[1:]
    build = "build"
    if "--build" in words:
        at = words.index("--build")
        build = words[at + 1]
        del words[at:at + 2]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, topology, tests in GROUPS:
        chosen = [t for t in tests if not words or any(w in t.__name__ or w == name for w in words)]
        if chosen:
            run_group(build, name, topology, chosen, counts)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
