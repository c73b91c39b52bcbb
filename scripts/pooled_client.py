#!/usr/bin/env python3
"""Clients with kept connections that judge every answer: pooled_client.py PORT SECONDS CLIENTS [NAME].

Each writes, reads and deletes keys of its own, and mixes in requests that are refused, with and without
bodies nobody reads. It prints one line of JSON, and exits with 1 if a connection broke, an answer was
lost, or one was not the right one.
"""

import collections
import http.client
import json
import sys
import threading
import time

TIMEOUT_S = 10


class Client:
    def __init__(self, port, name):
        self.name = name
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self.counts = collections.Counter()
        self.faults = []
        self.values = {}
        self.unknown = set()

    def ask(self, method, target, body=None, headers=None):
        """The status and the body of the answer; None if there was none."""
        try:
            self.connection.request(method, target, body=body, headers=headers or {})
            response = self.connection.getresponse()
            answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            # The next request opens another connection.
            self.connection.close()
            self.fault(f"{method} {target}: {type(error).__name__}: {error}", "broken")
            return None
        self.counts["answers"] += 1
        self.counts[str(answer[0])] += 1
        return answer

    def fault(self, text, kind):
        self.counts[kind] += 1
        if len(self.faults) < 5:
            self.faults.append(text)

    def expect(self, statuses, method, target, body=None, headers=None):
        answer = self.ask(method, target, body, headers)
        if answer is not None and answer[0] not in statuses:
            self.fault(f"{method} {target}: {answer[0]} {answer[1][:80]!r}", "unexpected")
        return answer

    def put(self, number, turn):
        key = f"/v1/proxies/{self.name}-{number}"
        value = f"{self.name}-{number}-{turn}".encode() * (1 + number % 50)
        answer = self.expect({201, 204}, "PUT", key, value)
        if answer is None or answer[0] >= 500:
            self.unknown.add(number)
        else:
            self.values[number] = value
            self.unknown.discard(number)

    def get(self, number):
        value = self.values.get(number)
        status = 404 if value is None else 200
        known = number not in self.unknown
        answer = self.expect({status} if known else {200, 404}, "GET", f"/v1/proxies/{self.name}-{number}")
        if known and answer is not None and answer[0] == 200 and answer[1] != value:
            self.fault(f"{self.name}-{number} is not what was written", "wrong")

    def refused(self, turn):
        kinds = [
            ({400}, "POST", "/api", b"{", {}),
            ({404}, "GET", f"/v1/proxies/none-{turn}", None, {}),
            ({405}, "POST", "/api", b'{"key":"","data":{}}', {}),
            ({405}, "DELETE", "/healthcheck", b"a body nobody reads" * 64, {}),
            ({413}, "PUT", "/v1/proxies/large", b"x" * (2 << 20), {}),
            ({400}, "GET", f"/v1/{'n' * 65}/k", None, {}),
            ({501}, "PUT", "/v1/proxies/tagged", b"x", {"cache-tag": "a"}),
        ]
        statuses, method, target, body, headers = kinds[turn % len(kinds)]
        self.expect(statuses, method, target, body, headers)

    def run(self, until):
        turn = 0
        while time.monotonic() < until:
            turn += 1
            number = turn % 20
            self.put(number, turn)
            self.get(number)
            self.get((turn * 7) % 20)
            if turn % 3 == 0:
                self.refused(turn // 3)


def main():
    port, seconds, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    name = sys.argv[4] if len(sys.argv) > 4 else "client"
    until = time.monotonic() + seconds
    clients = [Client(port, f"{name}-{at}") for at in range(count)]
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = sum((client.counts for client in clients), collections.Counter())
    for client in clients:
        for fault in client.faults:
            print(fault, file=sys.stderr)
    kinds = ["broken", "unexpected", "wrong"]
    print(json.dumps({kind: counts[kind] for kind in kinds} | dict(sorted(counts.items()))))
    sys.exit(any(counts[kind] for kind in kinds))


main()
