"""Measures the native API on real nodes. Started by bench.api.sh."""

import contextlib
import glob
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM, ROWS = sys.argv[1], sys.argv[2:]
SECONDS = float(os.environ.get("SECONDS_EACH", "5"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
KEYS = int(os.environ.get("KEYS", "1000000"))
PATIENCE_S = 120
CLIENTS = 64
QUOTA = 16 << 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment():
    names = ("PORT", "SHARD_LIMIT", "UPLINK_NODE")
    return {k: v for k, v in os.environ.items() if not k.startswith("SMACHE_") and k not in names}


class Node:
    """A node in a process of its own."""

    def __init__(self, name, join=None, memory="256MiB", alone=False):
        self.name, self.http, self.cluster = name, free_port(), free_port()
        command = [PROGRAM, "serve", "--node", name, "--demo", "--memory", memory]
        command += ["--http", f"127.0.0.1:{self.http}", "--log", "error"]
        if not alone:
            command += ["--cluster", f"127.0.0.1:{self.cluster}"]
            command += ["--join", f"127.0.0.1:{join or self.cluster}"]
        self.process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL)
        wait(f"{name} is ready", self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} does not start")
        with contextlib.suppress(OSError):
            return ask(self, "GET", "/readyz")[0] == 200
        return False

    def cpu_ns(self):
        """Processor time of all threads, as the scheduler has counted it."""
        total = 0
        for file in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(open(file).read().split()[0])
        return total

    def rss_kib(self):
        text = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def drain(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE_S) != 0:
            raise SystemExit(f"{self.name} did not hand everything over")


def connect(node):
    connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(connection, method, path, body=None, headers={}):
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def ask(node, method, path, body=None, headers={}):
    connection = connect(node)
    try:
        return request(connection, method, path, body, headers)
    finally:
        connection.close()


def wait(what, is_so):
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if deadline < time.monotonic():
            raise SystemExit(f"it never came true: {what}")
        time.sleep(0.02)


def settled(nodes):
    """Whether these nodes are a cluster in which nothing moves."""
    for node in nodes:
        cluster = json.loads(ask(node, "GET", "/status")[1])["cluster"]
        alive = [m for m in cluster["members"] if m["state"] == "alive" and m["slots"]]
        if len(alive) != len(nodes) or cluster["moving"]:
            return False
    return True


@contextlib.contextmanager
def running(*names, **how):
    nodes = []
    try:
        for name in names:
            nodes.append(Node(name, nodes[0].cluster if nodes else None, **how))
        if len(nodes) > 1:
            wait("the nodes are a cluster", lambda: settled(nodes))
        yield nodes
    finally:
        for node in nodes:
            node.process.kill()
            node.process.wait()


def say(row, text):
    print(f"{row:<6} {text}", flush=True)


def in_threads(count, work):
    failures = []

    def guarded(n):
        try:
            work(n)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if failures:
        raise failures[0]


def batch(connection, namespace, operations):
    status, body, _ = request(connection, "POST", f"/v1/{namespace}", json.dumps(operations))
    answers = json.loads(body)
    if status != 200 or len(answers) != len(operations):
        raise SystemExit(f"a batch was answered {status}: {body[:200]}")
    return answers


def fill(node, namespace, count, value_of, size=1_000):
    connection = connect(node)
    for first in range(0, count, size):
        keys = range(first, min(first + size, count))
        puts = [{"op": "put", "key": f"k{n}", "value": value_of(n)} for n in keys]
        wrong = [a for a in batch(connection, namespace, puts) if a["status"] not in (201, 204)]
        if wrong:
            raise SystemExit(f"a put was answered {wrong[0]}")


def cas():
    with running("a", "b") as nodes:
        request_counts, done, refused = [0], [0], [0]
        lock, end = threading.Lock(), [0.0]

        def swap(n):
            connection, mine, lost = connect(nodes[n % 2]), 0, 0
            while time.monotonic() < end[0]:
                status, body, headers = request(connection, "GET", "/v1/c/cas")
                number = int(body) if status == 200 else 0
                condition = {"if-match": headers["etag"]} if status == 200 else {"if-none-match": "*"}
                status, body, _ = request(connection, "PUT", "/v1/c/cas", str(number + 1), condition)
                if status not in (201, 204, 412):
                    raise SystemExit(f"a swap was answered {status}: {body}")
                mine, lost = mine + (status != 412), lost + (status == 412)
            with lock:
                done[0] += mine
                refused[0] += lost

        def increment(n):
            connection, mine = connect(nodes[n % 2]), 0
            while time.monotonic() < end[0]:
                status, body, _ = request(connection, "POST", "/v1/c/incr?op=incr")
                if status != 200:
                    raise SystemExit(f"an increment was answered {status}: {body}")
                mine += 1
            with lock:
                request_counts[0] += mine

        end[0] = time.monotonic() + SECONDS
        in_threads(CLIENTS, swap)
        end[0] = time.monotonic() + SECONDS
        in_threads(CLIENTS, increment)
        found = int(ask(nodes[0], "GET", "/v1/c/cas")[1])
        counted = int(ask(nodes[1], "GET", "/v1/c/incr")[1])
        rates = done[0] / SECONDS, request_counts[0] / SECONDS
        say("cas", f"{rates[0]:.0f} swaps/s, {refused[0]} refused; value {found}, acknowledged {done[0]}")
        say("cas", f"{rates[1]:.0f} increments/s, {rates[1] / max(rates[0], 0.1):.1f} times as many; "
                   f"value {counted}, acknowledged {request_counts[0]}")
        if found != done[0] or counted != request_counts[0]:
            raise SystemExit("a counter is not what was acknowledged")


def batches():
    with running("a", "b") as nodes:
        fill(nodes[0], "b", 1_000, lambda n: {"n": n})
        gets = json.dumps([{"op": "get", "key": f"k{n}"} for n in range(1_000)])
        with tempfile.TemporaryDirectory() as scratch:
            script = os.path.join(scratch, "batch.lua")
            body = gets.replace("\\", "\\\\").replace("'", "\\'")
            open(script, "w").write(f"wrk.method='POST'\nwrk.body='{body}'\n")
            single = os.path.join(scratch, "single.lua")
            open(single, "w").write(
                "math.randomseed(os.time())\n"
                "request = function() return wrk.format('GET', '/v1/b/k' .. math.random(0, 999)) end\n")
            rates = {}
            for name, lua, keys in (("single", single, 1), ("batch", script, 1_000)):
                before = sum(node.cpu_ns() for node in nodes)
                asked = wrk(nodes[0], "/v1/b", lua)
                cpu = (sum(node.cpu_ns() for node in nodes) - before) / (asked["requests"] * keys)
                rates[name] = asked["rate"] * keys
                say("batch", f"{name}: {rates[name]:.0f} keys/s, {cpu / 1000:.2f} us of CPU a key")
        say("batch", f"{rates['batch'] / rates['single']:.1f} times as many keys a second")


def wrk(node, path, script=None, connections=8):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(int(SECONDS), 1)}s"]
    command += ["-s", script] if script else []
    output = subprocess.run([*command, f"http://127.0.0.1:{node.http}{path}"], check=True,
                            capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    return {"requests": int(re.search(r"(\d+) requests in", output)[1]),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])}


