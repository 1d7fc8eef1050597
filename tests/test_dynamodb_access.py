"""Who may do what with tables, items and streams: each operation is denied without permission; policies
with dynamodb:LeadingKeys, Attributes and Select; policies of tables; other accounts."""

import json

import pytest
from accounts import allow, deny, policy, refused, trust
from botocore.exceptions import ClientError
from dynamo import arn, description, iterator, new_table, put, shard, wire

KEY = wire({"p": "k"})


def members(account, table, stream):
    """Each operation with input that gets as far as the question of permission."""
    resource = arn(account, table)
    get = {"Get": {"TableName": table, "Key": KEY}}
    return {
        "GetItem": {"TableName": table, "Key": KEY},
        "PutItem": {"TableName": table, "Item": KEY},
        "UpdateItem": {"TableName": table, "Key": KEY},
        "DeleteItem": {"TableName": table, "Key": KEY},
        "Query": {"TableName": table, "KeyConditionExpression": "p = :p", "ExpressionAttributeValues": wire({":p": "k"})},
        "Scan": {"TableName": table},
        "BatchGetItem": {"RequestItems": {table: {"Keys": [KEY]}}},
        "BatchWriteItem": {"RequestItems": {table: [{"DeleteRequest": {"Key": KEY}}]}},
        "TransactGetItems": {"TransactItems": [get]},
        "TransactWriteItems": {"TransactItems": [{"Delete": get["Get"]}]},
        "CreateTable": {"TableName": "another", **description()},
        "DescribeTable": {"TableName": table},
        "ListTables": {},
        "UpdateTable": {"TableName": table, "DeletionProtectionEnabled": True},
        "DeleteTable": {"TableName": table},
        "TagResource": {"ResourceArn": resource, "Tags": [{"Key": "a", "Value": "b"}]},
        "UntagResource": {"ResourceArn": resource, "TagKeys": ["a"]},
        "ListTagsOfResource": {"ResourceArn": resource},
        "UpdateTimeToLive": {"TableName": table, "TimeToLiveSpecification": {"AttributeName": "end", "Enabled": True}},
        "DescribeTimeToLive": {"TableName": table},
        "DescribeLimits": {},
        "DescribeEndpoints": {},
        "DescribeContinuousBackups": {"TableName": table},
        "PutResourcePolicy": {"ResourceArn": resource, "Policy": "{}"},
        "GetResourcePolicy": {"ResourceArn": resource},
        "DeleteResourcePolicy": {"ResourceArn": resource},
        "UpdateContributorInsights": {"TableName": table, "ContributorInsightsAction": "ENABLE"},
        "DescribeContributorInsights": {"TableName": table},
        "ListContributorInsights": {},
        "ExecuteStatement": {"Statement": f'SELECT * FROM "{table}" WHERE p = \'k\''},
        "ExecuteTransaction": {"TransactStatements": [{"Statement": f'DELETE FROM "{table}" WHERE p = \'k\''}]},
        "UpdateContinuousBackups": {
            "TableName": table, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}},
        "CreateBackup": {"TableName": table, "BackupName": "saved"},
        "ListBackups": {},
        "DescribeBackup": {"BackupArn": f"{resource}/backup/01700000000000-0123abcd"},
        "DeleteBackup": {"BackupArn": f"{resource}/backup/01700000000000-0123abcd"},
        "RestoreTableFromBackup": {
            "BackupArn": f"{resource}/backup/01700000000000-0123abcd", "TargetTableName": "restored"},
        "RestoreTableToPointInTime": {
            "SourceTableName": table, "TargetTableName": "restored", "UseLatestRestorableTime": True},
        "ExportTableToPointInTime": {"TableArn": resource, "S3Bucket": "bucket"},
        "DescribeExport": {"ExportArn": f"{resource}/export/01700000000000-0123abcd"},
        "ListExports": {"TableArn": resource},
        "ImportTable": {
            "S3BucketSource": {"S3Bucket": "bucket"}, "InputFormat": "DYNAMODB_JSON",
            "TableCreationParameters": {"TableName": "another", **description()}},
        "DescribeImport": {"ImportArn": f"{resource}/import/01700000000000-0123abcd"},
        "ListImports": {"TableArn": resource},
    } | {
        "DescribeStream": {"StreamArn": stream},
        "GetShardIterator": {"StreamArn": stream, "ShardId": shard(account, stream), "ShardIteratorType": "LATEST"},
        "GetRecords": {"ShardIterator": iterator(account, stream)},
        "ListStreams": {"TableName": table},
    }


