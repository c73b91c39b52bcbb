"""Asks a Prometheus for every expression of its alerts and of a dashboard, and says which have no data.

usage: ask.py http://127.0.0.1:9090 dashboard.json
"""

import json
import re
import sys
import time
import urllib.parse
import urllib.request

PATIENCE_S = 90


def get(path):
    with urllib.request.urlopen(sys.argv[1] + path, timeout=10) as answer:
        return json.load(answer)["data"]


def of_alerts():
    for group in get("/api/v1/rules")["groups"]:
        for rule in group["rules"]:
            # An alert that is quiet has no data: what it compares must have some.
            for side in re.split(r"\s+(?:==|!=|>|<|>=|<=)\s+", rule["query"]):
                if not re.fullmatch(r"[\d.e+-]+", side):
                    yield rule["name"], side


def of_dashboard(path):
    values = {"$job": ".*", "$instance": ".*", "$__rate_interval": "30s"}
    with open(path, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def ask():
    """What is wrong, a line each, and how many expressions were asked for."""
    wrong, asked = [], 0
    for name, expression in [*of_alerts(), *of_dashboard(sys.argv[2])]:
        asked += 1
        found = get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))["result"]
        numbers = [sample["value"][1] for sample in found]
        # A verb that nobody used has no time that it takes.
        if all(number == "NaN" for number in numbers):
            wrong.append(f"no data: {name}: {expression}")
    for target in get("/api/v1/targets")["activeTargets"]:
        if target["health"] != "up":
            wrong.append(f"not scraped: {target['scrapeUrl']}: {target['lastError']}")
    return wrong, asked


def main():
    # Rates take some scrapes, and Prometheus and the load a while to begin.
    end = time.monotonic() + PATIENCE_S
    wrong, asked = ["Prometheus does not answer"], 0
    while wrong and time.monotonic() < end:
        time.sleep(1)
        try:
            wrong, asked = ask()
        except OSError as reason:
            wrong = [f"Prometheus does not answer: {reason}"]
    for line in wrong:
        print(line)
    print(f"{asked} expressions, {len(wrong)} complaints")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