def puts():
    with running("a", alone=True) as [node]:
        values = [{"op": "put", "key": f"k{n}", "value": "x" * 1_024} for n in range(10_000)]
        # What a first connection takes is not what is asked here.
        ask(node, "GET", "/status")
        before, most, is_over = node.rss_kib(), [0], threading.Event()

        def watch():
            while not is_over.wait(0.001):
                most[0] = max(most[0], node.rss_kib())

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        answers = batch(connect(node), "p", values)
        took = time.monotonic() - began
        is_over.set()
        watcher.join()
        stored = sum(answer["status"] == 201 for answer in answers)
        grown = (max(most[0], node.rss_kib()) - before) / 1024
        say("puts", f"{stored} of 10000 stored in {took:.2f} s; grown by {grown:.1f} MiB, values among it")


def listing():
    with running("a", "b", memory="512MiB") as nodes:
        third = Node("c", nodes[0].cluster, memory="512MiB")
        nodes.append(third)
        wait("three nodes are a cluster", lambda: settled(nodes))
        fill(nodes[0], "l", KEYS, lambda n: n, 10_000)
        found, pages, cursor, done = set(), 0, "", []

        def change():
            nodes.append(Node("d", nodes[0].cluster, memory="512MiB"))
            wait("four nodes are a cluster", lambda: settled(nodes))
            third.drain()
            nodes.remove(third)
            done.append(True)

        changing = threading.Thread(target=change)
        changing.start()
        began = time.monotonic()
        connection = connect(nodes[0])
        while cursor is not None:
            path = f"/v1/l?limit=10000{cursor}"
            status, body, _ = request(connection, "GET", path)
            if status != 200:
                raise SystemExit(f"a page was answered {status}: {body[:200]}")
            page = json.loads(body)
            found.update(page["keys"])
            pages += 1
            cursor = f"&cursor={page['cursor']}" if "cursor" in page else None
        took = time.monotonic() - began
        changing.join()
        missed = sum(f"k{n}" not in found for n in range(KEYS))
        say("list", f"{KEYS} keys in {pages} pages and {took:.1f} s while one joined and one drained: "
                    f"{missed} missed")
        if missed or not done:
            raise SystemExit("a key that stayed was missed, or nothing changed")


