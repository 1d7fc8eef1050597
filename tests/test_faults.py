"""`cumulet fault`: errors and delays on purpose, in the form that the service gives them."""

import json
import re
import time

import pytest
from accounts import Account, allow, denied, refused
from botocore.exceptions import ClientError
from cloud import Cloud, cumulet

ROOT = "000000000000"


def fault(cloud, *words, env=None):
    return cumulet("fault", *words, "--data", cloud.data, env=env)


def add(cloud, *words):
    """Gives its number."""
    done = fault(cloud, "add", *words)
    assert done.returncode == 0, done
    return done.stdout.strip().splitlines()[-1].split()[0]


def outcome(call, **arguments):
    try:
        call(**arguments)
        return "done"
    except ClientError as error:
        return error.response["Error"]["Code"]


@pytest.fixture
def cloud(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    account.s3.create_bucket(Bucket="faulty")
    account.s3.put_object(Bucket="faulty", Key="k", Body=b"x")
    account.dynamodb.create_table(
        TableName="faulty", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}])
    return cloud


def test_errors_in_each_protocol(cloud):
    account = Account(ROOT, cloud)
    for words in (["s3:GetObject", "--error", "SlowDown"],
                  ["dynamodb:PutItem", "--error", "ProvisionedThroughputExceededException"],
                  ["dynamodb:GetItem", "--error", "InternalServerError"],
                  ["iam:CreateUser", "--error", "ConcurrentModification"],
                  ["iam:GetUser", "--error", "Throttling"]):
        add(cloud, *words)
    with refused("SlowDown", 503, "Please reduce your request rate."):
        account.s3.get_object(Bucket="faulty", Key="k")
    with refused("ProvisionedThroughputExceededException", 400, part="throughput for the table"):
        account.dynamodb.put_item(TableName="faulty", Item={"k": {"S": "x"}})
    with refused("InternalServerError", 500):
        account.dynamodb.get_item(TableName="faulty", Key={"k": {"S": "x"}})
    with refused("ConcurrentModification", 409):
        account.iam.create_user(UserName="u")
    with refused("Throttling", 400, "Rate exceeded"):
        account.iam.get_user(UserName="u")
    # The modelled class of the SDK, and nothing happened.
    with pytest.raises(account.dynamodb.exceptions.ProvisionedThroughputExceededException):
        account.dynamodb.put_item(TableName="faulty", Item={"k": {"S": "x"}})
    assert account.dynamodb.scan(TableName="faulty")["Count"] == 0
    # Others go on.
    account.s3.put_object(Bucket="faulty", Key="k", Body=b"y")
    account.s3.head_object(Bucket="faulty", Key="k")


def test_the_answer_and_the_trail_say_which(cloud):
    account = Account(ROOT, cloud)
    number = add(cloud, "s3:HeadObject", "--error", "InternalError")
    with pytest.raises(ClientError) as seen:
        account.s3.head_object(Bucket="faulty", Key="k")
    answer = seen.value.response["ResponseMetadata"]
    assert answer["HTTPStatusCode"] == 500 and answer["HTTPHeaders"]["x-cumulet-fault"] == number
    shown = cumulet("events", "--operation", "HeadObject", "--json", "--data", cloud.data).stdout
    assert f"fault {number} was put in its way" in shown, shown
    shown = cumulet("events", "--operation", "CreateFault", "--json", "--data", cloud.data).stdout
    assert "s3:HeadObject" in shown and json.loads(shown)["eventName"] == "CreateFault"


def test_a_rate_a_seed_and_an_end(cloud):
    s3 = Account(ROOT, cloud).s3

    def strikes(*words, count=200):
        number = add(cloud, "s3:HeadBucket", "--error", "ServiceUnavailable", *words)
        seen = [outcome(s3.head_bucket, Bucket="faulty") != "done" for _ in range(count)]
        assert fault(cloud, "remove", number).returncode == 0
        return seen

    assert 15 <= sum(strikes("--rate", "0.2")) <= 75
    once, again = (strikes("--rate", "0.3", "--seed", "7", count=60) for _ in range(2))
    assert once == again and 0 < sum(once) < 60
    assert strikes("--times", "3", count=10) == [True] * 3 + [False] * 7
    assert fault(cloud, "list").stdout == ""


