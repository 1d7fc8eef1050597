"""Backups of tables, point-in-time recovery, and tables restored from both."""

import datetime

from accounts import allow, refused
from deadline import wait_until
from dynamo import active, all_items, arn, get, index, invalid, new_table, put, wire


def ready(account, backup):
    def there():
        told = account.dynamodb.describe_backup(BackupArn=backup)["BackupDescription"]
        return told["BackupDetails"]["BackupStatus"] == "AVAILABLE" and told

    return wait_until(there, f"{backup} is there", 60)


def by_key(account, table):
    return {item["p"]: item for item in all_items(account, table)}


def test_a_backup_outlives_its_table(account):
    db = account.dynamodb
    table = new_table(account, glo=[("by-n", "n:N", "ALL")])
    put(account, table, *({"p": f"k{n}", "n": n} for n in range(60)))
    before = by_key(account, table)
    details = db.create_backup(TableName=table, BackupName="first")["BackupDetails"]
    backup = details["BackupArn"]
    assert backup.startswith(arn(account, table) + "/backup/0") and details["BackupType"] == "USER"
    put(account, table, {"p": "k1", "n": 1000}, {"p": "late"})
    told = ready(account, backup)
    source = told["SourceTableDetails"]
    assert (source["TableName"], source["ItemCount"], source["BillingMode"]) == (table, 60, "PAY_PER_REQUEST")
    assert told["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"][0]["IndexName"] == "by-n"
    db.delete_table(TableName=table)
    restored = db.restore_table_from_backup(TargetTableName="again", BackupArn=backup)["TableDescription"]
    assert restored["TableStatus"] == "CREATING" and restored["RestoreSummary"]["SourceBackupArn"] == backup
    told = active(account, "again")
    assert told["RestoreSummary"]["RestoreInProgress"] is False
    assert by_key(account, "again") == before
    found = db.query(TableName="again", IndexName="by-n", KeyConditionExpression="n = :n",
                     ExpressionAttributeValues=wire({":n": 7}))
    assert found["Count"] == 1
    with refused("TableAlreadyExistsException", 400, "Table already exists: again"):
        db.restore_table_from_backup(TargetTableName="again", BackupArn=backup)
    gone = db.delete_backup(BackupArn=backup)["BackupDescription"]
    assert gone["BackupDetails"]["BackupStatus"] == "DELETED"
    with refused("BackupNotFoundException", 400, f"Backup not found: {backup}"):
        db.describe_backup(BackupArn=backup)
    assert by_key(account, "again") == before


def test_restoring_otherwise(account):
    db = account.dynamodb
    table = new_table(account, glo=[("by-n", "n:N", "ALL"), ("by-m", "m:S", "KEYS_ONLY")])
    put(account, table, {"p": "a", "n": 1, "m": "x"})
    backup = db.create_backup(TableName=table, BackupName="first")["BackupDetails"]["BackupArn"]
    ready(account, backup)
    db.restore_table_from_backup(
        TargetTableName="less", BackupArn=backup, BillingModeOverride="PROVISIONED",
        ProvisionedThroughputOverride={"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
        GlobalSecondaryIndexOverride=[index("by-m", "m:S", "KEYS_ONLY") | {
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}])
    told = active(account, "less")
    assert [one["IndexName"] for one in told["GlobalSecondaryIndexes"]] == ["by-m"]
    assert told["ProvisionedThroughput"]["WriteCapacityUnits"] == 4
    assert {one["AttributeName"] for one in told["AttributeDefinitions"]} == {"p", "m"}
    with invalid(part="is not one of the source table"):
        db.restore_table_from_backup(TargetTableName="bad", BackupArn=backup,
                                     GlobalSecondaryIndexOverride=[index("by-m", "m:S", "ALL")])


def test_lists(account):
    db = account.dynamodb
    table, other = new_table(account), new_table(account)
    made = []
    for name, of in (("one", table), ("two", other), ("three", table)):
        made.append(db.create_backup(TableName=of, BackupName=name)["BackupDetails"]["BackupArn"])
        ready(account, made[-1])
    listed = db.list_backups()["BackupSummaries"]
    assert sorted(one["BackupName"] for one in listed) == ["one", "three", "two"]
    assert {one["BackupName"] for one in db.list_backups(TableName=table)["BackupSummaries"]} == {"one", "three"}
    first = db.list_backups(Limit=2)
    rest = db.list_backups(ExclusiveStartBackupArn=first["LastEvaluatedBackupArn"])
    assert len(first["BackupSummaries"]) == 2 and len(rest["BackupSummaries"]) == 1
    hour = datetime.timedelta(hours=1)
    later = db.list_backups(TimeRangeLowerBound=listed[0]["BackupCreationDateTime"] + hour)
    assert later["BackupSummaries"] == []
    with refused("TableNotFoundException", 400, "Table not found: absent"):
        db.create_backup(TableName="absent", BackupName="name")


def switch(account, table, on=True, **more):
    told = account.dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on, **more})
    return told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]


