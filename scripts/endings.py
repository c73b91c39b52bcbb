"""Ends one of two nodes in every way there is, and counts what is lost. Started by endings.sh."""

import http.client
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time

PROGRAM, ROUNDS, KEYS, ONLY = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
PATIENCE_S = 120
CLIENTS = 16
# Requests that are sent ahead of their answers.
AHEAD = 50


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment():
    names = ("PORT", "SHARD_LIMIT", "UPLINK_NODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SMACHE_") and k not in names}
    return {**kept, "SMACHE_MEMORY": "64MiB"}


class Node:
    """A node in a process of its own; `before` are the words in front of the program."""

    def __init__(self, name, join, before=(), **how):
        # Another process may have taken a port that was free a moment ago.
        for _ in range(3):
            self.start(name, join, before, how)
            wait("a node is ready", lambda: self.has_ended() or self.ask("GET", "/readyz")[0] == 200)
            if not self.has_ended():
                return
        raise SystemExit(f"a node does not start: {self.process.args}")

    def start(self, name, join, before, how):
        self.http, self.cluster = free_port(), free_port()
        command = [*before, PROGRAM, "serve", "--node", name, "--demo"]
        command += ["--http", f"127.0.0.1:{self.http}", "--cluster", f"127.0.0.1:{self.cluster}"]
        command += ["--join", f"127.0.0.1:{join or self.cluster}"]
        how = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **how}
        self.process = subprocess.Popen(command, env=environment(), **how)

    def has_ended(self):
        return self.process.poll() is not None

    def ask(self, method, path, body=None):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""

    def entries(self):
        status, body = self.ask("GET", "/status")
        return sum(shard["entries"] for shard in json.loads(body)["shards"]) if status == 200 else -1


def wait(what, is_so):
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if deadline < time.monotonic():
            raise SystemExit(f"it never came true: {what}")
        time.sleep(0.01)


def each_key(node, request, is_right):
    """Sends the request of each key, and returns for how many the answer is right.

    Requests are sent ahead, as one after the other would take most of the time there is.
    """
    counts = [0] * CLIENTS

    def work(client):
        with socket.create_connection(("127.0.0.1", node.http), timeout=30) as stream:
            answers = stream.makefile("rb")
            keys = range(client, KEYS, CLIENTS)
            for first in range(0, len(keys), AHEAD):
                chunk = keys[first : first + AHEAD]
                stream.sendall(b"".join(request(key) for key in chunk))
                for key in chunk:
                    counts[client] += is_right(key, *read_answer(answers))

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return sum(counts)


def read_answer(answers):
    status, length = int(answers.readline().split()[1]), 0
    while (line := answers.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return status, answers.read(length)


def put(key):
    body = b'{"key":"k%d","data":{"n":%d}}' % (key, key)
    head = b"POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def get(key):
    return b"GET /api?key=k%d HTTP/1.1\r\nhost: localhost\r\n\r\n" % key


def is_stored(_key, status, _body):
    return status == 200


def is_there(key, status, body):
    return status == 200 and json.loads(body)["data"] == {"n": key}


def signals(*steps):
    """Sends signals to the node, with pauses in seconds between them."""

    def end(node):
        for step in steps:
            if isinstance(step, signal.Signals):
                if node.process.poll() is None:
                    node.process.send_signal(step)
            else:
                time.sleep(step)

    return {"end": end}


def asked(node):
    assert node.ask("POST", "/drain")[0] == 202


def in_terminal(node_name, join):
    """A node in a terminal of its own, as its foreground process and leader."""
    ours, theirs = pty.openpty()
    # It is no leader of a group yet, so that `setsid` becomes the node.
    how = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    node = Node(node_name, join, before=("setsid", "--ctty"), **how)
    os.close(theirs)
    node.terminal, node.is_closing = ours, threading.Event()
    node.reader = threading.Thread(target=read_terminal, args=(node,))
    node.reader.start()
    return node


def read_terminal(node):
    """What nobody reads of a terminal holds up who writes."""
    while not node.is_closing.is_set():
        if select.select([node.terminal], [], [], 0.05)[0]:
            os.read(node.terminal, 65536)


def close_terminal(node):
    node.is_closing.set()
    node.reader.join()
    os.close(node.terminal)


def by_timeout(node_name, join):
    """A node that `timeout` ends after some seconds: it tells the node and then the whole group."""
    return Node(node_name, join, before=("timeout", "--preserve-status", "30"), start_new_session=True)


def end_timeout(node):
    node.process.send_signal(signal.SIGTERM)


TERM, INT, QUIT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP
WAYS = {
    "TERM": signals(TERM),
    "INT": signals(INT),
    "QUIT": signals(QUIT),
    "TERM TERM at once": signals(TERM, TERM),
    "TERM TERM after 1 ms": signals(TERM, 0.001, TERM),
    "TERM INT after 10 ms": signals(TERM, 0.01, INT),
    "TERM TERM after 100 ms": signals(TERM, 0.1, TERM),
    "TERM TERM after 500 ms": signals(TERM, 0.5, TERM),
    "TERM TERM after 2 s": signals(TERM, 2.0, TERM),
    "TERM HUP HUP over 2 s": signals(TERM, 1.0, HUP, 1.0, HUP),
    "HUP, then TERM": signals(HUP, 0.2, TERM),
    "USR1 USR2 PIPE, then TERM": signals(signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, 0.1, TERM),
    "POST /drain": {"end": asked},
    "terminal closed": {"start": in_terminal, "end": close_terminal},
    "timeout": {"start": by_timeout, "end": end_timeout},
}


def round_of(way, stays):
    """Has a node join the one that stays, take its half over, and end; returns what is lost then."""
    goes = WAYS[way].get("start", Node)("goes@test", stays.cluster)
    try:
        has_its_half = lambda: KEYS // 3 < goes.entries() and in_all() == KEYS
        in_all = lambda: goes.entries() + stays.entries()
        wait("its half of the keys is there", has_its_half)
        had = goes.entries()
        WAYS[way]["end"](goes)
        code = goes.process.wait(PATIENCE_S)
        return had, KEYS - stays.entries(), code
    finally:
        goes.process.kill()
        goes.process.wait()


def rounds_of(way):
    """All rounds of one way, and the keys whose values are not read afterwards."""
    stays = Node("stays@test", None)
    try:
        rounds = []
        for _ in range(ROUNDS):
            if stays.entries() != KEYS:
                wait("all keys are stored", lambda: each_key(stays, put, is_stored) == KEYS)
            rounds.append(round_of(way, stays))
        had, lost, codes = (list(column) for column in zip(*rounds))
        unread = KEYS - each_key(stays, get, is_there)
        return sum(had), max(sum(lost), unread), codes
    finally:
        stays.process.kill()
        stays.process.wait()


def main():
    print(f"{'way':28}{'rounds':>8}{'keys of it':>12}{'lost':>8}   exit codes")
    total = 0
    for way in (way for way in WAYS if not ONLY or way in ONLY):
        had, lost, codes = rounds_of(way)
        total += lost
        shown = ", ".join(f"{code} ({codes.count(code)} times)" for code in sorted(set(codes)))
        print(f"{way:28}{len(codes):>8}{had:>12}{lost:>8}   {shown}", flush=True)
    raise SystemExit(1 if total else 0)


main()
