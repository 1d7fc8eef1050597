"""The expressions of DynamoDB through its operations: what holds, what an update makes, what is left
by a projection, and AWS's words for what is wrong. A refusal changes nothing."""

import itertools

import pytest
from dynamo import failed_condition, get, invalid, new_table, plain, put, wire

ITEM = {
    "p": "k", "a": 5, "b": "hello", "c": [1, {"x": "y"}, 3], "d": {"p", "q"}, "e": {"f": 7, "g": ["z"]},
    "t": True, "n": None,
}
VALUES = {
    ":one": 1, ":five": 5, ":nine": 9, ":he": "he", ":ll": "ll", ":p": "p", ":N": "N", ":Q": "Q",
    ":list": [8], ":set": {"q", "r"}, ":true": True, ":all": {"p", "q"},
}
NAMES = {"#a": "a", "#e": "e", "#f": "f", "#size": "size"}


def used(text):
    """Only what an expression uses may come with it."""
    words = text.replace("(", " ").replace(")", " ").replace(",", " ").replace(".", " ").replace("[", " ").split()
    members = {}
    values = {name: VALUES[name] for name in words if name in VALUES}
    names = {name: NAMES[name] for name in words if name in NAMES}
    if values:
        members["ExpressionAttributeValues"] = wire(values)
    if names:
        members["ExpressionAttributeNames"] = names
    return members


@pytest.fixture
def table(account):
    name = new_table(account)
    put(account, name, ITEM)
    return name


HOLD = [
    "a = :five", "#a >= :one AND a < :nine", "a between :one and :nine", "a IN (:one, :five)",
    "NOT a = :one", "a <> :one", "absent <> :one", "attribute_exists(e.g[0]) and attribute_not_exists(e.g[1])",
    "attribute_exists(#e.#f)", "attribute_type(a, :N)", "begins_with(b, :he)", "contains(b, :ll)",
    "contains(d, :p)", "contains(c, :one)", "size(b) = :five", "size(d) < :five", "(a = :five)",
    "a = :one OR (b <> :he AND (a = :five OR a = :one))", "t = :true", "d = :all", "c[0] = :one",
    "size(e) <= :five",
]
FAIL = [
    "a = :he", "a < :he", "absent = :one", "absent < :one", "begins_with(a, :he)", "contains(a, :one)",
    "size(a) = :one", "c[9] = :one", "b[0] = :he", "a IN (:one, :he)", "not (a = :five or a = :one)",
    "attribute_exists(absent)", "attribute_type(b, :N)", "a = :one AND a = :five", "e = :one",
]


@pytest.mark.parametrize("text,holds", [(t, True) for t in HOLD] + [(t, False) for t in FAIL])
def test_conditions(account, table, text, holds):
    """The same as a condition of a write and as a filter."""
    db = account.dynamodb
    write = {"TableName": table, "Item": wire(ITEM), "ConditionExpression": text, **used(text)}
    if holds:
        db.put_item(**write)
    else:
        with failed_condition():
            db.put_item(**write)
    found = db.scan(TableName=table, FilterExpression=text, **used(text))
    assert (found["Count"], found["ScannedCount"]) == (int(holds), 1)


BAD_CONDITIONS = {
    "": "The expression can not be empty;",
    "a = ": 'Syntax error; token: "<EOF>", near: "= "',
    "a == :one": 'Syntax error; token: "=", near: "== :one"',
    "a = 1": 'Syntax error; token: "1", near: "= 1"',
    "(a = :one": 'Syntax error; token: "<EOF>", near: ":one"',
    "abort = :one": "Attribute name is a reserved keyword; reserved keyword: abort",
    "((a = :one))": "The expression has redundant parentheses;",
    "foo(a)": "Invalid function name; function: foo",
    "list_append(a, b) = :one": "The function is not allowed in a condition expression; function: list_append",
    "size(a)": "The function is not allowed to be used this way in an expression; function: size",
    "size(a, b) = :one": "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2",
    "begins_with(a, :one)": "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
    "a < :true": "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
    "attribute_type(a, :Q)": "Invalid attribute type name found; type: Q, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
    "a = a": "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
    "a = :missing": "An expression attribute value used in expression is not defined; attribute value: :missing",
    "#missing = a": "An expression attribute name used in the document path is not defined; attribute name: #missing",
    "a[99999999999] = :one": "List index is not within the allowable range; index: [99999999999]",
    "(" * 3000: "The expression is nested too deeply; expression nested too deeply",
    "a" * 4097: "Expression size has exceeded the maximum allowed size; expression size: 4097",
    " or ".join(["a=:one"] * 200): "The expression contains too many operators; operator count: 399",
    "a = :one \0": None, "ä = :one": None, "a = :one; drop": None, "a = 'x'": None,
}