# Members of a transaction need the permission of their own operation.
ACTIONS = {"TransactGetItems": "GetItem", "TransactWriteItems": "DeleteItem", "ExecuteStatement": "PartiQLSelect",
           "ExecuteTransaction": "PartiQLDelete"}
# It answers for each statement, with a code of its own.
APART = {"BatchExecuteStatement"}
# What needs more than one permission, or something to work on that is not there.
MORE = ("PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy", "DescribeBackup", "DeleteBackup",
        "RestoreTableFromBackup", "RestoreTableToPointInTime", "ExportTableToPointInTime", "DescribeExport",
        "ImportTable", "DescribeImport")
STREAMS = ("DescribeStream", "GetShardIterator", "GetRecords", "ListStreams")


def snake(name):
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def test_every_operation_is_denied_without_permission(account):
    table = new_table(account, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    put(account, table, {"p": "k", "x": "secret"})
    stream = account.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    nobody, almost = account.new_user("nobody"), account.new_user("almost")
    for operation, input_ in members(account, table, stream).items():
        service = "dynamodbstreams" if operation in STREAMS else "dynamodb"
        action = "dynamodb:" + ACTIONS.get(operation, operation)
        account.iam.put_user_policy(UserName="almost", PolicyName="p", PolicyDocument=policy(
            allow("dynamodb:*"), deny(action)))
        for key, end in ((nobody, "because no identity-based policy allows the " + action + " action"),
                         (almost, "with an explicit deny in an identity-based policy")):
            call = getattr(account.client(service, key=key), snake(operation))
            for part in (f"is not authorized to perform: {action} on resource: ", end):
                with refused("AccessDeniedException", 400, part=part):
                    call(**input_)
    told = account.dynamodb.describe_table(TableName=table)["Table"]
    assert told["DeletionProtectionEnabled"] is False and told["ItemCount"] == 1
    assert account.dynamodb.list_tables()["TableNames"] == [table]
    # Nothing that is served goes untested: what is in neither list answers 501.
    for service in ("dynamodb", "dynamodbstreams"):
        client = account.client(service, parameter_validation=False)
        for operation in set(client.meta.service_model.operation_names) - set(members(account, table, stream)) - APART:
            try:
                getattr(client, snake(operation))()
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 501, operation


def test_every_operation_is_done_with_just_its_permission(account):
    table = new_table(account, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    stream = account.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    key = account.new_user("u")
    every = members(account, table, stream)
    last = ("DeleteTable",)
    for operation in [name for name in every if name not in last] + list(last):
        if operation in MORE:
            continue
        action = "dynamodb:" + ACTIONS.get(operation, operation)
        account.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy(allow(action)))
        service = "dynamodbstreams" if operation in STREAMS else "dynamodb"
        getattr(account.client(service, key=key), snake(operation))(**every[operation])
        if operation == "UpdateTable":
            account.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)


def test_the_text_of_a_denial(account):
    table, key = new_table(account), account.new_user("u")
    with refused("AccessDeniedException", 400, (
        f"User: arn:aws:iam::{account.id}:user/u is not authorized to perform: dynamodb:GetItem on resource: "
        f"{arn(account, table)} because no identity-based policy allows the dynamodb:GetItem action"
    )):
        account.client("dynamodb", key=key).get_item(TableName=table, Key=KEY)
    # A table that is not there is no different to those who may not ask.
    with refused("AccessDeniedException", 400):
        account.client("dynamodb", key=key).get_item(TableName="absent", Key=KEY)


def own_keys(resource, actions=("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:BatchGetItem",
                                "dynamodb:BatchWriteItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")):
    return allow(list(actions), [resource, resource + "/index/*"], Condition={
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]}})


