"""Transactions of DynamoDB: all or nothing, why not, tokens, limits, and many at once."""

import threading
import uuid

import pytest
from accounts import refused
from dynamo import all_items, get, invalid, new_table, plain, put, wire


@pytest.fixture
def table(account):
    return new_table(account)


def write(account, *members, **more):
    return account.dynamodb.transact_write_items(TransactItems=list(members), **more)


def a_put(table, key, **attributes):
    return {"Put": {"TableName": table, "Item": wire({"p": key, **attributes})}}


def an_add(table, key, amount, condition=None):
    update = {
        "TableName": table, "Key": wire({"p": key}), "UpdateExpression": "ADD n :d",
        "ExpressionAttributeValues": wire({":d": amount})}
    if condition:
        update["ConditionExpression"] = condition
    return {"Update": update}


def a_check(table, key, condition="attribute_exists(p)", **more):
    return {"ConditionCheck": {"TableName": table, "Key": wire({"p": key}), "ConditionExpression": condition, **more}}


def test_all_four_kinds_over_two_tables(account, table):
    other = new_table(account, "p:S c:N")
    put(account, table, {"p": "a", "n": 1}, {"p": "b", "n": 1}, {"p": "c"})
    put(account, other, {"p": "x", "c": 1})
    write(account, an_add(table, "a", 5), {"Delete": {"TableName": table, "Key": wire({"p": "b"})}}, a_check(table, "c"),
          a_put(table, "d", n=4), {"Delete": {"TableName": other, "Key": wire({"p": "x", "c": 1})}})
    assert sorted((i["p"], i.get("n")) for i in all_items(account, table)) == [("a", 6), ("c", None), ("d", 4)]
    assert all_items(account, other) == []
    told = account.dynamodb.transact_get_items(TransactItems=[
        {"Get": {"TableName": table, "Key": wire({"p": "a"})}}, {"Get": {"TableName": other, "Key": wire({"p": "x", "c": 1})}},
        {"Get": {"TableName": table, "Key": wire({"p": "d"}), "ProjectionExpression": "n"}}],
        ReturnConsumedCapacity="TOTAL")
    assert [plain(r["Item"]) if "Item" in r else None for r in told["Responses"]] == [{"p": "a", "n": 6}, None, {"n": 4}]
    assert {c["TableName"]: c["CapacityUnits"] for c in told["ConsumedCapacity"]} == {table: 4.0, other: 2.0}


def test_nothing_of_one_that_fails(account, table):
    put(account, table, {"p": "a", "n": 1})
    failing = [
        a_put(table, "new"), an_add(table, "a", 1, "attribute_not_exists(p)"),
        a_check(table, "a", "n = :v", ExpressionAttributeValues=wire({":v": 9}), ReturnValuesOnConditionCheckFailure="ALL_OLD"),
    ]
    # Two members on one item are refused before anything else.
    with invalid("Transaction request cannot include multiple operations on one item"):
        write(account, *failing)
    failing[1] = {"Update": failing[1]["Update"] | {"Key": wire({"p": "b"}), "ConditionExpression": "attribute_exists(p)"}}
    text = ("Transaction cancelled, please refer cancellation reasons for specific reasons "
            "[None, ConditionalCheckFailed, ConditionalCheckFailed]")
    try:
        write(account, *failing)
        raise AssertionError("it was done")
    except account.dynamodb.exceptions.TransactionCanceledException as error:
        assert error.response["Error"]["Message"] == text
        reasons = error.response["CancellationReasons"]
        assert [r["Code"] for r in reasons] == ["None", "ConditionalCheckFailed", "ConditionalCheckFailed"]
        assert reasons[1]["Message"] == "The conditional request failed" and "Item" not in reasons[1]
        assert plain(reasons[2]["Item"]) == {"p": "a", "n": 1}
    assert all_items(account, table) == [{"p": "a", "n": 1}]
    with refused("TransactionCanceledException", 400, part="[None, ValidationError]"):
        write(account, a_put(table, "new"), {"Update": {
            "TableName": table, "Key": wire({"p": "a"}), "UpdateExpression": "SET n = n + :s",
            "ExpressionAttributeValues": wire({":s": 1}), "ConditionExpression": "attribute_exists(p)"}}
            | {"Update": {"TableName": table, "Key": wire({"p": "a"}), "UpdateExpression": "SET m.x = :s",
                          "ExpressionAttributeValues": wire({":s": 1})}})
    assert all_items(account, table) == [{"p": "a", "n": 1}]


