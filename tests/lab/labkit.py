# SPDX-License-Identifier: Apache-2.0
"""Makes and drives an exchange of real citex nodes on this machine: for tests,
demo and benchmarks, and the only place that does. Everything on loopback,
nothing outside the lab's folder:

  DIR/lab.json              what is in it
  DIR/proxy.sock, proxy.pid the links (proxy.py)
  DIR/run/                  the sockets of all nodes; CITEX_RUN
  DIR/NODE/citexd.conf, log, pid, state/
  DIR/parties/PARTY/        CA, authorities' and nodes' keys
  DIR/publisher/            the Secretariat's directory
"""
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# NODE: (party, name of the party, authorities with name and roles, listens)
STORY = {
    "secretariat": ("secretariat", "CITES Secretariat", [
        ("secretariat", "CITES Secretariat", "secretariat")], True),
    "ke": ("ke", "Kenya", [
        ("ke.ma", "Kenya, Management Authority", "management"),
        ("ke.kws", "Kenya Wildlife Service", "enforcement")], True),
    "gb": ("gb", "United Kingdom", [
        ("gb.ma", "United Kingdom, Management Authority", "management"),
        ("gb.border-force", "UK Border Force", "enforcement")], True),
    "so": ("so", "Somalia", [
        ("so.ma", "Somalia, Management Authority", "management")], False),
}
PAIR = {name: STORY[name] for name in ("secretariat", "ke", "gb")}
# joins later, in directory number 2
LATER = {"tz": ("tz", "United Republic of Tanzania", [
    ("tz.ma", "Tanzania, Management Authority", "management")], True)}


class LabError(Exception):
    """What went wrong, in words for the person who drives the lab."""