def test_leading_keys(account):
    table = new_table(account, "p:S c:N", glo=[("glo", "g:S")])
    key = account.new_user("bob", own_keys(arn(account, table)))
    db = account.client("dynamodb", key=key)
    mine, others = wire({"p": "bob", "c": 1}), wire({"p": "alice", "c": 1})
    put(account, table, {"p": "bob", "c": 1, "g": "bob"}, {"p": "alice", "c": 1, "g": "alice"})
    denied = "AccessDeniedException"

    def query(value, **more):
        name = "g" if "IndexName" in more else "p"
        return db.query(TableName=table, KeyConditionExpression=f"{name} = :p",
                        ExpressionAttributeValues=wire({":p": value}), **more)

    for call in (db.get_item, db.update_item):
        call(TableName=table, Key=mine)
        with refused(denied, 400):
            call(TableName=table, Key=others)
    db.put_item(TableName=table, Item=mine | wire({"g": "bob"}))
    with refused(denied, 400):
        db.put_item(TableName=table, Item=others)
    assert query("bob")["Count"] == 1
    with refused(denied, 400):
        query("alice")
    # On an index the leading key is the index's.
    assert query("bob", IndexName="glo")["Count"] == 1
    with refused(denied, 400):
        query("alice", IndexName="glo")
    with refused(denied, 400):
        db.query(TableName=table, KeyConditions={"p": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "alice"}]}})
    db.batch_get_item(RequestItems={table: {"Keys": [mine]}})
    with refused(denied, 400):
        db.batch_get_item(RequestItems={table: {"Keys": [mine, others]}})
    with refused(denied, 400):
        db.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": mine}}, {"PutRequest": {"Item": others}}]})
    with refused(denied, 400):
        db.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": k}} for k in (mine, others)])
    with refused(denied, 400):
        db.transact_write_items(TransactItems=[
            {"Put": {"TableName": table, "Item": mine}}, {"Delete": {"TableName": table, "Key": others}}])
    db.transact_write_items(TransactItems=[{"Delete": {"TableName": table, "Key": mine}}])
    # An alias of the key, and parentheses, are no way around it.
    with refused(denied, 400):
        db.query(TableName=table, KeyConditionExpression="(#x = :p)", ExpressionAttributeNames={"#x": "p"},
                 ExpressionAttributeValues=wire({":p": "alice"}))
    # A scan has no leading keys; this policy does not allow one.
    with refused(denied, 400):
        db.scan(TableName=table)


def test_attributes_and_select(account):
    table = new_table(account)
    put(account, table, {"p": "k", "name": "n", "salary": 1})
    read = allow(["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:BatchGetItem"], "*", Condition={
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["p", "name"]},
        "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}})
    write = allow("dynamodb:UpdateItem", "*", Condition={
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["p", "name"]},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]}})
    db = account.client("dynamodb", key=account.new_user("u", read, write))
    denied, named = "AccessDeniedException", {"#n": "name"}
    good = {"ProjectionExpression": "#n", "ExpressionAttributeNames": named}
    assert db.get_item(TableName=table, Key=KEY, **good)["Item"] == wire({"name": "n"})
    assert db.get_item(TableName=table, Key=KEY, AttributesToGet=["name"])["Item"] == wire({"name": "n"})
    for bad in ({}, {"ProjectionExpression": "salary"}, {"ProjectionExpression": "#n, #s", "ExpressionAttributeNames":
                named | {"#s": "salary"}}, {"AttributesToGet": ["name", "salary"]}, {"ProjectionExpression": "salary.x[0]"}):
        with refused(denied, 400):
            db.get_item(TableName=table, Key=KEY, **bad)
    db.scan(TableName=table, **good)
    for bad in ({}, {"Select": "ALL_ATTRIBUTES"}, {"Select": "COUNT"}, good | {
            "FilterExpression": "salary > :s", "ExpressionAttributeValues": wire({":s": 0})}):
        with refused(denied, 400):
            db.scan(TableName=table, **bad)
    db.batch_get_item(RequestItems={table: {"Keys": [KEY], **good}})
    with refused(denied, 400):
        db.batch_get_item(RequestItems={table: {"Keys": [KEY]}})
    update = {"TableName": table, "Key": KEY, "ExpressionAttributeNames": named, "ExpressionAttributeValues": wire({":v": "m"})}
    db.update_item(UpdateExpression="SET #n = :v", **update)
    for bad in ({"UpdateExpression": "SET #n = :v, salary = :v"}, {"UpdateExpression": "SET #n = salary", "drop": True},
                {"UpdateExpression": "SET #n = :v", "ConditionExpression": "attribute_exists(salary)"},
                {"UpdateExpression": "SET #n = :v", "ReturnValues": "ALL_NEW"}):
        some = dict(update)
        if bad.pop("drop", False):
            del some["ExpressionAttributeValues"]
        with refused(denied, 400):
            db.update_item(**some, **bad)
    assert account.dynamodb.get_item(TableName=table, Key=KEY)["Item"]["salary"] == {"N": "1"}