def test_slowness(cloud):
    s3 = Account(ROOT, cloud).s3
    add(cloud, "s3:List*", "--latency", "300ms")
    begin = time.monotonic()
    s3.list_objects_v2(Bucket="faulty")
    assert time.monotonic() - begin >= 0.3
    begin = time.monotonic()
    s3.list_buckets()
    assert time.monotonic() - begin >= 0.3
    listed = fault(cloud, "list").stdout
    assert re.match(r"^\d+  s3:List\*  after 300 ms  rate 1  struck 2$", listed.strip()), listed


def test_many_operations_fail_with_their_own_errors(cloud):
    """One that never answers with the error is left alone."""
    account = Account(ROOT, cloud)
    add(cloud, "dynamodb:*", "--error", "ConditionalCheckFailedException")
    d, key = account.dynamodb, {"k": {"S": "x"}}
    assert outcome(d.put_item, TableName="faulty", Item=key) == "ConditionalCheckFailedException"
    assert outcome(d.get_item, TableName="faulty", Key=key) == "done"
    assert outcome(d.list_tables) == "done"
    # What anything can answer with.
    for selector, code, status in [("s3:HeadObject", "ExpiredToken", 400), ("s3:GetObject", "InvalidAccessKeyId", 403),
                                   ("s3:PutObject", "SignatureDoesNotMatch", 403), ("iam:GetUser", "ExpiredToken", 403),
                                   ("sts:GetCallerIdentity", "InvalidClientTokenId", 403),
                                   ("dynamodb:Scan", "ExpiredTokenException", 400)]:
        add(cloud, selector, "--error", code)
        assert f"{selector}  {code} ({status})" in fault(cloud, "list").stdout
    with refused("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."):
        account.s3.get_object(Bucket="faulty", Key="k")
    with refused("ExpiredToken", 403, "The security token included in the request is expired"):
        account.iam.get_user(UserName="u")


def test_the_requests_of_one_account(cloud):
    one, other = Account("700000000021", cloud), Account("700000000022", cloud)
    add(cloud, "s3:ListBuckets", "--error", "SlowDown", "--account", one.id)
    assert outcome(one.s3.list_buckets) == "SlowDown"
    assert outcome(other.s3.list_buckets) == "done"
    assert f"s3:ListBuckets  of {one.id}  SlowDown (503)" in fault(cloud, "list").stdout
    for words in (["s3:ListBuckets", "--error", "SlowDown", "--account", "12"],
                  ["--partition", "a,b", "--account", one.id]):
        assert fault(cloud, "add", *words).returncode != 0, words
    add(cloud, "s3:ListBuckets", "--error", "SlowDown", "--account", other.id)
    assert cumulet("reset", "--account", one.id, "--yes", "--data", cloud.data).returncode == 0
    assert outcome(one.s3.list_buckets) == "done"
    assert outcome(other.s3.list_buckets) == "SlowDown"


def test_a_restart_keeps_them_and_a_reset_does_not(cloud):
    add(cloud, "s3:GetObject", "--error", "SlowDown", "--rate", "1")
    cloud.restart()
    s3 = Account(ROOT, cloud).s3
    assert outcome(s3.get_object, Bucket="faulty", Key="k") == "SlowDown"
    assert cumulet("reset", "--yes", "--data", cloud.data).returncode == 0
    assert fault(cloud, "list").stdout == ""
    s3.create_bucket(Bucket="faulty")
    s3.put_object(Bucket="faulty", Key="k", Body=b"x")
    assert outcome(s3.get_object, Bucket="faulty", Key="k") == "done"
    cloud.restart()
    assert outcome(Account(ROOT, cloud).s3.get_object, Bucket="faulty", Key="k") == "done"