def quota():
    with running("a", alone=True, memory="128MiB") as [node]:
        if ask(node, "PUT", "/v1/tight", json.dumps({"memory": QUOTA}))[0] != 201:
            raise SystemExit("the policy was not taken")
        fill(node, "other", 30_000, lambda n: "y" * 1_024)
        began, written = time.monotonic(), [0] * 8

        def write(n):
            connection, at = connect(node), 0
            while time.monotonic() < began + SECONDS:
                size = (100, 1_000, 5_000, 300)[at % 4]
                keys = (f"w{n}-{(at * 100 + i) % (20_000 if n % 2 else 10 ** 9)}" for i in range(100))
                batch(connection, "tight", [{"op": "put", "key": k, "value": "x" * size} for k in keys])
                at, written[n] = at + 1, written[n] + 100

        in_threads(8, write)
        tight, other = (json.loads(ask(node, "GET", f"/v1/{name}?stats")[1]) for name in ("tight", "other"))
        off = 100 * (tight["bytes"] - QUOTA) / QUOTA
        say("quota", f"{sum(written)} writes: {tight['bytes']} bytes of {QUOTA} ({off:+.1f} %), "
                     f"{tight['evictions']} of its own evicted, {other['evictions']} of others")
        if other["evictions"] or other["entries"] != 30_000 or abs(off) > 5:
            raise SystemExit("the quota does not hold, or others were concerned")


def get():
    with running("a", alone=True) as [node]:
        ask(node, "POST", "/api", json.dumps({"key": "k", "data": {"n": 1}}))
        costs = {"/api?key=k": [], "/v1/default/k": []}
        for _ in range(ROUNDS):
            for path, of in costs.items():
                before = node.cpu_ns()
                asked = wrk(node, path)
                of.append((node.cpu_ns() - before) / asked["requests"] / 1000)
        api, v1 = (statistics.median(of) for of in costs.values())
        say("get", f"/api {api:.2f} us of CPU, /v1 {v1:.2f} us: {v1 / api:.2f} times")


ALL = {"cas": cas, "batch": batches, "puts": puts, "list": listing, "quota": quota, "get": get}
if unknown := [row for row in ROWS if row not in ALL]:
    raise SystemExit(f"{unknown[0]} is unknown; allowed: {', '.join(ALL)}")
for row in ROWS or ALL:
    ALL[row]()