def test_policies_of_tables(account, other):
    """A table lets in another account's user; both sides must agree, a denial wins."""
    db, table = account.dynamodb, new_table(account)
    resource = arn(account, table)
    put(account, table, {"p": "k"})
    stranger = other.client("dynamodb", key=other.new_user("s", allow("dynamodb:*")))
    with refused("AccessDeniedException", 400):
        stranger.get_item(TableName=resource, Key=KEY)

    def document(*statements):
        return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

    lets_in = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other.id}:user/s"},
               "Action": ["dynamodb:GetItem", "dynamodb:Query"], "Resource": resource}
    revision = db.put_resource_policy(ResourceArn=resource, Policy=document(lets_in))["RevisionId"]
    assert stranger.get_item(TableName=resource, Key=KEY)["Item"] == KEY
    with refused("AccessDeniedException", 400):
        stranger.put_item(TableName=resource, Item=KEY)
    told = db.get_resource_policy(ResourceArn=resource)
    assert json.loads(told["Policy"]) == json.loads(document(lets_in)) and told["RevisionId"] == revision
    with refused("PolicyNotFoundException", 400):
        db.put_resource_policy(ResourceArn=resource, Policy=document(lets_in), ExpectedRevisionId="other")
    # Within the account the table's policy alone is enough, and its denial is final.
    inside = account.client("dynamodb", key=account.new_user("u"))
    arn_of_u = f"arn:aws:iam::{account.id}:user/u"
    db.put_resource_policy(ResourceArn=resource, Policy=document(
        lets_in | {"Principal": {"AWS": arn_of_u}}))
    inside.get_item(TableName=table, Key=KEY)
    with refused("AccessDeniedException", 400):
        stranger.get_item(TableName=resource, Key=KEY)
    db.put_resource_policy(ResourceArn=resource, Policy=document(
        lets_in | {"Principal": {"AWS": arn_of_u}}, {
            "Effect": "Deny", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": resource,
            "Condition": {"StringEquals": {"aws:PrincipalArn": arn_of_u}}}))
    with refused("AccessDeniedException", 400, part="with an explicit deny in a resource-based policy"):
        inside.get_item(TableName=table, Key=KEY)
    db.delete_resource_policy(ResourceArn=resource)
    with refused("PolicyNotFoundException", 400):
        db.get_resource_policy(ResourceArn=resource)
    with refused("ValidationException", 400):
        db.put_resource_policy(ResourceArn=resource, Policy="not a policy")


def test_a_policy_means_who_was_there(account):
    """A user who is made later under the same name is somebody else; one who is not there is nobody."""
    db = account.dynamodb
    table = new_table(account)
    put(account, table, {"p": "k"})
    lets_in = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.id}:user/u"},
        "Action": "dynamodb:Scan", "Resource": arn(account, table)}]}
    with refused("ValidationException", 400, part="Invalid principal"):
        db.put_resource_policy(ResourceArn=arn(account, table), Policy=json.dumps(lets_in))
    key = account.new_user("u")
    db.put_resource_policy(ResourceArn=arn(account, table), Policy=json.dumps(lets_in))
    assert account.client("dynamodb", key=key).scan(TableName=table)["Count"] == 1
    account.iam.delete_access_key(UserName="u", AccessKeyId=key[0])
    first = account.iam.get_user(UserName="u")["User"]["UserId"]
    account.iam.delete_user(UserName="u")
    second = account.client("dynamodb", key=account.new_user("u"))
    with refused("AccessDeniedException", 400):
        second.scan(TableName=table)
    shown = db.get_resource_policy(ResourceArn=arn(account, table))["Policy"]
    assert json.loads(shown)["Statement"][0]["Principal"] == {"AWS": first}