@pytest.mark.parametrize("number", range(len(BAD_CONDITIONS)))
def test_bad_conditions(account, table, number):
    text, message = list(BAD_CONDITIONS.items())[number]
    db = account.dynamodb
    more = used(text)
    if "=:one" in text:
        more = {"ExpressionAttributeValues": wire({":one": 1})}
    for member, call in (
        ("ConditionExpression", lambda **m: db.put_item(TableName=table, Item=wire({"p": "k"}), **m)),
        ("ConditionExpression", lambda **m: db.delete_item(TableName=table, Key=wire({"p": "k"}), **m)),
        ("FilterExpression", lambda **m: db.scan(TableName=table, **m)),
    ):
        with invalid(**({"text": f"Invalid {member}: {message}"} if message else {"part": f"Invalid {member}: Syntax error"})):
            call(**{member: text}, **more)
    assert get(account, table, p="k") == ITEM


UPDATES = {
    "SET a = :nine": {"a": 9},
    "set a = a + :one": {"a": 6},
    "set a = (a - :nine)": {"a": -4},
    "SET z = if_not_exists(z, :he), y = if_not_exists(a, :he)": {"y": 5, "z": "he"},
    "SET z = if_not_exists(z, :five) + :one": {"z": 6},
    "SET c = list_append(:list, c)": {"c": [8, 1, {"x": "y"}, 3]},
    "SET e.f = :one, e.h = :he": {"e": {"f": 1, "g": ["z"], "h": "he"}},
    "SET c[9] = :nine, c[8] = :five REMOVE c[0]": {"c": [{"x": "y"}, 3, 5, 9]},
    "SET a = b, b = a": {"a": "hello", "b": 5},
    "REMOVE a, e.f, nothing, c[77]": {"a": None, "e": {"g": ["z"]}},
    "ADD a :one, z :five, d :set": {"a": 6, "z": 5, "d": {"p", "q", "r"}},
    "DELETE d :set, nothing :set": {"d": {"p"}},
    "DELETE d :all": {"d": None},
    "SET a = :one REMOVE b ADD z :one DELETE d :set": {"a": 1, "b": None, "z": 1, "d": {"p"}},
    "SET #e.#f = #size": None,
    "REMOVE c[0], c[1]": {"c": [3]},
    "SET c[1].x = :one": {"c": [1, {"x": 1}, 3]},
}


@pytest.mark.parametrize("text", UPDATES)
def test_updates(account, table, text):
    changed = UPDATES[text]
    members = {"TableName": table, "Key": wire({"p": "k"}), "UpdateExpression": text, **used(text)}
    if changed is None:
        with invalid("The provided expression refers to an attribute that does not exist in the item"):
            account.dynamodb.update_item(**members)
        assert get(account, table, p="k") == ITEM
        return
    expected = {name: value for name, value in (ITEM | changed).items() if value is not None or name == "n"}
    told = account.dynamodb.update_item(**members, ReturnValues="ALL_NEW")
    assert plain(told["Attributes"]) == expected
    assert get(account, table, p="k") == expected


NO_PLACE = "The document path provided in the update expression is invalid for update"
WRONG = "An operand in the update expression has an incorrect data type"
INVALID = "Invalid UpdateExpression: "
BAD_UPDATES = {
    "SET x.y = :one": NO_PLACE, "SET a.y = :one": NO_PLACE, "SET e[0] = :one": NO_PLACE, "REMOVE x.y": NO_PLACE,
    "SET a = b + :one": WRONG, "SET a = list_append(b, :list)": WRONG, "ADD b :one": WRONG, "DELETE a :set": WRONG,
    "SET a = nothing": "The provided expression refers to an attribute that does not exist in the item",
    "SET a = :one SET b = :one": INVALID + 'The "SET" section can only be used once in an update expression;',
    "SET a = :one, a = :nine": INVALID + "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
    "SET e.f = :one, e[1] = :nine": INVALID + "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [e, f], path two: [e, [1]]",
    "ADD a :he": INVALID + "Incorrect operand type for operator or function; operator: ADD, operand type: STRING",
    "SET a = :he + :one": INVALID + "Incorrect operand type for operator or function; operator or function: +, operand type: S",
    "SET a = size(b)": INVALID + "The function is not allowed in an update expression; function: size",
    "SET a": INVALID + 'Syntax error; token: "<EOF>", near: "a"',
    "SET a = :one,": INVALID + 'Syntax error; token: "<EOF>", near: ","',
    "": INVALID + "The expression can not be empty;",
    "SET p = :he": "One or more parameter values were invalid: Cannot update attribute p. This attribute is part of the key",
    "REMOVE p": "One or more parameter values were invalid: Cannot update attribute p. This attribute is part of the key",
}


