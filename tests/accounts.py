"""An account per test, its clients, and what one may expect of an error."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import urllib.parse

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
AWS = os.path.join(os.path.dirname(sys.executable), "aws")

_session = botocore.session.Session()
_session.set_config_variable("region", REGION)


class Account:
    """A 12-digit account; its root is the key id of the same digits with the secret `test`."""

    def __init__(self, number, cloud):
        self.id = number
        self.cloud = cloud
        self._count = itertools.count()

    @property
    def endpoint(self):
        return self.cloud.endpoint

    def bucket_name(self, stem="b"):
        """Names of buckets are shared by all accounts."""
        return f"{stem}-{self.id}-{next(self._count)}"

    def client(self, service, key=None, endpoint=None, region=REGION, **config):
        """`key` is (id, secret) or (id, secret, token); None is root, "anonymous" is nobody."""
        config.setdefault("retries", {"total_max_attempts": self.cloud.attempts})
        config.setdefault("connect_timeout", 10)
        config.setdefault("read_timeout", 60)
        # The clients' own checks of names are off: the server's are what is tested.
        credentials = key or (self.id, "test")
        if key == "anonymous":
            config["signature_version"] = botocore.UNSIGNED
            credentials = ("x", "x")
        client = _session.create_client(
            service,
            region_name=region,
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            aws_session_token=credentials[2] if len(credentials) > 2 else None,
            config=Config(**config),
        )
        self.cloud.watch(client)
        return client

    @property
    def s3(self):
        if not hasattr(self, "_s3"):
            self._s3 = self.client("s3")
        return self._s3

    @property
    def iam(self):
        if not hasattr(self, "_iam"):
            self._iam = self.client("iam")
        return self._iam

    @property
    def sts(self):
        if not hasattr(self, "_sts"):
            self._sts = self.client("sts")
        return self._sts

    @property
    def dynamodb(self):
        if not hasattr(self, "_dynamodb"):
            self._dynamodb = self.client("dynamodb")
        return self._dynamodb

    @property
    def streams(self):
        if not hasattr(self, "_streams"):
            self._streams = self.client("dynamodbstreams")
        return self._streams

    def new_bucket(self, stem="b", **more):
        name = self.bucket_name(stem)
        self.s3.create_bucket(Bucket=name, **more)
        return name

    def new_user(self, name="u", *statements):
        """A user with a key and, when statements are given, an inline policy of them."""
        self.iam.create_user(UserName=name)
        if statements:
            self.iam.put_user_policy(
                UserName=name, PolicyName="p", PolicyDocument=policy(*statements)
            )
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def cli(self, *args, key=None, stdin=None, ok=True, env=None):
        """Runs the real AWS CLI; gives the finished process."""
        self.cloud.before_request()
        credentials = key or (self.id, "test")
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": credentials[0],
            "AWS_SECRET_ACCESS_KEY": credentials[1],
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": str(self.cloud.attempts),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }
        variables.update(env or {})
        if len(credentials) > 2:
            variables["AWS_SESSION_TOKEN"] = credentials[2]
        done = subprocess.run(
            [AWS, *args],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            env=variables,
            timeout=150,
            check=False,
        )
        done.out = done.stdout.decode("utf-8", "replace")
        done.err = done.stderr.decode("utf-8", "replace")
        if ok:
            assert done.returncode == 0, f"aws {' '.join(args)}: {done.returncode}\n{done.err}"
        return done


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def trust(principal, **more):
    return policy(
        {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    )


@contextlib.contextmanager
def refused(code, status=None, message=None, part=None):
    """The call inside must be refused with this code, and the status and text if given."""
    try:
        yield
    except ClientError as error:
        answer = error.response
        got = answer["Error"].get("Code"), answer["ResponseMetadata"]["HTTPStatusCode"]
        text = answer["Error"].get("Message", "")
        codes = (code,) if isinstance(code, str) else tuple(code)
        assert got[0] in codes, f"expected {code}, got {got}: {text}"
        if status is not None:
            assert got[1] == status, f"expected status {status}, got {got}: {text}"
        if message is not None:
            assert text == message, f"{text!r}\nis not\n{message!r}"
        if part is not None:
            assert part in text, f"{part!r} is not in {text!r}"
        return
    raise AssertionError(f"expected {code}, but it was done")


def denied(action, why=None):
    """AccessDenied that names the action, and the reason when AWS gives one."""
    return refused("AccessDenied", 403, part=why or action)


def quote(key):
    return urllib.parse.quote(key, safe="/~-._")