def test_whom_the_policy_of_a_stream_means(account, other):
    """Not the name, but who has it when the policy is put."""
    db = account.dynamodb
    table = new_table(account, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    resource = db.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    user = f"arn:aws:iam::{other.id}:user/s"

    def document(who):
        return policy({"Effect": "Allow", "Principal": {"AWS": who}, "Action": "dynamodb:DescribeStream", "Resource": resource})

    def ask(key):
        return other.client("dynamodbstreams", key=key).describe_stream(StreamArn=resource)

    with refused("ValidationException", 400, part="Invalid principal"):
        db.put_resource_policy(ResourceArn=resource, Policy=document(user))
    with refused("ValidationException", 400, part="Invalid principal"):
        db.put_resource_policy(ResourceArn=resource, Policy=document(user.replace("aws", "aws-cn")))
    ask_all = allow("dynamodb:*")
    first = other.new_user("s", ask_all)
    first_id = other.iam.get_user(UserName="s")["User"]["UserId"]
    db.put_resource_policy(ResourceArn=resource, Policy=document(user))
    ask(first)
    assert user in db.get_resource_policy(ResourceArn=resource)["Policy"]
    other.iam.delete_user_policy(UserName="s", PolicyName="p")
    other.iam.delete_access_key(UserName="s", AccessKeyId=first[0])
    other.iam.delete_user(UserName="s")
    second = other.new_user("s", ask_all)
    with refused("AccessDeniedException", 400):
        ask(second)
    shown = db.get_resource_policy(ResourceArn=resource)["Policy"]
    assert user not in shown and first_id in shown
    db.put_resource_policy(ResourceArn=resource, Policy=document(user))
    ask(second)


def test_arns_of_elsewhere(account):
    """An endpoint knows the tables of its own region and partition."""
    table = new_table(account, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    db, here = account.dynamodb, arn(account, table)
    stream = db.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    for one, another in (("us-east-1", "us-west-2"), ("arn:aws:", "arn:aws-cn:")):
        with refused("ValidationException", 400, part="Invalid TableArn"):
            db.get_item(TableName=here.replace(one, another), Key=KEY)
        with refused("ValidationException", 400, part="Invalid TableArn"):
            db.list_tags_of_resource(ResourceArn=here.replace(one, another))
        with refused("ValidationException", 400, part="Invalid StreamArn"):
            account.client("dynamodbstreams").describe_stream(StreamArn=stream.replace(one, another))
    assert db.get_item(TableName=here, Key=KEY).get("Item") is None


def test_streams_belong_to_their_account(account, other):
    """Another account's ARN or iterator opens nothing, until the stream's own policy says so."""
    db = account.dynamodb
    table = new_table(account, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    put(account, table, {"p": "k", "x": "secret"})
    stream = db.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    shard_id, at = shard(account, stream), iterator(account, stream)
    strangers = [other.streams, other.client("dynamodbstreams", key=other.new_user("s", allow("dynamodb:*")))]

    def calls(streams):
        yield lambda: streams.describe_stream(StreamArn=stream)
        yield lambda: streams.get_shard_iterator(StreamArn=stream, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
        yield lambda: streams.get_records(ShardIterator=at)

    for streams in strangers:
        for call in calls(streams):
            with refused("AccessDeniedException", 400):
                call()
    document = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other.id}:user/s"},
        "Action": ["dynamodb:DescribeStream", "dynamodb:GetRecords"], "Resource": stream}]}
    db.put_resource_policy(ResourceArn=stream, Policy=json.dumps(document))
    assert json.loads(db.get_resource_policy(ResourceArn=stream)["Policy"]) == document
    with refused("PolicyNotFoundException", 400):
        db.get_resource_policy(ResourceArn=arn(account, table))
    describe, shard_iterator, get = calls(strangers[1])
    describe()
    assert len(get()["Records"]) == 1
    with refused("AccessDeniedException", 400):
        shard_iterator()
    with refused("AccessDeniedException", 400):
        strangers[0].describe_stream(StreamArn=stream)
    db.delete_resource_policy(ResourceArn=stream)
    with refused("AccessDeniedException", 400):
        describe()
    absent = arn(account, table) + "/stream/2020-01-01T00:00:00.000"
    with refused("ResourceNotFoundException", 400):
        db.put_resource_policy(ResourceArn=absent, Policy=json.dumps(document))


def test_a_role_with_tags_of_the_table(account):
    table = new_table(account, Tags=[{"Key": "team", "Value": "red"}])
    plain = new_table(account)
    account.iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    account.iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=policy(allow(
        "dynamodb:*", "*", Condition={"StringEquals": {"aws:ResourceTag/team": "red"}})))
    sts = account.client("sts", key=account.new_user("u", allow("sts:AssumeRole")))
    got = sts.assume_role(RoleArn=f"arn:aws:iam::{account.id}:role/r", RoleSessionName="session")["Credentials"]
    db = account.client("dynamodb", key=(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]))
    db.put_item(TableName=table, Item=KEY)
    with refused("AccessDeniedException", 400):
        db.put_item(TableName=plain, Item=KEY)


@pytest.mark.parametrize("key,code", [
    ("anonymous", ("MissingAuthenticationTokenException", "AccessDeniedException", "IncompleteSignatureException")),
    (("AKIAIOSFODNN7EXAMPLE", "wrong"), "UnrecognizedClientException"),
])
def test_who_is_nobody(account, key, code):
    with refused(code, 400):
        account.client("dynamodb", key=key).list_tables()
