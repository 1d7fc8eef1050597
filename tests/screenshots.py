"""Draws the pictures of `docs/console` anew: a cloud in which somebody has worked for a few minutes, seen
through headless chromium. `cargo xtask screenshots` calls it."""

import base64
import json
import os
import random
import sys
import tempfile
import time

os.environ["CUMULET_BIN"] = os.path.abspath(sys.argv[1])

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from browser import Browser  # noqa: E402
from containers import Engine  # noqa: E402
from deadline import wait_until  # noqa: E402

PICTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "console")
# The plots show a point every ten seconds.
WORKING_S = 150
DESK, PHONE = (1280, 860), (375, 760)


def client(endpoint, service, key=("test", "test")):
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key[0],
                        aws_secret_access_key=key[1], config=Config(retries={"max_attempts": 1}))


def prepare(engine, endpoint):
    s3, tables, iam = (client(endpoint, service) for service in ("s3", "dynamodb", "iam"))
    for bucket in ("holiday-photos", "website-assets", "logs-2026-with-a-rather-long-name"):
        s3.create_bucket(Bucket=bucket)
    for name in ("index.html", "css/main.css", "js/ride.js"):
        s3.put_object(Bucket="website-assets", Key=name, Body=b"body { margin: 0 }\n" * 40, ContentType="text/css")
    for day in range(1, 9):
        s3.put_object(Bucket="holiday-photos", Key=f"2026/lake-{day}.jpg", Body=os.urandom(40_000 * day))
    s3.put_object(Bucket="holiday-photos", Key="plan.txt", Body="Monday: the lake.\nTuesday: the mountain.\n".encode())
    tables.create_table(
        TableName="orders", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "customer", "KeyType": "HASH"}, {"AttributeName": "placed", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("customer", "placed")])
    for n in range(40):
        order(tables, n)
    iam.create_user(UserName="mia")
    allowed = {"Effect": "Allow", "Action": ["s3:ListBucket", "dynamodb:Query"], "Resource": "*"}
    iam.put_user_policy(UserName="mia", PolicyName="looks-around",
                        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    key = iam.create_access_key(UserName="mia")["AccessKey"]
    engine.bootstrap()
    engine.docker("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sh", "-c",
                  "echo hello >index.html; while :; do echo \"$(date -Iseconds) all is well\"; sleep 2; done")
    engine.docker("run", "--name", "migrate", "busybox", "echo", "done")
    return s3, tables, client(endpoint, "s3", (key["AccessKeyId"], key["SecretAccessKey"]))


def order(tables, n):
    lines = [{"M": {"sku": {"S": f"sku-{n * 57 % 100}"}, "count": {"N": str(n % 3 + 1)}}}]
    tables.put_item(TableName="orders", Item={
        "customer": {"S": ("ada", "ben", "cleo")[n % 3]}, "placed": {"S": f"2026-11-{n % 28 + 1:02}T{n % 24:02}:00:00Z"},
        "lines": {"L": lines}, "paid": {"BOOL": n % 4 != 0}})


def work(s3, tables, mia):
    """Somebody reads and writes, and somebody else is refused."""
    chance, end, n = random.Random(7), time.monotonic() + WORKING_S, 40
    while time.monotonic() < end:
        for _ in range(chance.randrange(1, 60)):
            tables.query(TableName="orders", KeyConditionExpression="customer = :c",
                         ExpressionAttributeValues={":c": {"S": "ada"}})
            s3.get_object(Bucket="website-assets", Key="css/main.css")["Body"].read()
        order(tables, n)
        n += 1
        mia.list_objects_v2(Bucket="holiday-photos")
        try:
            mia.get_object(Bucket="holiday-photos", Key="plan.txt")
        except ClientError:
            pass


class Camera:
    def __init__(self, endpoint):
        self.browser, self.endpoint = Browser(), endpoint

    def sign_in(self):
        self.go("/sign-in")
        self.browser.run("(() => { const f = document.querySelector('main form');"
                         "f.querySelector('[name=id]').value = f.querySelector('[name=secret]').value = 'test';"
                         "f.querySelector('button').click(); })()")
        wait_until(lambda: self.browser.look("location.pathname") == "/_console/", "signed in", 30)

    def go(self, path):
        self.browser.open(f"{self.endpoint}/_console{path}")

    def take(self, name, path, size=DESK, dark=False, ready="true", first="0"):
        width, height = size
        self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                          mobile=size == PHONE)
        scheme = "dark" if dark else "light"
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.go(path)
        wait_until(lambda: self.browser.look(ready), f"{path} shows what it should", 30)
        self.browser.run(first)
        picture = self.browser.call("Page.captureScreenshot", format="png")["data"]
        with open(os.path.join(PICTURES, f"{name}.png"), "wb") as file:
            file.write(base64.b64decode(picture))
        print(f"{name}.png")


def main():
    with tempfile.TemporaryDirectory(prefix="cumulet-screenshots-") as folder:
        engine = Engine(folder).start()
        endpoint = engine.cloud.endpoint
        try:
            hands = prepare(engine, endpoint)
            print(f"working for {WORKING_S} s")
            work(*hands)
            camera = Camera(endpoint)
            try:
                camera.sign_in()
                live = "document.body.classList.contains('live-on')"
                camera.take("home", "/")
                camera.take("bucket", "/bucket?name=holiday-photos")
                camera.take("requests", "/requests", ready=live, first="[...document.querySelectorAll('.request')]"
                            ".find(one => one.innerText.includes('denied')).querySelector('summary').click()")
                camera.take("map", "/map", ready=live)
                camera.take("metrics", "/metrics", ready=live)
                camera.take("container", "/container?id=web", dark=True, ready="document.body.innerText.includes('all is well')")
                camera.take("lab", "/labs")
                camera.take("table-phone", "/table?name=orders", PHONE, dark=True)
            finally:
                camera.browser.close()
        finally:
            engine.close()


main()