def test_they_come_after_authorisation(cloud):
    account = Account(ROOT, cloud)
    key = account.new_user("nobody", allow("s3:ListBucket"))
    add(cloud, "s3:GetObject", "--error", "SlowDown", "--times", "1")
    with denied("s3:GetObject"):
        account.client("s3", key=key).get_object(Bucket="faulty", Key="k")
    assert outcome(account.s3.get_object, Bucket="faulty", Key="k") == "SlowDown", "not used up"


def test_who_may(cloud):
    key = Account(ROOT, cloud).new_user("watcher", allow("cumulet:ListFaults"))
    watcher = {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    number = add(cloud, "s3:GetObject", "--error", "SlowDown")
    assert number in fault(cloud, "list", env=watcher).stdout
    for words, action in ((["add", "s3:PutObject", "--error", "SlowDown"], "CreateFault"),
                          (["remove", number], "DeleteFault")):
        done = fault(cloud, *words, env=watcher)
        assert done.returncode != 0 and f"cumulet:{action}" in done.stderr, done
    other = {"AWS_ACCESS_KEY_ID": "123456789012", "AWS_SECRET_ACCESS_KEY": "test"}
    done = fault(cloud, "list", env=other)
    assert done.returncode != 0 and "default account" in done.stderr, done


@pytest.mark.parametrize("words,says", [
    (["GetObject", "--error", "SlowDown"], "write SERVICE:OPERATION"),
    (["s4:GetObject", "--error", "SlowDown"], "there is no service \"s4\" here; there are dynamodb"),
    (["s3:getobject", "--error", "SlowDown"], "did you mean s3:GetObject?"),
    (["s3:Nonesuch", "--error", "SlowDown"], "s3 has no operation"),
    (["s3:", "--error", "SlowDown"], "s3 has no operation"),
    (["s3:*Get*", "--error", "SlowDown"], "s3 has no operation"),
    (["ec2:RunInstances", "--error", "Throttling"], "there is no service \"ec2\""),
    (["s3:GetObject", "--error", "ThrottlingException"], "never answers with \"ThrottlingException\"; it does with"),
    (["dynamodb:PutItem", "--error", "SlowDown"], "ConditionalCheckFailedException"),
    (["s3:GetObject"], "give an error, a latency, or both"),
    (["s3:GetObject", "--error", "SlowDown", "--rate", "0"], "above 0 and up to 1"),
    (["s3:GetObject", "--error", "SlowDown", "--rate", "20%"], "above 0 and up to 1"),
    (["s3:GetObject", "--error", "SlowDown", "--rate", "1.5"], "above 0 and up to 1"),
    (["s3:GetObject", "--latency", "200"], "is no duration"),
    (["s3:GetObject", "--latency", "2d"], "up to 300000"),
    (["s3:GetObject", "--error", "SlowDown", "--times", "-1"], ""),
    (["s3:GetObject", "--error", "SlowDown", "--seed", "x"], "must be a number"),
    (["s3:GetObject", "--partition", "a,b"], "cannot be used with"),
])
def test_impossible_ones_are_refused_and_nothing_is_added(shared_faulty, words, says):
    done = fault(shared_faulty, "add", *words)
    assert done.returncode != 0 and says in done.stderr, done
    assert fault(shared_faulty, "list").stdout == ""


@pytest.fixture(scope="module")
def shared_faulty(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("faults") / "data").start()
    yield cloud
    cloud.discard()


def test_removing(cloud):
    add(cloud, "s3:GetObject", "--error", "SlowDown")
    add(cloud, "s3:PutObject", "--error", "SlowDown")
    for wrong, says in (("17171717", "There is no fault"), ("x", "no fault's number")):
        done = fault(cloud, "remove", wrong)
        assert done.returncode != 0 and says in done.stderr, done
    assert fault(cloud, "remove", "all").stdout == ""
