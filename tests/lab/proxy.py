# SPDX-License-Identifier: Apache-2.0
"""The lab's links: a small TCP proxy in front of each node that listens.

It knows which node a connection comes from by asking the kernel who owns the
other end, so that a node can be cut off whole: what it dials and what dials it.
Controlled by one JSON object a line on a Unix socket:
  {"do": "cut", "node": N, "reset": bool}   swallow (or close) all of N's bytes
  {"do": "heal", "node": N}
  {"do": "front", "node": N, "front": port, "port": port}   one more node that listens
  {"do": "shape", "node": N, "rate": bytes/s or 0, "delay": seconds}
  {"do": "bytes"}                            -> bytes carried, by "FROM>TO"
"""
import asyncio
import json
import os
import sys
import time


def owner_of(port, pids):
    """The node one of whose processes holds the socket with local PORT."""
    inode = None
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            words = line.split()
            if int(words[1].split(":")[1], 16) == port and words[3] == "01":
                inode = words[9]
    if inode is None:
        return "?"
    wanted = f"socket:[{inode}]"
    for node, supervisor in pids().items():
        for pid in family(supervisor):
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == wanted:
                        return node
            except OSError:
                continue
    return "?"


def family(pid):
    """PID and its children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [pid] + [int(p) for p in f.read().split()]
    except OSError:
        return [pid]


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy, source, target, streams):
        self.proxy, self.source, self.target = proxy, source, target
        self.streams = streams  # (reader, writer) of the client and of the node
        self.lost = False

    def ends(self):
        return (self.source, self.target)

    def close(self):
        for _, writer in self.streams:
            writer.transport.abort()

    async def carry(self, reader, writer, way):
        while data := await reader.read(65536):
            shape = self.proxy.shape_of(self.ends())
            if shape["delay"] > 0:
                await asyncio.sleep(shape["delay"])
            if shape["rate"] > 0:
                await asyncio.sleep(len(data) / shape["rate"])
            if self.proxy.is_cut(self.ends()):
                self.lost = True  # what was swallowed can't be made good: heal() resets this link
                continue
            writer.write(data)
            await writer.drain()
            self.proxy.carried[way] = self.proxy.carried.get(way, 0) + len(data)

    async def run(self):
        (client_in, client_out), (node_in, node_out) = self.streams
        ways = [
            asyncio.ensure_future(self.carry(client_in, node_out, f"{self.source}>{self.target}")),
            asyncio.ensure_future(self.carry(node_in, client_out, f"{self.target}>{self.source}")),
        ]
        _, waiting = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # one side closed: let what is on its way arrive, then close both
        await asyncio.sleep(0.05)
        for way in waiting:
            way.cancel()
        for way in ways:
            try:
                await way
            except (asyncio.CancelledError, OSError):
                pass
        self.close()


class Proxy:
    def __init__(self, folder):
        self.folder = folder
        self.cuts, self.shapes, self.links, self.carried = {}, {}, set(), {}

    def pids(self):
        pids = {}
        for node in os.listdir(self.folder):
            try:
                with open(os.path.join(self.folder, node, "pid"), encoding="ascii") as f:
                    pids[node] = int(f.read())
            except (OSError, ValueError):
                continue
        return pids

    def is_cut(self, ends):
        return any(node in self.cuts for node in ends)

    def shape_of(self, ends):
        shapes = [self.shapes[node] for node in ends if node in self.shapes]
        return shapes[0] if shapes else {"rate": 0, "delay": 0}

    async def accept(self, target, port, reader, writer):
        source = owner_of(writer.get_extra_info("peername")[1], self.pids)
        ends = (source, target)
        if self.is_cut(ends) and any(self.cuts.get(node) for node in ends):
            writer.transport.abort()
            return
        try:
            node = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, source, target, ((reader, writer), node))
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)

    def handle(self, order):
        node = order.get("node")
        if order["do"] == "cut":
            self.cuts[node] = order.get("reset", False)
            for link in [x for x in self.links if node in x.ends()] if order.get("reset") else []:
                link.close()
        elif order["do"] == "heal":
            self.cuts.pop(node, None)
            for link in [x for x in self.links if x.lost and not self.is_cut(x.ends())]:
                link.close()
        elif order["do"] == "front":
            asyncio.ensure_future(self.front(node, order["front"], order["port"]))
        elif order["do"] == "shape":
            self.shapes[node] = {"rate": order.get("rate", 0), "delay": order.get("delay", 0)}
        return {"ok": True, "bytes": self.carried, "links": [x.ends() for x in self.links]}

    async def control(self, reader, writer):
        while line := await reader.readline():
            writer.write(json.dumps(self.handle(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def front(self, node, front, port):
        async def accept(reader, writer):
            try:
                await self.accept(node, port, reader, writer)
            except OSError:
                writer.transport.abort()
        await asyncio.start_server(accept, "127.0.0.1", front)

    async def serve(self, fronts):
        for node, (front, port) in fronts.items():
            await self.front(node, front, port)
        server = await asyncio.start_unix_server(self.control, os.path.join(self.folder, "proxy.sock"))
        await server.serve_forever()


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "lab.json"), encoding="utf-8") as f:
        lab = json.load(f)
    fronts = {n: (x["front"], x["port"]) for n, x in lab["nodes"].items() if x.get("port")}
    deadline = time.monotonic() + 24 * 3600  # a forgotten lab does not live for ever

    async def bounded():
        await asyncio.wait_for(Proxy(folder).serve(fronts), deadline - time.monotonic())

    asyncio.run(bounded())


if __name__ == "__main__":
    main()