def test_tokens(account, table):
    token = str(uuid.uuid4())
    write(account, an_add(table, "a", 1), ClientRequestToken=token)
    told = write(account, an_add(table, "a", 1), ClientRequestToken=token, ReturnConsumedCapacity="TOTAL")
    assert get(account, table, p="a") == {"p": "a", "n": 1}
    assert told["ConsumedCapacity"][0]["ReadCapacityUnits"] > 0
    with refused("IdempotentParameterMismatchException", 400):
        write(account, an_add(table, "a", 2), ClientRequestToken=token)
    write(account, an_add(table, "a", 1), ClientRequestToken=str(uuid.uuid4()))
    assert get(account, table, p="a")["n"] == 2
    # One that was canceled may be tried again under its token.
    token = str(uuid.uuid4())
    members = [a_put(table, "b"), a_check(table, "later")]
    with refused("TransactionCanceledException"):
        write(account, *members, ClientRequestToken=token)
    put(account, table, {"p": "later"})
    write(account, *members, ClientRequestToken=token)
    assert get(account, table, p="b") == {"p": "b"}


def test_limits(account, table):
    write(account, *(a_put(table, f"{n}") for n in range(100)))
    assert len(all_items(account, table)) == 100
    client = account.client("dynamodb", parameter_validation=False)
    with invalid(part="Member must have length less than or equal to 100"):
        client.transact_write_items(TransactItems=[a_put(table, f"x{n}") for n in range(101)])
    with invalid(part="Member must have length less than or equal to 100"):
        client.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": wire({"p": f"{n}"})}} for n in range(101)])
    with invalid(part="Member must have length greater than or equal to 1"):
        client.transact_write_items(TransactItems=[])
    with invalid("TransactItems can only contain one of Check, Put, Update or Delete"):
        write(account, {})
    with invalid("TransactItems can only contain one of Check, Put, Update or Delete"):
        write(account, a_put(table, "y") | a_check(table, "z"))
    with invalid(part="Transaction payload size cannot exceed"):
        write(account, *(a_put(table, f"large{n}", x="y" * 390_000) for n in range(11)))
    with refused("ResourceNotFoundException", 400, "Requested resource not found"):
        write(account, a_put(table, "y"), a_put("absent", "y"))
    assert len(all_items(account, table)) == 100


@pytest.mark.unkilled
def test_money_is_neither_made_nor_lost(account, table):
    """Transfers between accounts from many clients; readers always see the same sum."""
    names = [f"a{n}" for n in range(5)]
    put(account, table, *({"p": name, "n": 100} for name in names))
    wrong, done = [], []

    def transfer(number):
        client = account.client("dynamodb")
        for step in range(25):
            source, target = names[(number + step) % 5], names[(number * 3 + step * 2 + 1) % 5]
            if source == target:
                continue
            update = an_add(table, source, -(step % 7), "n >= :d")
            update["Update"]["ExpressionAttributeValues"][":d"] = {"N": str(-(step % 7))}
            client.transact_write_items(TransactItems=[update, an_add(table, target, step % 7)])
            told = client.transact_get_items(TransactItems=[
                {"Get": {"TableName": table, "Key": wire({"p": name})}} for name in names])
            total = sum(int(r["Item"]["n"]["N"]) for r in told["Responses"])
            if total != 500:
                wrong.append(total)
        done.append(number)

    threads = [threading.Thread(target=transfer, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(done) == 6 and wrong == []
    assert sum(i["n"] for i in all_items(account, table)) == 500


@pytest.mark.unkilled
def test_counters_and_locks_under_load(account, table):
    """Each increment counts once, and of those who want a lock one has it."""
    won = []

    def work(number):
        client = account.client("dynamodb")
        for step in range(20):
            client.update_item(TableName=table, Key=wire({"p": "counter"}), UpdateExpression="ADD n :one",
                               ExpressionAttributeValues=wire({":one": 1}))
            try:
                client.put_item(TableName=table, Item=wire({"p": f"lock{step}", "owner": number}),
                                ConditionExpression="attribute_not_exists(p)")
                won.append(step)
            except client.exceptions.ConditionalCheckFailedException:
                pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert get(account, table, p="counter")["n"] == 120
    assert sorted(won) == list(range(20))
