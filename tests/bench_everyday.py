"""What a developer waits for, many times a day. `cargo xtask bench everyday` runs it: the binary is given.

    bench_everyday.py BINARY [--quick] [--objects N]
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from cloud import clean_env, memory_kb
from console import Person
from deadline import wait_until

KEY = botocore.credentials.Credentials("test", "test")


class Ephemeral:
    def __init__(self, binary, tmp, *args):
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [binary, "up", "--ephemeral", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=clean_env(TMPDIR=tmp))
        self.said = json.loads(self.process.stdout.readline())
        host, port = self.said["address"].split(":")
        self.connection = http.client.HTTPConnection(host, int(port))

    def ask(self, method, path, service=None, body=b"", headers=None):
        headers = dict(headers or {})
        if service:
            request = botocore.awsrequest.AWSRequest(method, self.said["url"] + path, data=body, headers=headers)
            signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
            signer(KEY, service, "us-east-1").add_auth(request)
            headers = dict(request.headers)
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status == 200, (method, path, answer.status, text)
        return text

    def since_start_ms(self):
        return (time.perf_counter() - self.began) * 1000

    def end_ms(self):
        begin = time.perf_counter()
        self.process.terminate()
        self.process.wait()
        return (time.perf_counter() - begin) * 1000


def timed_ms(work):
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def told(name, values, asked, unit="ms"):
    ordered = sorted(values)
    worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
    middle = statistics.median(ordered)
    mark = "" if worst <= asked else "  MISSED"
    print(f"| {name} | {middle:.1f} {unit} | {worst:.1f} {unit} | {asked} {unit} |{mark}", flush=True)


def starts_and_stops(binary, tmp, rounds):
    first, stored, stops = [], [], []
    for _ in range(rounds):
        cloud = Ephemeral(binary, tmp)
        cloud.ask("GET", "/health")
        first.append(cloud.since_start_ms())
        stops.append(cloud.end_ms())
    for _ in range(rounds):
        cloud = Ephemeral(binary, tmp)
        cloud.ask("PUT", "/first", "s3")
        cloud.ask("PUT", "/first/object", "s3", b"hello")
        stored.append(cloud.since_start_ms())
        cloud.end_ms()
    told("ephemeral: start to first answer", first, 30)
    told("ephemeral: stop", stops, 20)
    told("one command to the first stored object", stored, 100)


def resets(binary, tmp, rounds):
    cloud = Ephemeral(binary, tmp)
    took = []
    for _ in range(rounds):
        cloud.ask("PUT", "/bucket", "s3")
        for n in range(100):
            cloud.ask("PUT", f"/bucket/{n}", "s3", bytes(1000 if n % 10 else 200_000))
        took.append(timed_ms(lambda: cloud.ask("POST", "/_cumulet/reset", "cumulet")))
    cloud.end_ms()
    told("reset of a hundred objects", took, 50)


# Whatever needs no container. A page is asked for by a connection of its own, as `console.Person` does it.
PAGES = ["/", "/buckets", "/bucket?name=bucket", "/object?bucket=bucket&key=7", "/tables", "/identities", "/requests",
         "/map", "/metrics", "/labs", "/lab?name=introduction"]


class Console:
    def __init__(self, cloud):
        host, port = cloud.said["address"].split(":")
        self.address = host, int(port)


def pages(binary, tmp, rounds):
    cloud = Ephemeral(binary, tmp)
    person = Person(Console(cloud))
    assert person.sign_in("test", "test").status == 303
    for page in PAGES:
        person.ask("GET", page)
    told("a cloud whose console was looked through, proportional set size",
         [memory_kb(cloud.said["pid"], "Pss") / 1024], 20, "MB")
    cloud.ask("PUT", "/bucket", "s3")
    for n in range(1000):
        cloud.ask("PUT", f"/bucket/{n}", "s3", b"hello")
    worst, slowest = 0, ""
    for page in PAGES:
        took = [timed_ms(lambda page=page: person.ask("GET", page)) for _ in range(rounds)]
        assert person.ask("GET", page).status == 200, page
        at = sorted(took)[int(len(took) * 0.9)]
        worst, slowest = max((worst, slowest), (at, page))
    cloud.end_ms()
    told(f"the slowest page of the console, {slowest.split('?')[0]}, of a thousand objects", [worst], 50)


def many(binary, tmp, count):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        clouds = list(threads.map(lambda _: Ephemeral(binary, tmp), range(count)))
    for cloud in clouds:
        cloud.ask("GET", "/health")
    together = sum(memory_kb(cloud.said["pid"], "Pss") for cloud in clouds) / 1024
    for cloud in clouds:
        cloud.end_ms()
    told(f"{count} clouds idle, proportional set size", [together], 600 * count / 50, "MB")


def fill(url, address, count):
    """Objects of a few bytes, over eight connections."""
    with concurrent.futures.ProcessPoolExecutor(8) as processes:
        list(processes.map(some_of, [(url, address, count, part) for part in range(8)]))


def some_of(arguments):
    url, address, count, part = arguments
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port))
    for n in range(part, count, 8):
        path = f"/many/{n:07}"
        request = botocore.awsrequest.AWSRequest("PUT", url + path)
        botocore.auth.S3SigV4Auth(KEY, "s3", "us-east-1").add_auth(request)
        connection.request("PUT", path, headers=dict(request.headers))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200


def forks(binary, tmp, count, rounds):
    data, ready = os.path.join(tmp, "data"), os.path.join(tmp, "ready")
    up = subprocess.Popen(
        [binary, "up", "--data", data, "--listen", "127.0.0.1:0", "--docker-socket", "none", "--durability",
         "relaxed", "--ready-file", ready], stdout=subprocess.DEVNULL, env=clean_env())
    wait_until(lambda: os.path.exists(ready), "it is ready", 30)
    with open(ready, encoding="ascii") as file:
        said = json.load(file)
    request = botocore.awsrequest.AWSRequest("PUT", said["url"] + "/many")
    botocore.auth.S3SigV4Auth(KEY, "s3", "us-east-1").add_auth(request)
    host, port = said["address"].split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("PUT", "/many", headers=dict(request.headers))
    assert connection.getresponse().status == 200
    fill(said["url"], said["address"], count)

    def run(*words):
        subprocess.run([binary, "snapshot", *words, "--data", data], check=True, stdout=subprocess.DEVNULL,
                       env=clean_env())

    run("save", "base")
    restored = [timed_ms(lambda n=n: run("restore", "base", "--to", os.path.join(tmp, f"fork{n}")))
                for n in range(rounds)]
    told(f"a fork of a snapshot of {count} objects", restored, 200)
    up.terminate()
    up.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--objects", type=int, default=1_000_000)
    args = parser.parse_args()
    rounds = 3 if args.quick else 20
    print("| what | median | nine of ten within | asked |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="cb-") as tmp:
        starts_and_stops(args.binary, tmp, rounds)
        resets(args.binary, tmp, rounds)
        pages(args.binary, tmp, rounds)
        many(args.binary, tmp, 5 if args.quick else 50)
        forks(args.binary, tmp, 1000 if args.quick else args.objects, rounds)


if __name__ == "__main__":
    main()
