"""Asks a Prometheus for every expression of its alerts and of a dashboard, and says which have no data.

usage: ask.py http://127.0.0.1:9090 dashboard.json
"""

import json
import re
import sys
import urllib.parse
import urllib.request


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


def main():
    empty = asked = 0
    for name, expression in [*of_alerts(), *of_dashboard(sys.argv[2])]:
        asked += 1
        found = get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))["result"]
        numbers = [sample["value"][1] for sample in found]
        if not numbers or any(number == "NaN" for number in numbers):
            empty += 1
            print(f"no data: {name}: {expression}")
    down = [target["scrapeUrl"] for target in get("/api/v1/targets")["activeTargets"] if target["health"] != "up"]
    for url in down:
        print(f"not scraped: {url}")
    print(f"{asked} expressions, {empty} without data")
    return 1 if empty or down or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
