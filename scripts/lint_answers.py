"""Asks nodes for every kind of answer and shows each to httplint. See httplint.sh."""

import contextlib
import os
import socket
import subprocess
import sys
import time

from httplint import HttpRequestLinter, HttpResponseLinter, levels

PATIENCE_S = 20
TOKEN = "hush"
OBJECT = '{"key":"a","data":{"color":"blue","sizes":[{"n":1,"new":true}]}}'
JSON = {"content-type": "application/json"}
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
OTHER = '"0000000000000000"'
LONG = "x" * 2_000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def node(program, *flags, token=None):
    """A node in a process of its own, and its port."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMACHE_")}
    if token:
        environment["SMACHE_TOKEN"] = token
    command = [program, "serve", "--http", f"127.0.0.1:{port}", "--log", "error", *flags]
    process = subprocess.Popen(command, env=environment)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def exchange(port, method, target, headers, body):
    """The bytes of one answer."""
    fields = {"host": f"127.0.0.1:{port}", "connection": "close", **headers}
    if body:
        fields["content-length"] = str(len(body))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items())
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall((head + "\r\n" + body).encode())
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return fields, answer


def notes_of(note):
    yield note
    for child in note.subnotes:
        yield from notes_of(child)


def lint(port, method, target, headers, body):
    """The status of an answer, its fields, and what httplint says against it."""
    sent, answer = exchange(port, method, target, headers, body)
    head, _, content = answer.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    version, status, phrase = line.split(b" ", 2)
    fields = [tuple(part.strip() for part in field.split(b":", 1)) for field in lines]

    request = HttpRequestLinter()
    request.process_request_topline(method.encode(), f"http://127.0.0.1:{port}{target}".encode(), b"1.1")
    request.process_headers([(n.encode(), v.encode()) for n, v in sent.items()])
    request.feed_content(body.encode())
    request.finish_content(True)
    response = HttpResponseLinter(start_time=time.time())
    response.request = request
    response.is_head_response = method == "HEAD"
    response.process_response_topline(version.removeprefix(b"HTTP/"), status, phrase)
    response.process_headers(fields)
    response.feed_content(content)
    response.finish_content(True)

    all_notes = [note for top in response.notes for note in notes_of(top)]
    against = [note for note in all_notes if note.level in (levels.WARN, levels.BAD)]
    return int(status), {n.decode().lower(): v.decode() for n, v in fields}, against


class Report:
    def __init__(self):
        self.faults = 0
        self.seen = {}

    def ask(self, port, status, method, target, headers=None, body=""):
        found, fields, against = lint(port, method, target, headers or {}, body)
        self.seen[found] = self.seen.get(found, 0) + 1
        what = f"{method} {target[:60]} {headers or ''}"
        if found != status:
            self.fault(f"{what}: {found} and not {status}")
        if "cache-control" not in fields:
            self.fault(f"{what}: {found} does not say how it may be kept")
        for note in against:
            # It is said of each and every 400.
            if found == 400 and type(note).__name__ == "STATUS_BAD_REQUEST":
                continue
            self.fault(f"{what}: {found}: {note.level.name}: {note} [{note.subject}]")
        return fields

    def fault(self, text):
        self.faults += 1
        print(text)


def smache(report, port):
    """`/api` and `/api/cmd`."""
    ask = report.ask
    ask(port, 200, "GET", "/api?key=absent")
    ask(port, 200, "POST", "/api", JSON, OBJECT)
    ask(port, 200, "PUT", "/api", JSON, OBJECT)
    ask(port, 200, "POST", "/api", JSON, '{"data":{"color":"red"}}')
    for method in ("GET", "HEAD"):
        ask(port, 200, method, "/api?key=a")
        ask(port, 200, method, "/api?id=1")
        ask(port, 405, method, "/api")
        ask(port, 400, method, "/api?kye=a")
        ask(port, 501, method, "/api?key=a", {"if-none-match": OTHER})
    ask(port, 200, "GET", "/api/cmd?key=a&cmd[query]=ONLY&cmd[keys][]=color".replace("[", "%5B").replace("]", "%5D"))
    ask(port, 200, "POST", "/api/cmd", JSON,
        '{"key":"a","cmd":{"query":"FILTER_BOOL","keys":{"key":"sizes","by":"new"}}}')
    ask(port, 400, "POST", "/api", JSON, '{"kye":"a","data":{}}')
    ask(port, 405, "POST", "/api", JSON, '{"key":null,"data":{}}')
    ask(port, 413, "POST", "/api", JSON, f'{{"key":"a","data":{{"x":"{LONG}"}}}}')
    ask(port, 405, "PATCH", "/api")
    ask(port, 405, "DELETE", "/api/cmd")
    ask(port, 501, "DELETE", "/api?key=a", {"if-match": OTHER})
    ask(port, 200, "DELETE", "/api?key=a")


def native(report, port):
    """`/v1`."""
    ask = report.ask
    key = "/v1/site/main.css"
    css = {"content-type": "text/css"}
    for query in ("", "?ttl=30s"):
        ask(port, 201, "PUT", key + query, css, "a { color: red }")
        etag = ask(port, 204, "PUT", key + query, css, "a { color: blue }")["etag"]
        for method in ("GET", "HEAD"):
            modified = ask(port, 200, method, key)["last-modified"]
            ask(port, 200, method, key, {"if-match": etag})
            ask(port, 200, method, key, {"if-none-match": OTHER})
            ask(port, 412, method, key, {"if-match": OTHER})
            ask(port, 412, method, key, {"if-unmodified-since": DATE})
            ask(port, 304, method, key, {"if-none-match": f"{OTHER}, {etag}"})
            ask(port, 304, method, key, {"if-modified-since": modified})
            ask(port, 400, method, key + "?fresh")
            ask(port, 400, method, key, {"if-match": "nope"})
            ask(port, 404, method, "/v1/site/absent")
        ask(port, 206, "GET", key, {"range": "bytes=0-3"})
        ask(port, 206, "GET", key, {"range": "bytes=-3", "if-range": etag})
        ask(port, 200, "GET", key, {"range": "bytes=0-3", "if-range": OTHER})
        ask(port, 416, "GET", key, {"range": "bytes=99-"})
        ask(port, 204, "DELETE", key)
    ask(port, 404, "DELETE", key)
    ask(port, 201, "PUT", "/v1/default/bytes", {}, "\u00ff\u00fe")
    ask(port, 200, "GET", "/v1/default/bytes")
    ask(port, 201, "PUT", "/v1/default/empty")
    ask(port, 200, "GET", "/v1/default/empty")
    ask(port, 201, "PUT", "/v1/default/json", JSON, "[1,2.50]")
    ask(port, 200, "GET", "/v1/default/json")
    ask(port, 413, "PUT", key, css, LONG)
    ask(port, 400, "PUT", key, {"cache-control": "max-age=5m"}, "x")
    ask(port, 501, "PUT", key, {"if-match": OTHER}, "x")
    ask(port, 405, "POST", key, {}, "x")
    ask(port, 400, "PUT", "/v1/../x", {}, "x")
    ask(port, 400, "PUT", "/v1/site/%zz", {}, "x")
    ask(port, 200, "DELETE", "/v1/site?key=a&key=b")


def operations(report, port):
    """Health, status, metrics, supervision."""
    ask = report.ask
    for path in ("/", "/healthcheck", "/livez", "/readyz", "/status", "/supervision", "/metrics",
                 "/explain?key=a"):
        ask(port, 200, "GET", path)
        ask(port, 200, "HEAD", path)
        ask(port, 405, "POST", path)
    ask(port, 400, "GET", "/status?pretty")
    ask(port, 404, "GET", "/nowhere")
    ask(port, 403, "GET", "/status", {"origin": "https://evil.example"})
    ask(port, 202, "POST", "/supervision/shard-0/crash")
    ask(port, 404, "POST", "/supervision/shard-99/crash")
    ask(port, 405, "GET", "/supervision/shard-0/crash")


def main(program):
    report = Report()
    with node(program, "--demo", "--max-value", "1KiB") as port:
        smache(report, port)
        native(report, port)
        operations(report, port)
        # Bytes that are neither JSON nor text.
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"PUT /v1/default/raw HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            connection.sendall(head.encode() + b"content-length: 2\r\n\r\n\xff\xfe")
            connection.recv(1_024)
        report.ask(port, 406, "GET", "/api?key=raw", {"accept": "application/json"})
    with node(program, token=TOKEN) as port:
        report.ask(port, 401, "GET", "/api?key=a")
        report.ask(port, 401, "POST", "/api", JSON, OBJECT)
        report.ask(port, 200, "GET", "/api?key=a", {"authorization": f"Bearer {TOKEN}"})
    # A place where somebody listens and says nothing: there may be a cluster.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        flags = ("--cluster", "127.0.0.1:0", "--join", place, "--allow-alone", "false")
        with node(program, *flags) as port:
            report.ask(port, 503, "GET", "/readyz")
            report.ask(port, 503, "HEAD", "/readyz")
            report.ask(port, 503, "GET", "/api?key=a")
    seen = ", ".join(f"{status}: {count}" for status, count in sorted(report.seen.items()))
    print(f"answers by status: {seen}")
    print(f"{report.faults} faults")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