def many(nodes, authorities):
    """A topology of NODES nodes that share AUTHORITIES authorities, and the Secretariat."""
    codes = [a + b for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz"]
    made = {"secretariat": STORY["secretariat"]}
    for n in range(nodes):
        code = codes[n]
        mine = range(n, authorities, nodes)
        made[code] = (code, f"Party {code}", [
            (f"{code}.o{i}", f"Office {i}", "management") for i in mine], True)
    return made


def free_ports(count):
    """COUNT ports that are free now; held together so that they differ."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = condition()
        if got:
            return got
        time.sleep(0.02)
    raise LabError(f"waited {seconds} s in vain: {what}")


class Lab:
    def __init__(self, folder, build="build"):
        self.dir = os.path.abspath(folder)
        self.build = os.path.abspath(build)
        self.file = os.path.join(self.dir, "lab.json")
        self.data = {"nodes": {}, "build": self.build}
        if os.path.exists(self.file):
            with open(self.file, encoding="utf-8") as f:
                self.data = json.load(f)
            self.build = self.data["build"]
        self.passphrase = self.path("passphrase")
        self.on_pki = lambda arguments, done: None  # who shows what is done to the keys

    # --- small things ---

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def program(self, name):
        return os.path.join(self.build, name)

    def save(self):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            json.dump(self.data, f, indent=1)
        os.replace(self.file + ".new", self.file)

    def env(self):
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL", "TERM",
               "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
        env["CITEX_RUN"] = self.path("run")
        return env

    def run(self, *command, check=True, **more):
        done = subprocess.run(command, env=self.env(), capture_output=True, text=True, timeout=120,
                              check=False, **more)
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def pki(self, *arguments, **more):
        done = self.run(self.program("citex-pki"), *arguments, **more)
        self.on_pki(arguments, done)
        return done

    def citex(self, authority, *arguments, **more):
        """Run an officer's command; returns subprocess.CompletedProcess."""
        return self.run(self.program("citex"), "-a", authority, *arguments, **more)

    def json(self, authority, *arguments):
        return json.loads(self.citex(authority, *arguments, "--json").stdout)

    # --- making it ---

    def create(self, topology):
        for name in ("run", "parties"):
            os.makedirs(self.path(name), mode=0o700)
        with open(self.passphrase, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o400)) as f:
            f.write(secrets.token_hex(16) + "\n")
        self.pki("directory", "init", self.path("publisher"), "--passphrase-file", self.passphrase)
        for node, row in topology.items():
            self.make_party(node, row)
        self.publish(topology)
        for node in topology:
            self.configure(node)
        self.save()

    def make_party(self, node, row):
        party, name, authorities, listens = row
        home = self.path("parties", party)
        secret = ("--passphrase-file", self.passphrase)
        self.pki("party", "init", home, "--party", party, "--name", name, *secret)
        for authority, title, role in authorities:
            self.pki("authority", home, authority, "--name", title, "--role", role, "--node", node,
                     "--language", "en", *secret)
        port, front = free_ports(2) if listens else (0, 0)
        where = ["--address", f"127.0.0.1:{front}"] if listens else ["--via", "secretariat"]
        serves = [word for a, _, _ in authorities for word in ("--serves", a)]
        self.pki("node", home, node, *where, *serves, *secret)
        self.data["nodes"][node] = {"party": party, "port": port, "front": front,
                                    "authorities": [a for a, _, _ in authorities]}

    def publish(self, topology):
        """The Secretariat admits TOPOLOGY's Parties, collects the cards, publishes the next number."""
        secret = ("--passphrase-file", self.passphrase)
        for node, (party, name, authorities, _) in topology.items():
            home = self.path("parties", party)
            self.pki("directory", "admit", self.path("publisher"), "--party", party, "--name", name,
                     "--ca", os.path.join(home, "ca.pem"))
            for who in [a for a, _, _ in authorities] + [f"node:{node}"]:
                card = os.path.join(home, who.replace(":", "-") + ".card")
                kind, _, name_of = who.rpartition(":")
                self.pki("card", home, *(["--node"] if kind else []), name_of, "-o", card, *secret)
                self.pki("directory", "add", self.path("publisher"), card)
        number = self.data.get("directory", 0) + 1
        out = self.path(f"directory-{number}.citex")
        self.pki("directory", "publish", self.path("publisher"), "-o", out, *secret)
        self.data["directory"] = number
        if "pin" not in self.data:
            with open(self.path("publisher", "fingerprint"), encoding="ascii") as f:
                self.data["pin"] = f.read().strip()
        return out

    def configure(self, node):
        x = self.data["nodes"][node]
        home = self.path("parties", x["party"])
        for sub in ("", "state"):
            os.makedirs(self.path(node, sub), mode=0o700, exist_ok=True)
        self.pki("directory", "install", self.path(f"directory-{self.data['directory']}.citex"),
                 "--into", self.path(node, "state"), "--pin", self.data["pin"])
        relays = [n for n, y in self.data["nodes"].items() if not y["port"]]
        lines = [
            f'node = "{node}"',
            f'state = "{self.path(node, "state")}"',
            f'run = "{self.path("run")}"',
            f'keys = "{os.path.join(home, "nodes", node)}"',
            f'passphrase-file = "{self.passphrase}"',
            f'directory-key = "{self.data["pin"]}"',
            f'user = "{os.environ.get("USER") or "root"}"' if os.getuid() == 0 else "",
            'retry-first = "200ms"', 'retry-max = "2s"', 'log-level = "debug"',
        ]
        if x["port"]:
            lines.append(f'listen = {{"127.0.0.1:{x["port"]}"}}')
        if node == "secretariat" and relays:
            lines.append("relay-for = {" + ", ".join(f'"{n}"' for n in relays) + "}")
        for authority in x["authorities"]:
            keys = os.path.join(home, "authorities", authority)
            lines += [f'authority "{authority}" {{', f'  keys = "{keys}"',
                      f'  passphrase-file = "{self.passphrase}"', "  seen = true",
                      f'  officer "Officer of {authority}" {{ user = "{os.getuid()}" }}', "}"]
        with open(self.path(node, "citexd.conf"), "w", encoding="utf-8") as f:
            f.write("\n".join(line for line in lines if line) + "\n")

    # --- driving it ---

    def pid(self, node):
        try:
            with open(self.path(node, "pid"), encoding="ascii") as f:
                return int(f.read())
        except (OSError, ValueError):
            return 0

    def children(self, node):
        """{"post": pid, "office:ke.ma": pid} of a running node."""
        found = {}
        try:
            with open(f"/proc/{self.pid(node)}/task/{self.pid(node)}/children", encoding="ascii") as f:
                pids = f.read().split()
        except OSError:
            return found
        for pid in pids:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode().split("\0")
            except OSError:
                continue
            if "--role" in words:
                found[" ".join(w for w in words[words.index("--role") + 1:] if w)] = int(pid)
        return found

    def pid_of(self, node, role):
        if role == "supervisor":
            return self.pid(node)
        for name, pid in self.children(node).items():
            if name.startswith(role):
                return pid
        raise LabError(f"{node} has no {role} running")

    def start(self, node, wait=True):
        if alive(self.pid(node)):
            return
        log = open(self.path(node, "log"), "ab")
        with log:
            started = subprocess.Popen([self.program("citexd"), "-c", self.path(node, "citexd.conf")],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env(),
                                       start_new_session=True)
        with open(self.path(node, "pid"), "w", encoding="ascii") as f:
            f.write(str(started.pid))
        if wait:
            self.wait_ready(node, started)

    def wait_ready(self, node, started=None):
        def ready():
            if started is not None and started.poll() is not None:
                with open(self.path(node, "log"), encoding="utf-8", errors="replace") as f:
                    raise LabError(f"{node} ended with {started.returncode}:\n{f.read()[-3000:]}")
            return all(self.answers(a) for a in self.data["nodes"][node]["authorities"])
        wait_until(f"{node} is ready", 30, ready)

    def answers(self, authority):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(self.path("run", f"office-{authority}.sock"))
            except OSError:
                return False
        status = self.citex(authority, "status", "--json", check=False)
        return status.returncode == 0 and json.loads(status.stdout)["directory"] > 0

    def stop(self, node, role=None):
        if role:
            os.kill(self.pid_of(node, role), signal.SIGSTOP)
            return
        pid = self.pid(node)
        if not alive(pid):
            return
        os.kill(pid, signal.SIGTERM)
        try:
            wait_until(f"{node} ends after SIGTERM", 20, lambda: not alive(pid))
        finally:
            self.reap(pid)

    @staticmethod
    def reap(pid):
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass

    def kill(self, node, role="supervisor"):
        pid = self.pid_of(node, role)
        os.kill(pid, signal.SIGKILL)
        wait_until(f"{role} of {node} is gone", 10, lambda: not alive(pid))
        self.reap(pid)

    def up(self, topology):
        self.create(topology)
        self.start_proxy()
        for node in topology:
            if node != "so":
                self.start(node)

    def join(self, topology):
        """More nodes join, in the next directory; the others learn of it by themselves but for the publisher's."""
        for node, row in topology.items():
            self.make_party(node, row)
        out = self.publish(topology)
        self.save()
        for node in topology:
            self.configure(node)
            x = self.data["nodes"][node]
            if x["port"]:
                self.order(do="front", node=node, front=x["front"], port=x["port"])
        self.pki("directory", "install", out, "--into", self.path("secretariat", "state"), "--pin", self.data["pin"])
        os.kill(self.pid("secretariat"), signal.SIGHUP)
        for node in topology:
            self.start(node)

    def down(self):
        for node in self.data["nodes"]:
            try:
                for role in list(self.children(node)):
                    os.kill(self.children(node)[role], signal.SIGCONT)
                self.stop(node)
            except (LabError, OSError, KeyError):
                if alive(self.pid(node)):
                    self.kill(node)
        self.stop_proxy()

    # --- links ---

    def start_proxy(self):
        with open(self.path("proxy.log"), "ab") as log:
            started = subprocess.Popen([sys.executable, os.path.join(HERE, "proxy.py"), self.dir],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        with open(self.path("proxy.pid"), "w", encoding="ascii") as f:
            f.write(str(started.pid))
        wait_until("the proxy is ready", 10, lambda: os.path.exists(self.path("proxy.sock")))

    def stop_proxy(self):
        try:
            with open(self.path("proxy.pid"), encoding="ascii") as f:
                pid = int(f.read())
            os.kill(pid, signal.SIGTERM)
            wait_until("the proxy ends", 10, lambda: not alive(pid))
            self.reap(pid)
        except (OSError, ValueError):
            pass
        if os.path.exists(self.path("proxy.sock")):
            os.unlink(self.path("proxy.sock"))

    def order(self, **what):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path("proxy.sock"))
            s.sendall(json.dumps(what).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += s.recv(65536)
        return json.loads(answer)

    def cut(self, node, reset=False):
        self.order(do="cut", node=node, reset=reset)

    def heal(self, node):
        self.order(do="heal", node=node)

    def shape(self, node, rate=0, delay=0.0):
        self.order(do="shape", node=node, rate=rate, delay=delay)

    def log(self, node):
        with open(self.path(node, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)