def test_back_to_a_time(account):
    db = account.dynamodb
    table = new_table(account)
    put(account, table, {"p": "a", "n": 1}, {"p": "b", "n": 1})
    with refused("PointInTimeRecoveryUnavailableException", 400,
                 f"Point in time recovery is not enabled for table '{table}'"):
        db.restore_table_to_point_in_time(SourceTableName=table, TargetTableName="past",
                                          UseLatestRestorableTime=True)
    told = switch(account, table, RecoveryPeriodInDays=7)
    assert (told["PointInTimeRecoveryStatus"], told["RecoveryPeriodInDays"]) == ("ENABLED", 7)
    then = told["LatestRestorableDateTime"]

    # The clock's next millisecond, and then some.
    def now():
        told = db.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        return told["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"]

    wait_until(lambda: now() > then, "time goes on")
    put(account, table, {"p": "a", "n": 2}, {"p": "c", "n": 2})
    db.delete_item(TableName=table, Key=wire({"p": "b"}))
    db.restore_table_to_point_in_time(SourceTableName=table, TargetTableName="past", RestoreDateTime=then)
    db.restore_table_to_point_in_time(SourceTableArn=arn(account, table), TargetTableName="latest",
                                      UseLatestRestorableTime=True)
    put(account, table, {"p": "d", "n": 3})
    active(account, "past"), active(account, "latest")
    assert by_key(account, "past") == {"a": {"p": "a", "n": 1}, "b": {"p": "b", "n": 1}}
    assert by_key(account, "latest") == {"a": {"p": "a", "n": 2}, "c": {"p": "c", "n": 2}}
    assert set(by_key(account, table)) == {"a", "c", "d"}
    for wrong in (then - datetime.timedelta(days=1), then + datetime.timedelta(days=1)):
        with refused("InvalidRestoreTimeException", 400):
            db.restore_table_to_point_in_time(SourceTableName=table, TargetTableName="never", RestoreDateTime=wrong)
    assert switch(account, table, on=False)["PointInTimeRecoveryStatus"] == "DISABLED"


def test_a_deleted_table_with_recovery_leaves_a_backup(account):
    db = account.dynamodb
    table = new_table(account)
    put(account, table, {"p": "a"})
    switch(account, table)
    db.delete_table(TableName=table)
    [left] = db.list_backups(BackupType="SYSTEM")["BackupSummaries"]
    assert left["BackupName"] == f"{table}$DeletedTableBackup" and left["BackupExpiryDateTime"]
    db.restore_table_from_backup(TargetTableName=table, BackupArn=left["BackupArn"])
    active(account, table)
    assert get(account, table, p="a") == {"p": "a"}


def test_permissions(account):
    table = new_table(account)
    backup = account.dynamodb.create_backup(TableName=table, BackupName="first")["BackupDetails"]["BackupArn"]
    ready(account, backup)
    only = account.client("dynamodb", key=account.new_user(
        "only", allow("dynamodb:*Backup*", arn(account, table) + "*"), allow("dynamodb:ListBackups")))
    assert only.list_backups()["BackupSummaries"]
    only.create_backup(TableName=table, BackupName="second")
    # The new table is made of items that its maker must be able to read and write.
    with refused("AccessDeniedException", 400):
        only.restore_table_from_backup(TargetTableName="again", BackupArn=backup)
    with refused("AccessDeniedException", 400):
        only.delete_table(TableName=table)
