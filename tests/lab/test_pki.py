#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""citex-pki by itself: what it refuses, what an interruption leaves, what a
thief or a liar gains.

  test_pki.py [--build BUILD] [NAME...]     NAME: part of a test's name
Last line: N passed, N failed, 0 skipped.
"""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import traceback


def check(condition, words):
    if not condition:
        raise AssertionError(words)


class Desk:
    """A folder, the program, and what most tests begin with."""

    def __init__(self, build, template):
        self.dir = tempfile.mkdtemp(prefix="citex-pki-")
        self.tool = os.path.abspath(os.path.join(build, "citex-pki"))
        if template:
            shutil.rmtree(self.dir)
            shutil.copytree(template, self.dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run(self, *words, ok=True):
        done = subprocess.run([self.tool, *words], capture_output=True, text=True, timeout=60, check=False)
        if ok:
            check(done.returncode == 0, f"{' '.join(words)}: {done.returncode} {done.stderr}")
        return done

    def refused(self, words, *command):
        done = self.run(*command, ok=False)
        check(done.returncode != 0 and words in done.stderr, f"{' '.join(command)}: {done.returncode} {done.stderr}")
        check(done.stderr.startswith("citex-pki: "), done.stderr)
        return done

    def secret(self, *words, **more):
        return self.run(*words, "--passphrase-file", self.path("pass"), **more)

    def party(self, code, folder=None):
        home = self.path(folder or code)
        self.secret("party", "init", home, "--party", code, "--name", f"The Party {code}")
        self.secret("authority", home, f"{code}.ma", "--role", "management", "--node", code, "--name", f"MA of {code}")
        self.secret("node", home, code, "--address", "127.0.0.1:4711", "--serves", f"{code}.ma")
        return home

    def card(self, home, name, node=False):
        out = os.path.join(home, f"{name}.{'node' if node else 'authority'}.card")
        self.secret("card", home, *(["--node"] if node else []), name, "-o", out)
        return out

    def admit(self, code, home, publisher="publisher"):
        said = self.run("directory", "admit", self.path(publisher), "--party", code, "--name", f"The Party {code}",
                        "--ca", os.path.join(home, "ca.pem")).stdout
        return re.search(r"fingerprint (.*)", said)[1]

    def add(self, *cards, publisher="publisher"):
        return self.run("directory", "add", self.path(publisher), *cards)

    def publish(self, publisher="publisher", name="next.citex"):
        self.published = self.secret("directory", "publish", self.path(publisher), "-o", self.path(name))
        return self.path(name)

    def pin(self, publisher="publisher"):
        with open(self.path(publisher, "fingerprint"), encoding="ascii") as f:
            return f.read().strip()

    def show(self, name):
        return json.loads(self.run("directory", "show", name, "--json").stdout)


def begin(build):
    """A publisher, two Parties with cards; directory 1 is out."""
    d = Desk(build, None)
    with open(d.path("pass"), "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o400)) as f:
        f.write("secret\n")
    d.secret("directory", "init", d.path("publisher"))
    for code in ("ke", "gb"):
        home = d.party(code)
        d.admit(code, home)
        d.add(d.card(home, f"{code}.ma"), d.card(home, code, node=True))
    d.publish(name="1.citex")
    os.mkdir(d.path("state"))
    return d


def install(d, *files, pin=None, ok=True):
    return d.run("directory", "install", *files, "--into", d.path("state"), "--pin", pin or d.pin(), ok=ok)


def installed(d):
    return d.show(d.path("state", "directory.citex"))["number"]


# --- installing ---


def test_install_follows_head_by_head(d):
    install(d, d.path("1.citex"))
    files = {1: d.path("1.citex")}
    for n in (2, 3, 4):
        files[n] = d.publish(name=f"{n}.citex")
    done = install(d, files[4], ok=False)
    check(done.returncode == 8 and "give the files between" in done.stderr, done.stderr)
    check(installed(d) == 1, "nothing was put there")
    install(d, files[2], files[3], files[4])
    check(installed(d) == 4, "with the files between it goes on")
    done = install(d, files[3], ok=False)
    check("nobody goes back" in done.stderr, done.stderr)
    install(d, files[4])


def test_install_takes_no_second_history(d):
    install(d, d.path("1.citex"))
    shutil.copytree(d.path("publisher"), d.path("fork"))
    two = d.publish(name="2.citex")
    install(d, two)
    time.sleep(1.1)  # another date, another head
    forked = [d.publish(publisher="fork", name=f"fork-{n}.citex") for n in (2, 3, 4)]
    for files in (forked[:1], forked[1:2], forked[1:], forked):
        done = install(d, *files, ok=False)
        check(done.returncode == 8, f"{files}: {done.returncode} {done.stderr}")
    check("two histories" in install(d, forked[1], ok=False).stderr, "it says so")
    check(installed(d) == 2, "what was installed stays")


def test_install_compares_the_pin_always(d):
    other = " ".join(["0123"] * 16)
    check(install(d, d.path("1.citex"), pin=other, ok=False).returncode != 0, "the first one")
    install(d, d.path("1.citex"))
    two = d.publish(name="2.citex")
    check(install(d, two, pin=other, ok=False).returncode != 0, "the next one, too")
    check(installed(d) == 1, "nothing was put there")
    done = install(d, two, pin="0123", ok=False)
    check("is not 64 hexadecimal digits" in done.stderr, done.stderr)
    install(d, two, pin=d.pin().replace(" ", "").upper())  # as a person may write it


# --- the publisher ---


def test_a_changed_ca_is_said_aloud(d):
    install(d, d.path("1.citex"))
    home = d.party("ke", folder="other-ke")
    d.run("directory", "remove", d.path("publisher"), "--party", "ke")
    fingerprint = d.admit("ke", home)
    d.add(d.card(home, "ke.ma"), d.card(home, "ke", node=True))
    two = d.publish(name="2.citex")
    check("ke has another CA" in d.published.stderr and fingerprint in d.published.stderr, d.published.stderr)
    done = install(d, two)
    check("ke has another CA" in done.stderr and fingerprint in done.stderr, done.stderr)
    cas = {p["party"]: p["cas"] for p in d.show(two)["parties"]}
    check(cas["ke"] == [fingerprint], f"show lists it: {cas}")


def test_a_ca_that_was_vouched_for_is_no_news(d):
    home = d.party("ke", folder="next-ke")
    d.refused("another CA", "directory", "admit", d.path("publisher"), "--party", "ke", "--ca",
              os.path.join(home, "ca.pem"))
    d.secret("voucher", d.path("ke"), os.path.join(home, "ca.pem"), "-o", d.path("voucher"))
    d.run("directory", "admit", d.path("publisher"), "--party", "ke", "--ca", os.path.join(home, "ca.pem"),
          "--voucher", d.path("voucher"))
    two = d.publish(name="2.citex")
    check("WARNING" not in d.published.stderr, d.published.stderr)
    party = [p for p in d.show(two)["parties"] if p["party"] == "ke"][0]
    check(len(party["cas"]) == 2, "both stand there")
    check(party["name"] == "The Party ke", "admitting without --name renames nobody")


def test_a_card_of_a_false_ca_is_refused(d):
    home = d.party("ke", folder="false-ke")
    before = d.publish(name="2.citex")
    for card in (d.card(home, "ke.ma"), d.card(home, "ke", node=True)):
        d.refused("is refused", "directory", "add", d.path("publisher"), card)
    after = d.publish(name="3.citex")
    check(d.show(before)["nodes"] == d.show(after)["nodes"], "the good one stays")
    with open(d.card(d.path("ke"), "ke.ma"), encoding="ascii") as f:
        text = f.read()
    spoiled = text.replace(text.splitlines()[-3], text.splitlines()[-3][::-1])
    with open(d.path("spoiled"), "w", encoding="ascii") as f:
        f.write(spoiled)
    check(d.run("directory", "add", d.path("publisher"), d.path("spoiled"), ok=False).returncode != 0, "signed")


def test_who_leaves_is_taken_out(d):
    d.refused("gb.ma is served by node gb", *publishing_without(d, "gb", "--node"))
    d.run("directory", "remove", d.path("publisher"), "gb.ma")
    two = d.show(d.publish(name="2.citex"))
    check([a["authority"] for a in two["authorities"]] == ["ke.ma"], "the authority")
    check([n["node"] for n in two["nodes"]] == ["ke"], "the node")
    d.refused("there is no card", "directory", "remove", d.path("publisher"), "gb.ma")
    for words in (("--party", "xx"), ("../ke",), ("--node", "../../ke"), (), ("--party", "ke", "ke.ma")):
        check(d.run("directory", "remove", d.path("publisher"), *words, ok=False).returncode != 0, f"{words}")
    check(os.path.exists(d.path("publisher", "parties", "ke", "ke.ma.card")), "nothing else went")


def publishing_without(d, name, *flags):
    d.run("directory", "remove", d.path("publisher"), *flags, name)
    return ("directory", "publish", d.path("publisher"), "--passphrase-file", d.path("pass"))


def test_names_cannot_drive_the_terminal(d):
    home = d.path("gb")
    about = os.path.join(home, "authorities", "gb.ma", "about.json")
    with open(about, encoding="utf-8") as f:
        data = json.load(f)
    data["name"] = "\x1b]0;owned\x07\x1b[2J MA"
    with open(about, "w", encoding="utf-8") as f:
        json.dump(data, f)
    d.add(d.card(home, "gb.ma"))
    shown = d.run("directory", "show", d.publish(name="2.citex")).stdout
    check("owned" in shown and "\x1b" not in shown and "\x07" not in shown, repr(shown))


# --- keys ---


def states(d, name, use, node=False):
    d.add(d.card(d.path("ke"), name, node=node))
    shown = d.show(d.publish(name="state.citex"))
    row = [r for r in shown["nodes" if node else "authorities"] if r["node" if node else "authority"] == name][0]
    return [k["state"] for k in row[use]]


def test_renewing_retires_and_revoking_ends_all(d):
    renew = ("renew", d.path("ke"), "ke.ma", "--use", "signing")
    d.secret(*renew)
    check(states(d, "ke.ma", "signing") == ["retired", "live"], "the old one stands beside the new one")
    d.secret("revoke", d.path("ke"), "ke.ma", "--use", "signing", "--reason", "disk stolen")
    check(states(d, "ke.ma", "signing") == ["revoked", "revoked", "live"], "the thief has the retired one, too")
    check(states(d, "ke.ma", "sealing") == ["live"], "another use is not touched")


def test_a_new_key_is_there_before_the_old_one_ends(d):
    folder = d.path("ke", "nodes", "ke")
    # the second of the two files cannot be written: a folder is in its place
    os.mkdir(os.path.join(folder, "tls_0002.pem"))
    d.secret("renew", d.path("ke"), "--node", "ke", "--use", "tls", ok=False)
    os.rmdir(os.path.join(folder, "tls_0002.pem"))
    check(not [n for n in os.listdir(folder) if n.endswith(".state")], "nothing has ended")
    d.secret("renew", d.path("ke"), "--node", "ke", "--use", "tls")
    check(states(d, "ke", "tls", node=True) == ["retired", "live"], "and it can be repeated")


def test_a_full_folder_is_told_before_it_locks(d):
    folder = d.path("ke", "authorities", "ke.ma")
    for n in range(2, 33):
        for ending in ("key", "pem"):
            shutil.copy(os.path.join(folder, f"sealing.{ending}"), os.path.join(folder, f"sealing_{n:04}.{ending}"))
    done = d.secret("renew", d.path("ke"), "ke.ma", "--use", "sealing", ok=False)
    check(done.returncode != 0 and "move the oldest away" in done.stderr, done.stderr)
    check(not os.path.exists(os.path.join(folder, "sealing_0033.key")), "none was made")
    d.secret("card", d.path("ke"), "ke.ma", "-o", d.path("x"))


def test_an_interrupted_command_is_completed(d):
    make = ("authority", d.path("ke"), "ke.kws", "--role", "enforcement", "--node", "ke")
    folder = d.path("ke", "authorities", "ke.kws")
    os.makedirs(os.path.join(folder, "sealing.pem"))
    check(d.secret(*make, ok=False).returncode != 0, "the second certificate cannot be written")
    os.rmdir(os.path.join(folder, "sealing.pem"))
    with open(os.path.join(folder, "signing.pem"), encoding="ascii") as f:
        signing = f.read()
    d.secret(*make)
    with open(os.path.join(folder, "signing.pem"), encoding="ascii") as f:
        check(f.read() == signing, "what was whole is kept")
    d.card(d.path("ke"), "ke.kws")
    done = d.secret(*make, ok=False)
    check(done.returncode == 5 and "is there already" in done.stderr, f"never over a whole one: {done.stderr}")


def test_wrong_values_are_named(d):
    home, secret = d.path("ke"), ("--passphrase-file", d.path("pass"))
    node = ("node", home, "ke-2", *secret)
    rows = [
        ("--address: `nonsense'", *node, "--address", "nonsense"),
        ("--address: `localhost:4711'", *node, "--address", "localhost:4711"),
        ("--address: `127.0.0.1:0'", *node, "--address", "127.0.0.1:0"),
        ("--via: `A B'", *node, "--via", "A B"),
        ("--serves: `KE'", *node, "--address", "127.0.0.1:1", "--serves", "KE"),
        ("--days takes", *node, "--address", "127.0.0.1:1", "--days", "30x"),
        ("--days takes", *node, "--address", "127.0.0.1:1", "--days", "0"),
        ("--fresh-days takes", "directory", "publish", d.path("publisher"), "--fresh-days", "30x", *secret),
        ("is no role", "authority", home, "ke.x", "--role", "king", "--node", "ke", *secret),
        ("is no authority of ke", "authority", home, "gb.x", "--role", "management", "--node", "ke", *secret),
        ("--use", "renew", home, "ke.ma", "--use", "tls", *secret),
        ("no command `frobnicate'", "frobnicate", "x"),
        ("no command `directory frobnicate'", "directory", "frobnicate"),
        ("no command `directory'", "directory"),
        ("nowhere: No such file", "directory", "add", d.path("publisher"), "nowhere"),
        ("nowhere: No such file", "party", "init", d.path("x"), "--party", "gb", "--name", "x", "--passphrase-file", "nowhere"),
        ("--reason", "revoke", home, "ke.ma", "--use", "signing", *secret),
    ]
    for row in rows:
        d.refused(*row)
    check(not os.path.exists(os.path.join(home, "nodes", "ke-2", "tls.key")), "nothing was made")


def test_ctrl_c_at_the_passphrase_gives_the_echo_back(d):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(d.tool, [d.tool, "party", "init", d.path("tty"), "--party", "tz"])
    said = b""
    while b"Passphrase" not in said:
        said += os.read(fd, 100)
    for _ in range(100):
        if not termios.tcgetattr(fd)[3] & termios.ECHO:
            break
        time.sleep(0.02)
    check(not termios.tcgetattr(fd)[3] & termios.ECHO, "nobody sees it")
    os.write(fd, b"sec")
    for _ in range(50):
        # again, as a person does: libcrypto misses one that comes just before it reads
        os.write(fd, b"\x03")
        time.sleep(0.2)
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            break
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AssertionError("it did not end")
    check(termios.tcgetattr(fd)[3] & termios.ECHO, "the echo is back")
    check(not os.path.exists(d.path("tty", "ca.key")), "nothing was made")
    os.close(fd)


def test_a_passphrase_others_can_read_is_refused(d):
    os.chmod(d.path("pass"), 0o444)
    done = d.secret("card", d.path("ke"), "ke.ma", ok=False)
    check(done.returncode != 0 and "chmod 0400" in done.stderr, done.stderr)
    os.chmod(d.path("pass"), 0o400)
    key = d.path("ke", "authorities", "ke.ma", "signing.key")
    os.chmod(key, 0o644)
    done = d.secret("card", d.path("ke"), "ke.ma", ok=False)
    check(done.returncode != 0 and "chmod 0600" in done.stderr, done.stderr)


def main():
    words = sys.argv[1:]
    build = "build"
    if "--build" in words:
        at = words.index("--build")
        build = words[at + 1]
        del words[at:at + 2]
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_") and (not words or any(w in n for w in words))]
    template, counts = begin(build), {"passed": 0, "failed": 0}
    for name, test in tests:
        d, start, word, why = Desk(build, template.dir), time.monotonic(), "passed", ""
        try:
            test(d)
        except (AssertionError, OSError, KeyError, ValueError, TypeError, subprocess.SubprocessError) as e:
            word, why = "failed", f"{e}\n{traceback.format_exc(limit=-3)}"
        counts[word] += 1
        print(f"{word:8} {name} ({time.monotonic() - start:.1f} s) {why}", flush=True)
        shutil.rmtree(d.dir)
    shutil.rmtree(template.dir)
    print(f"{counts['passed']} passed, {counts['failed']} failed, 0 skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
