"""The Node SDKs, both generations: each script is a suite of its own, run by node's test runner."""

import os
import re
import subprocess

import pytest
from accounts import REGION

pytestmark = pytest.mark.unkilled

HERE = os.path.join(os.path.dirname(__file__), "node")


@pytest.mark.parametrize("script", ["v3.test.mjs", "v2.test.mjs", "dynamodb3.test.mjs", "dynamodb2.test.mjs"])
def test_sdk(account, script):
    account.cloud.before_request()
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", script],
        cwd=HERE, capture_output=True, text=True, timeout=170, check=False,
        env={
            "PATH": os.environ["PATH"], "HOME": "/nonexistent",
            "ENDPOINT": account.endpoint, "ACCOUNT": account.id,
            "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": account.id, "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1", "AWS_EC2_METADATA_DISABLED": "1",
            "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        },
    )
    passed = re.search(r"^# pass (\d+)", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert passed and int(passed.group(1)) >= 5, done.stdout[-2000:]