@pytest.mark.parametrize("text", BAD_UPDATES)
def test_bad_updates(account, table, text):
    with invalid(BAD_UPDATES[text]):
        account.dynamodb.update_item(
            TableName=table, Key=wire({"p": "k"}), UpdateExpression=text, **used(text))
    assert get(account, table, p="k") == ITEM


PROJECTIONS = {
    "a, nothing": {"a": 5},
    "c[2], c[0]": {"c": [1, 3]},
    "#e.#f, e.g[0], c[1].x": {"e": {"f": 7, "g": ["z"]}, "c": [{"x": "y"}]},
    "p": {"p": "k"},
    "nothing": {},
    "e.nothing, b[0]": {},
}


@pytest.mark.parametrize("text", PROJECTIONS)
def test_projections(account, table, text):
    db, members = account.dynamodb, used(text) | {"ProjectionExpression": text}
    expected = PROJECTIONS[text]
    assert plain(db.get_item(TableName=table, Key=wire({"p": "k"}), **members)["Item"]) == expected
    assert [plain(i) for i in db.scan(TableName=table, **members)["Items"]] == [expected]
    told = db.batch_get_item(RequestItems={table: {"Keys": [wire({"p": "k"})], **members}})
    assert [plain(i) for i in told["Responses"][table]] == [expected]
    told = db.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": wire({"p": "k"}), **members}}])
    assert plain(told["Responses"][0]["Item"]) == expected


BAD_PROJECTIONS = {
    "": "The expression can not be empty;",
    "a,": 'Syntax error; token: "<EOF>", near: ","',
    "a, a": "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
    "e.g, e[0]": "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [e, g], path two: [e, [0]]",
    "size": "Attribute name is a reserved keyword; reserved keyword: size",
    "#none": "An expression attribute name used in the document path is not defined; attribute name: #none",
    "a[-1]": 'Syntax error; token: "-", near: "[-1"',
}


@pytest.mark.parametrize("text", BAD_PROJECTIONS)
def test_bad_projections(account, table, text):
    with invalid(f"Invalid ProjectionExpression: {BAD_PROJECTIONS[text]}"):
        account.dynamodb.get_item(TableName=table, Key=wire({"p": "k"}), ProjectionExpression=text)


def test_names_and_values(account, table):
    db = account.dynamodb

    def write(**members):
        db.put_item(TableName=table, Item=wire({"p": "k"}), **members)

    condition = {"ConditionExpression": "a = :v"}
    for members, text in [
        (condition | {"ExpressionAttributeValues": wire({":v": 1, ":w": 1})},
         "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}"),
        (condition | {"ExpressionAttributeValues": wire({":v": 1}), "ExpressionAttributeNames": {"#a": "a"}},
         "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}"),
        (condition | {"ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
        (condition | {"ExpressionAttributeNames": {}, "ExpressionAttributeValues": wire({":v": 1})},
         "ExpressionAttributeNames must not be empty"),
        (condition | {"ExpressionAttributeValues": wire({"v": 1})},
         'ExpressionAttributeValues contains invalid key: Syntax error; key: "v"'),
        (condition | {"ExpressionAttributeNames": {"a": "a"}, "ExpressionAttributeValues": wire({":v": 1})},
         'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
        ({"ExpressionAttributeNames": {"#a": "a"}},
         "ExpressionAttributeNames can only be specified when using expressions"),
        ({"ExpressionAttributeValues": wire({":v": 1})},
         "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null"),
    ]:
        with invalid(text):
            write(**members)
    assert get(account, table, p="k") == ITEM


def test_every_combination_of_comparison(account):
    """Each comparison of each two values, held against what Python says."""
    db, table = account.dynamodb, new_table(account)
    values = [0, 1, -1, "", "a", "b", b"", b"a", b"\xff", True, None, [1], {"x": 1}, {"s"}, {2}]
    put(account, table, {"p": "k"} | {f"v{n}": v for n, v in enumerate(values)})
    compare = {
        "=": lambda a, b: type(a) is type(b) and a == b, "<>": lambda a, b: not (type(a) is type(b) and a == b),
        "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    }

    def scalar(value):
        return type(value) in (int, str, bytes)

    for (n, a), (m, b) in itertools.permutations(enumerate(values), 2):
        if (n + m) % 3:
            continue
        ordered = scalar(a) and type(a) is type(b)
        wanted = [
            symbol for symbol, of in compare.items() if (ordered or symbol in ("=", "<>")) and of(a, b)
        ]
        held = []
        for symbol in compare:
            found = db.scan(TableName=table, FilterExpression=f"v{n} {symbol} v{m}", Select="COUNT")
            if found["Count"]:
                held.append(symbol)
        assert held == wanted, (a, b)
