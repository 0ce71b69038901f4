# SPDX-License-Identifier: Apache-2.0
"""Figures of real nodes on this machine, sync on, each beside the machine's
limits measured in the same run. One line a figure: name value unit ratio.

  bench.py [--build BUILD] [--json] [--quick] [NAME...]

The ratio compares with the limit named behind it; `-' where there is none.
Names: throughput latency broadcast attachment wire memory sessions start
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from labkit import PAIR, STORY, Lab, many, wait_until  # noqa: E402


class Bench:
    def __init__(self, build, quick):
        self.build, self.quick = build, quick
        self.folder = tempfile.mkdtemp(prefix="citex-bench-")
        self.figures, self.limits = [], {}

    def say(self, name, value, unit, ratio=None, of=""):
        self.figures.append({"name": name, "value": round(value, 3), "unit": unit,
                             "ratio": None if ratio is None else round(ratio, 3), "of": of})

    def measure_limits(self):
        out = subprocess.run([os.path.join(self.build, "tests/bench/limits"), self.folder], check=True,
                             capture_output=True, text=True).stdout
        for line in out.splitlines():
            name, value, unit = line.split()
            self.limits[name] = float(value)
            self.say(f"limit_{name}", float(value), unit)

    @staticmethod
    def set_log_level(lab, node, level):
        conf = lab.path(node, "citexd.conf")
        with open(conf, encoding="utf-8") as f:
            text = f.read().replace('log-level = "debug"', f'log-level = "{level}"')
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text)

    def lab(self, name, topology):
        lab = Lab(os.path.join(self.folder, name), self.build)
        lab.create(topology)
        for node in topology:
            self.set_log_level(lab, node, "warning")
        lab.start_proxy()
        for node in topology:
            lab.start(node)
        return lab

    def load(self, lab, author, to, count, window, size):
        done = subprocess.run([os.path.join(self.build, "tests/bench/load"),
                               lab.path("run", f"office-{author}.sock"), to, str(count), str(window), str(size)],
                              capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def run(self, names):
        self.measure_limits()
        if not names or {"throughput", "latency", "attachment", "wire", "memory"} & set(names):
            lab = self.lab("pair", PAIR)
            try:
                self.load(lab, "gb.ma", "ke.ma", 50, 1, 600)  # sessions stand, caches are warm
                for name in ("latency", "wire", "throughput", "memory", "attachment"):
                    if not names or name in names:
                        getattr(self, name)(lab)
            finally:
                lab.down()
        if not names or "broadcast" in names:
            lab = self.lab("many", many(8, 185))  # the author, and 184 others
            try:
                self.broadcast(lab)
            finally:
                lab.down()
        for name in ("sessions", "start"):
            if not names or name in names:
                lab = Lab(os.path.join(self.folder, name), self.build)
                try:
                    getattr(self, name)(lab)
                finally:
                    lab.down()
                    lab.remove()

    @staticmethod
    def processor_us(pids):
        """{name: processor time of the process since it began}: other load on the machine hardly disturbs it."""
        tick_us = 1e6 / os.sysconf("SC_CLK_TCK")
        spent = {}
        for name, pid in pids.items():
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                words = f.read().rpartition(")")[2].split()
            spent[name] = (int(words[11]) + int(words[12])) * tick_us
        return spent

    @staticmethod
    def roles(lab):
        """{"gb_post": pid, ...} of the pair, and the proxy between the two, which is the lab's, not citex's."""
        pids = {f"{n}_{r}".replace(" ", "_"): p for n in ("gb", "ke") for r, p in lab.children(n).items()}
        with open(lab.path("proxy.pid"), encoding="ascii") as f:
            pids["proxy"] = int(f.read())
        return pids

    def throughput(self, lab):
        count = 2000 if self.quick else 10000
        pids = self.roles(lab)
        before = self.processor_us(pids)
        r = self.load(lab, "gb.ma", "ke.ma", count, 512, 700)
        after = self.processor_us(pids)
        for name in sorted(pids):
            self.say(f"processor_us_{name}", (after[name] - before[name]) / count, "us")
        self.say("processor_us_citex", sum(after[n] - before[n] for n in pids if n != "proxy") / count, "us")
        # sign, verify, and the three signatures that a batch shares
        floor_us = self.limits["ecdsa_sign"] + self.limits["ecdsa_verify"]
        self.say("messages_per_second", r["per_second"], "1/s", r["per_second"] * floor_us / 2e6,
                 "2 cores that only sign and verify each message")

    def latency(self, lab):
        r = self.load(lab, "gb.ma", "ke.ma", 100 if self.quick else 500, 1, 700)
        self.say("latency_p50", r["p50_ms"], "ms", r["p50_ms"] * 1000 / self.limits["fdatasync_4k"], "fdatasync")
        self.say("latency_p99", r["p99_ms"], "ms", r["p99_ms"] * 1000 / self.limits["fdatasync_4k"], "fdatasync")

    def wire(self, lab):
        def carried():
            return sum(lab.order(do="bytes")["bytes"].values())
        self.load(lab, "gb.ma", "ke.ma", 1, 1, 500)
        time.sleep(1)
        before, count = carried(), 10
        for _ in range(count):
            self.load(lab, "gb.ma", "ke.ma", 1, 1, 500)
        time.sleep(1)
        self.say("wire_bytes_query", (carried() - before) / count, "bytes")

    @staticmethod
    def anonymous_kib(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            rows = dict(line.split(":", 1) for line in f)
        return int(rows["RssAnon"].split()[0]), int(rows["VmRSS"].split()[0])

    def memory(self, lab):
        for node in ("gb", "ke"):
            for role, pid in sorted(lab.children(node).items()):
                self.say(f"memory_{node}_{role.replace(' ', '_')}", self.anonymous_kib(pid)[0] / 1024, "MiB")

    def attachment(self, lab):
        size = (10 if self.quick else 100) * 1_000_000
        path = lab.path("large.bin")
        with open(path, "wb") as f:
            for _ in range(size // 1_000_000):
                f.write(os.urandom(1_000_000))
        pids = self.roles(lab)
        del pids["proxy"]
        peaks, stop = dict.fromkeys(pids, 0), threading.Event()

        def watch():
            while not stop.is_set():
                for name, pid in pids.items():
                    peaks[name] = max(peaks[name], self.anonymous_kib(pid)[0])
                time.sleep(0.02)
        watcher = threading.Thread(target=watch)
        watcher.start()
        begin = time.monotonic()
        query = lab.json("gb.ma", "ask", "ke.ma", "--permit-number", "1", "--reason", "routine", "--text", "x",
                         "--attach", path)["id"]
        wait_until("the attachment is there", 300, lambda: lab.json("gb.ma", "track", query)["addressees"][0]["state"]
                   in ("opened", "seen"))
        took = time.monotonic() - begin
        stop.set()
        watcher.join()
        self.say("attachment_rate", size / 1e6 / took, "MB/s")
        for name, kib in sorted(peaks.items()):
            self.say(f"attachment_peak_{name}", kib / 1024, "MiB")

    def broadcast(self, lab):
        everybody = [a for x in lab.data["nodes"].values() for a in x["authorities"]]
        author = everybody[1]
        others = ",".join(a for a in everybody if a not in (author, "secretariat"))
        self.load(lab, author, others, 1, 1, 600)  # sessions stand
        r = self.load(lab, author, others, 5, 1, 600)
        count = len(others.split(","))
        floor_us = count * (self.limits["ecdsa_verify"] + self.limits["ecdsa_sign"])
        self.say(f"broadcast_{count}", r["p50_ms"] / 1000, "s", r["p50_ms"] * 1000 / (floor_us / 2),
                 "2 cores that only verify and sign once for each")

    def sessions(self, lab):
        """Idle sessions, each of another node, and what the post keeps in memory for them."""
        from hostile import HELLO, KEEP_ALIVE, Peer, frame  # needs python3-cryptography, the others don't
        count = 50 if self.quick else 1000
        lab.create({"secretariat": STORY["secretariat"]})
        home = lab.path("parties", "secretariat")
        secret = ("--passphrase-file", lab.passphrase)
        names = [f"n{i}" for i in range(count)]
        for name in names:
            card = os.path.join(home, f"{name}.card")
            lab.pki("node", home, name, "--via", "secretariat", *secret)
            lab.pki("card", home, "--node", name, "-o", card, *secret)
            lab.pki("directory", "add", lab.path("publisher"), card)
        lab.publish({})
        lab.configure("secretariat")
        self.set_log_level(lab, "secretariat", "warning")
        lab.start("secretariat")
        post = lab.pid_of("secretariat", "post")
        peers = []

        def join(name):
            peer = Peer(lab, name, "secretariat", keys=os.path.join(home, "nodes", name))
            peer.hello(name)
            while HELLO not in [kind for kind, _ in peer.frames(0.05)]:
                pass
            peers.append(peer)
        join(names[0])
        before = self.anonymous_kib(post)[0]
        for i, name in enumerate(names[1:]):
            join(name)
            if i % 100 == 0:
                for peer in peers:
                    peer.send(frame(KEEP_ALIVE, b""))
        time.sleep(1)
        for peer in peers:  # each stands to the end
            peer.send(frame(KEEP_ALIVE, b""))
        self.say("idle_session", (self.anonymous_kib(post)[0] - before) / (count - 1), "KiB")
        for peer in peers:
            peer.close()

    def start(self, lab):
        """From the start of a node to `ready', with much in its queue."""
        count = 10_000 if self.quick else 1_000_000
        lab.create(PAIR)
        self.set_log_level(lab, "gb", "info")
        subprocess.run([os.path.join(self.build, "tests/bench/fill"), lab.path("gb", "state"), str(count),
                        "ke", "gb.ma", "ke.ma"], check=True)
        begin = time.monotonic()
        lab.start("gb", wait=False)
        wait_until("the node is ready", 600, lambda: ": ready processes=" in lab.log("gb"))
        self.say(f"start_{count}_queued", time.monotonic() - begin, "s")
        self.say("start_memory_post", self.anonymous_kib(lab.pid_of("gb", "post"))[0] / 1024, "MiB")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*")
    p.add_argument("--build", default="build")
    p.add_argument("--json", action="store_true")
    p.add_argument("--quick", action="store_true")
    a = p.parse_args()
    b = Bench(os.path.abspath(a.build), a.quick)
    try:
        b.run(a.names)
    finally:
        shutil.rmtree(b.folder, ignore_errors=True)
    if a.json:
        print(json.dumps({"figures": b.figures}, indent=1))
        return
    for f in b.figures:
        ratio = "-" if f["ratio"] is None else f"{f['ratio']:g} ({f['of']})"
        print(f"{f['name']} {f['value']:g} {f['unit']} {ratio}")


if __name__ == "__main__":
    main()
