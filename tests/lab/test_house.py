#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The house: how the processes of one node are started, confined, watched,
reloaded and stopped, and what citexd says when something is wrong.

  test_house.py [--build BUILD] [NAME...]     NAME: part of a test's name
Last line: N passed, N failed, N skipped.
"""
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from labkit import STORY, Lab, alive, wait_until  # noqa: E402

NODE = "ke"
ONE = {"secretariat": STORY["secretariat"], NODE: STORY[NODE]}
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Skipped(Exception):
    pass


def check(condition, words):
    if not condition:
        raise AssertionError(words)


class House:
    """One node, run under our eyes; its configuration can be changed by the line."""

    def __init__(self, lab):
        self.lab = lab
        self.conf = lab.path(NODE, "citexd.conf")
        with open(self.conf, encoding="utf-8") as f:
            self.lines = f.read().splitlines()
        self.daemon = None
        self.log = lab.path(NODE, "log")

    def write(self, lines=None):
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write("\n".join(self.lines if lines is None else lines) + "\n")

    def with_line(self, name, line):
        """The configuration with the line of the top setting NAME replaced, and that line's number."""
        lines = list(self.lines)
        for i, old in enumerate(lines):
            if old.startswith(name + " ="):
                lines[i] = line
                return lines, i + 1
        lines.insert(0, line)
        return lines, 1

    def run(self, *arguments, timeout=20):
        return subprocess.run([self.lab.program("citexd"), *arguments], env=self.lab.env(), capture_output=True,
                              text=True, timeout=timeout, check=False)

    def start(self, wait=True, env=None):
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen([self.lab.program("citexd"), "-c", self.conf], stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log, env=env or self.lab.env(), start_new_session=True)
        with open(self.lab.path(NODE, "pid"), "w", encoding="ascii") as f:
            f.write(str(self.daemon.pid))
        if wait:
            self.wait_ready()
        return self.daemon

    def wait_ready(self):
        wait_until("the node is ready", 30, lambda: self.ended() or self.said("ready processes="))
        check(not self.ended(), self.said_all()[-2000:])

    def ended(self):
        return self.daemon.poll() is not None

    def said_all(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def said(self, words):
        return words in self.said_all()

    def forget_log(self):
        open(self.log, "wb").close()

    def roles(self):
        return self.lab.children(NODE)

    def pid(self, role):
        return self.roles()[role]

    def signal(self, number):
        os.kill(self.daemon.pid, number)

    def stop(self, seconds=15):
        if self.daemon is None or self.ended():
            return
        for pid in self.roles().values():
            os.kill(pid, signal.SIGCONT)
        self.signal(signal.SIGTERM)
        self.daemon.wait(seconds)


def read(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def status_of(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)


def descriptors(pid):
    folder = f"/proc/{pid}/fd"
    return {int(fd): os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)}


def inet_inodes():
    """Inodes of all Internet sockets of this machine."""
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        try:
            rows = read(f"/proc/net/{name}").splitlines()[1:]
        except OSError:
            continue
        found |= {row.split()[9] for row in rows}
    return found


def sanitized(house):
    return house.said("no-filter")


# --- confinement ---


def test_processes_have_nothing_they_do_not_need(house):
    house.start()
    roles = house.roles()
    check(set(roles) == {"post", "office ke.ma", "office ke.kws"}, f"one post, one office each: {roles}")
    state = house.lab.path(NODE, "state")
    inet = inet_inodes()
    for role, pid in roles.items():
        facts = status_of(pid)
        check(read(f"/proc/{pid}/environ", "rb") == b"", f"{role}: the environment is empty")
        core = [line for line in read(f"/proc/{pid}/limits").splitlines() if "core" in line][0]
        check(core.split()[4:6] == ["0", "0"], f"{role}: {core}")
        check(facts["NoNewPrivs"] == "1", f"{role}: no new privileges")
        check(sanitized(house) or facts["Seccomp"] == "2", f"{role}: its filter is on")
        mine = state if role == "post" else os.path.join(state, "offices", role.split()[1])
        for fd, what in descriptors(pid).items():
            good = (what in ("/dev/null", house.log) or what.startswith(("pipe:", "anon_inode:", "socket:")) or
                    os.path.dirname(what) == mine)
            check(good, f"{role}: descriptor {fd} is {what}")
            if role != "post" and what.startswith("socket:["):
                check(what[8:-1] not in inet, f"{role}: descriptor {fd} is an Internet socket")
    house.stop()


def test_root_is_given_up(house):
    if os.getuid() != 0:
        raise Skipped("needs root to give it up")
    state, user = house.lab.path(NODE, "state"), 65534
    for folder, _, names in os.walk(state):
        for name in ["", *names]:
            os.lchown(os.path.join(folder, name), user, user)
    house.write(house.with_line("user", f'user = "{user}"')[0])
    wrong(house, f"user {user} cannot use it")  # it can't come in from above
    os.chmod(os.path.dirname(house.lab.dir), 0o755)
    os.chmod(house.lab.dir, 0o755)
    os.chmod(house.lab.path(NODE), 0o755)
    os.chmod(house.lab.path("run"), 0o755)
    try:
        house.start()
        for role, pid in house.roles().items():
            facts = status_of(pid)
            check(facts["Uid"].split() == [str(user)] * 4, f"{role}: {facts['Uid']}")
            check(facts["Groups"].strip() == "", f"{role}: groups {facts['Groups']}")
            check(int(facts["CapEff"], 16) == 0 and int(facts["CapPrm"], 16) == 0, f"{role}: capabilities")
            check(os.readlink(f"/proc/{pid}/root") == house.lab.path("run"), f"{role}: its root folder")
        for folder, _, names in os.walk(state):
            for name in names:
                owner = os.lstat(os.path.join(folder, name)).st_uid
                check(owner == user or name == "citexd.lock", f"{name} belongs to {owner}")
        wait_until("the offices have their post", 10,
                   lambda: house.lab.citex("ke.ma", "status", check=False).returncode == 0)
        if sanitized(house):
            raise Skipped("seen; but the leak sanitizer cannot look for leaks without /proc")
    finally:
        house.stop()
        for folder, _, names in os.walk(state):
            for name in ["", *names]:
                os.lchown(os.path.join(folder, name), 0, 0)


def test_sockets_have_their_rights(house):
    house.start()
    for name in os.listdir(house.lab.path("run")):
        mode = stat.S_IMODE(os.stat(house.lab.path("run", name)).st_mode)
        check(mode == (0o600 if name.startswith("link-") else 0o666), f"{name}: {mode:o}")
    house.stop()
    check(not [n for n in os.listdir(house.lab.path("run")) if NODE in n], "its sockets are gone with it")


# --- life and death ---


def test_each_process_that_dies_comes_back(house):
    house.start()
    for role in ("post", "office ke.ma", "office ke.kws"):
        before = house.roles()
        os.kill(before[role], signal.SIGKILL)
        wait_until(f"{role} is back", 10, lambda b=before, r=role: house.roles().get(r, b[r]) != b[r])
        after = house.roles()
        check({r: p for r, p in after.items() if r != role} == {r: p for r, p in before.items() if r != role},
              "the others live on")
    wait_until("all work", 10, lambda: house.said_all().count(" working ") == 6)
    house.stop()


def test_a_process_that_keeps_dying_is_started_later_and_later(house):
    house.start()
    times = []
    for _ in range(3):
        pid = house.pid("office ke.kws")
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_until("it is back", 20, lambda p=pid: house.roles().get("office ke.kws", p) != p)
        times.append(time.monotonic() - began)
    check(times[0] < 0.9 and times[1] > 0.9 and times[2] > 1.9, f"restarted after {times}")
    house.stop()


def test_children_do_not_outlive_their_supervisor(house):
    house.start()
    pids = house.roles()
    house.daemon.kill()
    house.daemon.wait()
    wait_until("they end by themselves", 10, lambda: not any(alive(p) for p in pids.values()))
    house.forget_log()
    house.start()  # and what they left behind is no hindrance
    house.stop()


def test_a_daemon_killed_just_now_makes_room(house):
    house.start()
    house.daemon.kill()
    house.daemon.wait()
    house.forget_log()
    house.start()
    house.stop()


def test_sigterm_ends_all_with_success(house):
    house.start()
    pids = house.roles()
    began = time.monotonic()
    house.signal(signal.SIGTERM)
    check(house.daemon.wait(10) == 0, "exit status 0")
    check(time.monotonic() - began < 5, "at once")
    check(not any(alive(p) for p in pids.values()), "nothing is left")


def test_what_does_not_stop_is_killed(house):
    house.start()
    hung = house.pid("office ke.ma")
    os.kill(hung, signal.SIGSTOP)
    began = time.monotonic()
    house.signal(signal.SIGTERM)
    check(house.daemon.wait(20) == 0, "exit status 0")
    check(9 < time.monotonic() - began < 15, f"after ten seconds: {time.monotonic() - began}")
    check(not alive(hung), "it is gone")


def test_a_key_at_the_terminal_reaches_the_supervisor_alone(house):
    house.start()
    for pid in house.roles().values():
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    before = house.roles()
    time.sleep(0.5)
    check(house.roles() == before, "they stay")
    house.signal(signal.SIGINT)
    check(house.daemon.wait(10) == 0, "exit status 0")


def test_a_second_daemon_is_refused(house):
    house.start()
    began = time.monotonic()
    done = house.run("-c", house.conf)
    check(done.returncode == 9 and "another citexd" in done.stderr, f"{done.returncode} {done.stderr}")
    check(time.monotonic() - began < 3, "soon")
    link = house.lab.path("state-by-another-name")
    os.symlink(house.lab.path(NODE, "state"), link)
    house.write(house.with_line("state", f'state = "{link}"')[0])
    done = house.run("-c", house.conf)
    check(done.returncode == 9 and "another citexd" in done.stderr, f"{done.returncode} {done.stderr}")
    check(house.roles() and not house.ended(), "the first one works on")
    house.stop()


def test_a_port_in_use_is_named(house):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        house.write(house.with_line("listen", f'listen = {{"127.0.0.1:{port}"}}')[0])
        done = house.run("-c", house.conf, timeout=30)
    check(done.returncode == 9 and f"127.0.0.1:{port}" in done.stderr, f"{done.returncode} {done.stderr}")


def test_systemd_is_told(house):
    path = house.lab.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(20)
        house.start(wait=False, env={**house.lab.env(), "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
        heard = b""
        while b"READY=1" not in heard:
            heard += s.recv(4096) + b"\n"
        check(house.said("ready processes=3"), "only when all are at work")
        beats = b""
        while beats.count(b"WATCHDOG=1") < 3:
            beats += s.recv(4096) + b"\n"
        house.signal(signal.SIGTERM)
        while b"STOPPING=1" not in heard:
            heard += s.recv(4096) + b"\n"
    check(house.daemon.wait(10) == 0, "exit status 0")
    os.unlink(path)


def test_garbage_on_each_local_socket_kills_nobody(house):
    house.start()
    before = house.roles()
    for name in os.listdir(house.lab.path("run")):
        if NODE not in name:
            continue
        for data in (b"\xff" * 64, b"\0\0\0\0", os.urandom(3000), b"\0\2\0\0" + b"x" * 140000):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(3)
                try:
                    s.connect(house.lab.path("run", name))
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
                except OSError:
                    pass
    check(house.roles() == before, "nobody died of it")
    house.stop()


# --- what is wrong is named ---

BAD_LINES = [
    ("nonsense", "nonsense = 1", "no such option 'nonsense'"),
    ("listen", 'listen = {"localhost:1"}', "is not ADDRESS:PORT"),
    ("state", 'state = "/nonexistent"', "No such file or directory"),
    ("passphrase-file", 'passphrase-file = "/nonexistent"', "No such file or directory"),
    ("store-limit", "store-limit = huge", "is not a size"),
    ("log-level", "log-level = loud", "is none of"),
    ("on-alarm", 'on-alarm = "/etc/passwd"', "cannot be executed"),
    ("relay-for", 'relay-for = {"NOT A NODE"}', "is no name of a node"),
    ("confirmed-ca", 'confirmed-ca = {"00"}', "is not 64 hexadecimal digits"),
    ("directory-key", 'directory-key = "00"', "is not 64 hexadecimal digits"),
]


def test_a_wrong_line_is_named_before_anything_starts(house):
    for name, line, words in BAD_LINES:
        lines, number = house.with_line(name, line)
        house.write(lines)
        for arguments in (("-t", "-c", house.conf), ("-c", house.conf)):
            done = house.run(*arguments)
            check(done.returncode == 2, f"{line}: exit status {done.returncode}")
            check(f"citexd.conf:{number}: " in done.stderr and words in done.stderr, f"{line}: {done.stderr}")
    check(not [n for n in os.listdir(house.lab.path("run")) if NODE in n], "no socket was made")


def test_the_folder_of_the_sockets_is_made(house):
    """As at every start of a machine: what was under /run is gone."""
    run = house.lab.path("run-new")
    house.write(house.with_line("run", f'run = "{run}"')[0])
    check(house.run("-t", "-c", house.conf).returncode == 0, "it is good")
    check(not os.path.exists(run), "-t makes nothing")
    house.forget_log()
    house.start()
    check(stat.S_IMODE(os.stat(run).st_mode) == 0o755 and os.listdir(run), "it is there, and open to officers")
    house.stop()
    house.write(house.with_line("run", f'run = "{run}/none/none"')[0])
    check(house.run("-t", "-c", house.conf).returncode == 2, "what it lies in is not made")
    house.write()


def test_keys_may_belong_to_whom_it_works_as(house):
    """As with the unit, where root tests what the user of the daemon starts."""
    if os.getuid() != 0:
        raise Skipped("needs root")
    house.write(house.with_line("user", 'user = "65534"')[0])
    home = keys_of(house)
    files = [house.lab.passphrase, *(os.path.join(home, n) for n in os.listdir(home) if n.endswith(".key"))]
    for owner, good in ((65534, True), (1, False), (0, True)):
        for name in files:
            os.chown(name, owner, -1)
        done = house.run("-t", "-c", house.conf)  # whose the state is, it says in any case
        check(("passphrase: " not in done.stderr) == good, f"{owner}: {done.stderr}")
        check((".key: " not in done.stderr) == good, f"{owner}: {done.stderr}")
    house.write()


def wrong(house, words, *more):
    """Both -t and a start name what is wrong."""
    for arguments in (("-t", "-c", house.conf), ("-c", house.conf)):
        done = house.run(*arguments, *more)
        check(done.returncode == 2 and words in done.stderr, f"{words}: {done.returncode} {done.stderr}")


def keys_of(house, who="node"):
    parties = house.lab.path("parties", "ke")
    return os.path.join(parties, "nodes", NODE) if who == "node" else os.path.join(parties, "authorities", who)


def test_wrong_keys_are_named_before_anything_starts(house):
    good = house.run("-t", "-c", house.conf)
    check(good.returncode == 0 and "good" in good.stdout, good.stderr)
    key = os.path.join(keys_of(house), "tls.key")
    os.rename(key, key + ".away")
    wrong(house, "tls.key")
    shutil.copy(os.path.join(keys_of(house), "receipts.key"), key)
    os.chmod(key, 0o600)
    wrong(house, "this key is not the certificate's")
    os.rename(key + ".away", key)
    os.chmod(key, 0o644)
    wrong(house, "tls.key")
    os.chmod(key, 0o600)
    cert = os.path.join(keys_of(house), "tls.pem")
    os.rename(cert, cert + ".away")
    wrong(house, "there is no tls*.pem")
    shutil.copy(os.path.join(keys_of(house, "ke.ma"), "signing.pem"), cert)
    wrong(house, "this certificate is for another use")
    os.rename(cert + ".away", cert)
    signing = os.path.join(keys_of(house, "ke.ma"), "signing.pem")
    shutil.copy(signing, signing + ".away")
    shutil.copy(os.path.join(keys_of(house, "ke.kws"), "signing.pem"), signing)
    wrong(house, "this certificate is of ke.kws, not of ke.ma")
    os.rename(signing + ".away", signing)
    check(house.run("-t", "-c", house.conf).returncode == 0, "all is as it was")


def test_a_wrong_passphrase_is_named(house):
    path = house.lab.path("wrong-passphrase")
    with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o400)) as f:
        f.write("not this\n")
    house.write(house.with_line("passphrase-file", f'passphrase-file = "{path}"')[0])
    wrong(house, "the passphrase does not open the key")
    os.chmod(path, 0o644)
    wrong(house, path)
    os.unlink(path)


def test_a_passphrase_may_be_a_credential(house):
    folder = house.lab.path("credentials")
    os.mkdir(folder, 0o700)
    shutil.copy(house.lab.passphrase, os.path.join(folder, "node"))
    house.write(house.with_line("passphrase-file", 'passphrase-credential = "node"')[0])
    done = house.run("-t", "-c", house.conf)
    check(done.returncode == 2, "no credentials: not good")
    house.start(env={**house.lab.env(), "CREDENTIALS_DIRECTORY": folder})
    house.stop()
    shutil.rmtree(folder)


def test_a_wrong_directory_is_named(house):
    path = house.lab.path(NODE, "state", "directory.citex")
    good = read(path, "rb")
    os.rename(path, path + ".away")
    wrong(house, "there is no directory yet")
    with open(path, "wb") as f:
        f.write(good[:-20] + b"x" + good[-19:])
    wrong(house, "directory.citex: ")
    os.rename(path + ".away", path)
    house.write(house.with_line("directory-key", 'directory-key = "' + "0" * 64 + '"')[0])
    wrong(house, "fingerprint")


def test_an_open_state_folder_is_refused(house):
    os.chmod(house.lab.path(NODE, "state"), 0o755)
    try:
        wrong(house, "is open to group or others")
    finally:
        os.chmod(house.lab.path(NODE, "state"), 0o700)


def test_a_torn_store_is_refused_with_words(house):
    house.start()
    house.stop()
    path = house.lab.path(NODE, "state", "spool.mdb")
    shutil.copy(path, path + ".away")
    os.truncate(path, os.path.getsize(path) // 2)
    done = house.run("-c", house.conf, timeout=40)
    check(done.returncode == 9, f"exit status {done.returncode}: {done.stderr}")
    check("spool.mdb" in done.stderr and "restore a backup" in done.stderr, done.stderr)
    os.rename(path + ".away", path)


def test_the_face(house):
    done = house.run("--version")
    for name in ("citexd ", "OpenSSL ", "LMDB ", "libevent ", "protobuf-c "):
        check(done.returncode == 0 and name in done.stdout, f"--version names {name}: {done.stdout}")
    check(house.run("--help").returncode == 0, "--help")
    for arguments in (("--nonsense",), ("-c",), ("word",), ("backup",), ("check", "word"), ("--role", "post", "x"),
                      ("--role", "office"), ("--role", "nonsense"), ("--role",)):
        done = house.run(*arguments)
        check(done.returncode not in (0, -11, -6), f"{arguments}: exit status {done.returncode}")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([house.lab.program("citexd"), "--settings"], stdout=full, check=False)
    check(done.returncode != 0, "a failed write fails the command")


def test_the_manual_has_every_setting(house):
    manual = read(os.path.join(SOURCE, "docs", "citexd.conf.5"))
    rows = [line.split("\t") for line in house.run("--settings").stdout.splitlines()]
    check(len(rows) > 25, f"{len(rows)} settings")
    for _, name, _, _, preset, _ in rows:
        check(re.search(rf"^\.It Cm {re.escape(name)} No =", manual, re.M), f"the manual lacks {name}")
        check(preset in ("", "required") or preset.split("/")[-1] in manual, f"its default {preset}")
    for name in re.findall(r"^\.It Cm (\S+) No =", manual, re.M):
        check(name in [row[1] for row in rows], f"the manual has {name}, citexd has not")


# --- hooks ---


def test_a_message_runs_its_hook(house):
    out, hook = house.lab.path("hooked"), house.lab.path("hook")
    with open(hook, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\n{{ echo "$# $*"; env | grep -vE "^(PWD|OLDPWD|SHLVL|_)="; id -u; }} >>{out}\n')
    os.chmod(hook, 0o755)
    at = [i for i, line in enumerate(house.lines) if line.startswith('authority "ke.kws"')][0]
    house.write(house.lines[:at + 1] + [f'  on-new = "{hook}"'] + house.lines[at + 1:])
    house.start()
    case = house.lab.path("case.json")
    with open(case, "w", encoding="utf-8") as f:
        f.write('{"title": "a hook", "text": "is run"}')
    sent = house.lab.json("ke.ma", "share", "ke.kws", "--handling", "amber", "--from", case)["id"]
    wait_until("the hook was run", 20, lambda: os.path.exists(out) and read(out).count("\n") == 2)
    check(read(out) == f"3 new {sent} case\n{os.getuid()}\n", read(out))
    house.stop()
    os.unlink(out)


# --- reload ---


def reload(house, words, seconds=15):
    house.forget_log()
    house.signal(signal.SIGHUP)
    wait_until(f"the log says {words}", seconds, lambda: house.said(words))


def test_reload_of_a_wrong_file_changes_nothing(house):
    house.start()
    before = house.roles()
    house.write(house.lines + ["nonsense = 1"])
    reload(house, "reload-refused")
    check(house.said(f"citexd.conf:{len(house.lines) + 1}: "), "the line is named")
    check(house.roles() == before, "nothing was started again")
    house.stop()


def test_reload_of_the_log_level_restarts_nobody(house):
    house.start()
    before = house.roles()
    house.write(house.with_line("log-level", 'log-level = "error"')[0])
    house.signal(signal.SIGHUP)
    time.sleep(3)
    house.write()
    reload(house, "reloaded")
    check(house.roles() == before, "the same processes")
    house.stop()


def test_reload_of_officers_restarts_their_office_alone(house):
    house.start()
    before = house.roles()
    at = [i for i, line in enumerate(house.lines) if line.startswith('authority "ke.ma"')][0]
    house.write(house.lines[:at + 1] + ['  officer "New One" { user = 4242 }'] + house.lines[at + 1:])
    reload(house, "reloaded")
    wait_until("the office is another one", 10, lambda: house.roles().get("office ke.ma") not in
               (None, before["office ke.ma"]))
    after = house.roles()
    check(after["post"] == before["post"] and after["office ke.kws"] == before["office ke.kws"], "the others stay")
    check(not house.said(" died "), "it was stopped, not killed")
    house.stop()


def test_reload_of_keys_restarts_who_has_them(house):
    house.start()
    before = house.roles()
    os.utime(os.path.join(keys_of(house, "ke.kws"), "signing.pem"))
    reload(house, "reloaded")
    wait_until("the office is another one", 10, lambda: house.roles().get("office ke.kws") not in
               (None, before["office ke.kws"]))
    check(house.roles()["post"] == before["post"], "the others stay")
    house.stop()


def test_reload_of_what_is_fixed_is_refused(house):
    house.start()
    before = house.roles()
    at = [i for i, line in enumerate(house.lines) if line.startswith("authority")][-1]
    for lines, name in ((house.with_line("listen", 'listen = {"127.0.0.1:1"}')[0], "listen"),
                        (house.lines[:at], "authority")):
        house.write(lines)
        reload(house, "reload-refused")
        check(house.said(f"setting={name}"), f"{name} is named")
    check(house.roles() == before, "nothing was started again")
    house.stop()


# --- backup ---


def test_backup_and_restore(house):
    house.start()
    state, copy = house.lab.path(NODE, "state"), house.lab.path("copy")
    done = house.run("check", "-c", house.conf)
    check(done.returncode == 9 and "has this store open" in done.stderr, f"check while it runs: {done.stderr}")
    done = house.run("backup", "-c", house.conf, copy)
    check(done.returncode == 0 and done.stdout.count("good") == 3, f"{done.stdout}{done.stderr}")
    check("spool.mdb" in done.stdout.splitlines()[0], f"the spool is copied first: {done.stdout}")
    check(house.run("backup", "-c", house.conf, copy).returncode == 5, "never over another backup")
    done = house.run("restore", "-c", house.conf, copy)
    check(done.returncode == 9 and "stop it first" in done.stderr, f"restore while it runs: {done.stderr}")
    house.stop()
    check(house.run("check", "-c", house.conf).stdout.count("good") == 3, "all is good")
    done = house.run("restore", "-c", house.conf, copy)
    check(done.returncode == 5, f"never over a store: {done.stderr}")
    os.unlink(os.path.join(state, "spool.mdb"))
    shutil.rmtree(os.path.join(state, "offices"))
    done = house.run("restore", "-c", house.conf, copy)
    check(done.returncode == 0, done.stderr)
    house.forget_log()
    house.start()
    house.stop()
    shutil.rmtree(copy)


def test_a_damaged_store_is_found_and_not_restored(house):
    house.start()
    house.stop()
    state, copy = house.lab.path(NODE, "state"), house.lab.path("copy")
    check(house.run("backup", "-c", house.conf, copy).returncode == 0, "backup of a stopped node")
    path = os.path.join(copy, "spool.mdb")
    data = bytearray(read(path, "rb"))
    at = data.rfind(b"incarnation")
    check(at > 0, "there is something to damage")
    data[at + len("incarnation") + 2] ^= 1
    with open(path, "wb") as f:
        f.write(data)
    os.rename(os.path.join(state, "spool.mdb"), os.path.join(state, "spool.mdb.away"))
    for authority in ("ke.ma", "ke.kws"):
        os.rename(os.path.join(state, "offices", authority), os.path.join(state, authority + ".away"))
    done = house.run("restore", "-c", house.conf, copy)
    check(done.returncode == 9, f"exit status {done.returncode}: {done.stderr}")
    for authority in ("ke.ma", "ke.kws"):
        folder = os.path.join(state, "offices", authority)
        check(not os.path.exists(os.path.join(folder, "book.mdb")), "all or nothing")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(os.path.join(state, authority + ".away"), folder)
    check(not os.path.exists(os.path.join(state, "spool.mdb")), "nothing was put in its place")
    check(not os.path.exists(os.path.join(state, "restoring")), "nothing is left behind")
    shutil.copy(path, os.path.join(state, "spool.mdb"))
    done = house.run("check", "-c", house.conf)
    check(done.returncode == 9 and "damaged" in done.stdout, f"{done.stdout}{done.stderr}")
    os.rename(os.path.join(state, "spool.mdb.away"), os.path.join(state, "spool.mdb"))
    shutil.rmtree(copy)


def main():
    words = sys.argv[1:]
    build = "build"
    if "--build" in words:
        at = words.index("--build")
        build = words[at + 1]
        del words[at:at + 2]
    tests = [t for n, t in globals().items() if n.startswith("test_") and (not words or any(w in n for w in words))]
    folder = tempfile.mkdtemp(prefix="citex-house-")
    lab = Lab(os.path.join(folder, "lab"), build)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        lab.create(ONE)
        for test in tests:
            house = House(lab)
            began = time.monotonic()
            try:
                test(house)
                house.stop()
                text = house.said_all() if os.path.exists(house.log) else ""
                check("Sanitizer" not in text and "runtime error" not in text, text[-6000:])
                result = "passed"
            except Skipped as e:
                result = "skipped"
                print(f"  ({e})")
            except Exception:  # whatever it is, the next test has its turn
                result = "failed"
                traceback.print_exc()
                print(house.said_all()[-3000:] if os.path.exists(house.log) else "")
            finally:
                try:
                    house.stop()
                finally:
                    if house.daemon is not None and not house.ended():
                        house.daemon.kill()
                        house.daemon.wait()
                    house.write()
                    if os.path.exists(house.log):
                        os.unlink(house.log)
            counts[result] += 1
            print(f"{result:7} {time.monotonic() - began:5.1f} s  {test.__name__[5:].replace('_', ' ')}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(", ".join(f"{n} {word}" for word, n in counts.items()))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
