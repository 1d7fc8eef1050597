"""The cloud's clock: moved from outside, kept over a restart, and obeyed by what goes by time."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from accounts import Account, allow, refused, trust
from cloud import cumulet

ROOT = "000000000000"
NOW = re.compile(r"^(\S+Z)  (running|stopped), outside it is (\S+Z)$")


def clock(cloud, *words, env=None):
    done = cumulet("clock", *words, "--data", cloud.data, env=env)
    assert done.returncode == 0, done
    now, state, outside = NOW.match(done.stdout.strip()).groups()
    return datetime.fromisoformat(now), state, datetime.fromisoformat(outside)


def test_it_moves_and_everything_goes_by_it(own_cloud):
    cloud = own_cloud()
    s3 = Account(ROOT, cloud).s3
    s3.create_bucket(Bucket="clock-bucket")
    before, state, outside = clock(cloud)
    assert state == "running" and abs(before - outside) < timedelta(seconds=1)
    later, state, outside = clock(cloud, "advance", "31d1h")
    assert state == "running"
    assert timedelta(days=31, hours=1) <= later - outside < timedelta(days=31, hours=1, seconds=1)
    # Clients sign by their own clock and are still understood.
    answer = s3.put_object(Bucket="clock-bucket", Key="k", Body=b"x")
    said = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    assert abs(datetime.strptime(said, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
               - outside) < timedelta(minutes=5)
    assert s3.head_object(Bucket="clock-bucket", Key="k")["LastModified"] >= later.replace(microsecond=0)


def test_a_restart_keeps_it(own_cloud):
    cloud = own_cloud()
    moved, _, _ = clock(cloud, "advance", "2w")
    cloud.restart()
    now, state, outside = clock(cloud)
    assert now >= moved and state == "running" and now - outside >= timedelta(days=14)


def test_it_stands_still_and_runs_on(own_cloud):
    cloud = own_cloud()
    at = datetime(2040, 2, 29, 12, 0, tzinfo=timezone.utc)
    assert clock(cloud, "set", "2040-02-29T12:00:00Z")[:2] == (at, "stopped")
    cloud.restart()
    assert clock(cloud)[:2] == (at, "stopped")
    assert clock(cloud, "advance", "90s")[:2] == (at + timedelta(seconds=90), "stopped")
    now, state, _ = clock(cloud, "run")
    assert at + timedelta(seconds=90) <= now < at + timedelta(minutes=3) and state == "running"


def test_sessions_end_by_it(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    user = account.new_user("walker", allow("sts:AssumeRole"))
    arn = account.iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{ROOT}:root"})
    )["Role"]["Arn"]
    session = account.client("sts", key=user).assume_role(
        RoleArn=arn, RoleSessionName="session", DurationSeconds=3600)["Credentials"]
    key = session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    caller = account.client("sts", key=key)
    caller.get_caller_identity()
    clock(cloud, "advance", "59m")
    caller.get_caller_identity()
    clock(cloud, "advance", "2m")
    with refused("ExpiredToken"):
        caller.get_caller_identity()


@pytest.mark.parametrize("words,says", [
    (["set", "2001-01-01T00:00:00Z"], "only goes forward"),
    (["set", "yesterday"], "not a time"),
    (["advance", "-3d"], ""),
    (["advance", "3 days"], "no duration"),
    (["advance", "99999999d"], "9999"),
    (["advance", "9223372036854775807ms"], "9999"),
])
def test_what_is_no_move_is_refused_and_moves_nothing(own_cloud, words, says):
    cloud = own_cloud()
    done = cumulet("clock", *words, "--data", cloud.data)
    assert done.returncode != 0 and says in done.stderr, done
    now, _, outside = clock(cloud)
    assert abs(now - outside) < timedelta(seconds=1)


def test_who_may(own_cloud):
    cloud = own_cloud()
    key = Account(ROOT, cloud).new_user("bystander", allow("cumulet:GetClock"))
    bystander = {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    clock(cloud, env=bystander)
    done = cumulet("clock", "advance", "1d", "--data", cloud.data, env=bystander)
    assert done.returncode != 0 and "cumulet:SetClock" in done.stderr, done
    # Root of another account does not run the cloud.
    other = {"AWS_ACCESS_KEY_ID": "123456789012", "AWS_SECRET_ACCESS_KEY": "test"}
    done = cumulet("clock", "advance", "1d", "--data", cloud.data, env=other)
    assert done.returncode != 0 and "default account" in done.stderr, done


def test_it_is_on_record(own_cloud):
    cloud = own_cloud()
    clock(cloud, "advance", "5m")
    cloud.restart()
    done = cumulet("events", "--operation", "SetClock", "--json", "--data", cloud.data)
    assert '"advanceMs":300000' in done.stdout, done
