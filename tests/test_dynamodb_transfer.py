"""Exports of tables to S3, and tables imported from it."""

import base64
import datetime
import gzip
import hashlib
import json

from accounts import allow, refused
from deadline import wait_until
from dynamo import active, all_items, arn, description, get, new_table, put, wire


def with_recovery(account, *items, keys="p:S"):
    table = new_table(account, keys)
    account.dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    put(account, table, *items)
    return table


def exported(account, export, status="COMPLETED"):
    def over():
        told = account.dynamodb.describe_export(ExportArn=export)["ExportDescription"]
        return told["ExportStatus"] != "IN_PROGRESS" and told

    told = wait_until(over, "the export is over", 60)
    assert told["ExportStatus"] == status, told
    return told


def imported(account, arn, status="COMPLETED"):
    def over():
        told = account.dynamodb.describe_import(ImportArn=arn)["ImportTableDescription"]
        return told["ImportStatus"] != "IN_PROGRESS" and told

    told = wait_until(over, "the import is over", 60)
    assert told["ImportStatus"] == status, told
    return told


def read(account, bucket, key):
    return account.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def lines_of(account, bucket, told):
    """The lines of all data files, which must be what the manifests say."""
    summary = read(account, bucket, told["ExportManifest"])
    folder = told["ExportManifest"].removesuffix("manifest-summary.json")
    digest = base64.b64encode(hashlib.md5(summary).digest())
    assert read(account, bucket, folder + "manifest-summary.md5") == digest
    summary = json.loads(summary)
    files = [json.loads(line) for line in read(account, bucket, summary["manifestFilesS3Key"]).splitlines()]
    found = []
    for file in files:
        data = read(account, bucket, file["dataFileS3Key"])
        assert base64.b64encode(hashlib.md5(data).digest()).decode() == file["md5Checksum"]
        head = account.s3.head_object(Bucket=bucket, Key=file["dataFileS3Key"])
        assert head["ETag"].strip('"') == file["etag"]
        lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
        assert len(lines) == file["itemCount"]
        found += lines
    assert summary["itemCount"] == len(found) == told["ItemCount"]
    return summary, found


def test_out_and_in_again(account):
    db, bucket = account.dynamodb, account.new_bucket()
    items = [{"p": f"k{n}", "n": n, "tags": {"x", str(n)}, "m": {"l": [None, True, b"\x00"]}} for n in range(40)]
    table = with_recovery(account, *items)
    told = db.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket, S3Prefix="my/out")
    export = told["ExportDescription"]["ExportArn"]
    assert told["ExportDescription"]["ExportStatus"] == "IN_PROGRESS"
    put(account, table, {"p": "later"})
    told = exported(account, export)
    summary, lines = lines_of(account, bucket, told)
    assert {line["Item"]["p"]["S"] for line in lines} == {item["p"] for item in items}
    assert (summary["exportType"], summary["outputFormat"], summary["s3SseAlgorithm"]) == (
        "FULL_EXPORT", "DYNAMODB_JSON", "AES256")
    assert summary["exportArn"] == export and summary["tableArn"] == arn(account, table)
    assert db.list_exports(TableArn=arn(account, table))["ExportSummaries"] == [
        {"ExportArn": export, "ExportStatus": "COMPLETED", "ExportType": "FULL_EXPORT"}]

    prefix = told["ExportManifest"].removesuffix("manifest-summary.json") + "data/"
    members = description(glo=[("by-n", "n:N", "ALL")])
    made = db.import_table(
        S3BucketSource={"S3Bucket": bucket, "S3KeyPrefix": prefix}, InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP", TableCreationParameters={"TableName": "back", **members})
    told = imported(account, made["ImportTableDescription"]["ImportArn"])
    assert (told["ImportedItemCount"], told["ErrorCount"]) == (40, 0)
    active(account, "back")
    back = {item["p"]: item for item in all_items(account, "back")}
    assert back["k7"]["n"] == 7 and back["k7"]["tags"] == {"x", "7"} and len(back) == 40
    found = db.query(TableName="back", IndexName="by-n", KeyConditionExpression="n = :n",
                     ExpressionAttributeValues=wire({":n": 3}))
    assert found["Count"] == 1
    assert db.list_imports()["ImportSummaryList"][0]["ImportStatus"] == "COMPLETED"


def test_changes_between_two_times(account):
    db, bucket = account.dynamodb, account.new_bucket()
    table = with_recovery(account, {"p": "a", "n": 1}, {"p": "b", "n": 1}, {"p": "same"})

    def now():
        told = db.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        return told["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"]

    start = now()
    wait_until(lambda: now() > start + datetime.timedelta(milliseconds=1100), "time goes on")
    start = now()
    wait_until(lambda: now() > start, "time goes on")
    put(account, table, {"p": "a", "n": 2}, {"p": "new"})
    db.delete_item(TableName=table, Key=wire({"p": "b"}))
    end = now()
    wait_until(lambda: now() > end, "time goes on")
    end = now()
    told = db.export_table_to_point_in_time(
        TableArn=arn(account, table), S3Bucket=bucket, ExportType="INCREMENTAL_EXPORT",
        IncrementalExportSpecification={"ExportFromTime": start, "ExportToTime": end,
                                        "ExportViewType": "NEW_AND_OLD_IMAGES"})
    told = exported(account, told["ExportDescription"]["ExportArn"])
    summary, lines = lines_of(account, bucket, told)
    assert summary["outputView"] == "NEW_AND_OLD_IMAGES"
    found = {line["Keys"]["p"]["S"]: line for line in lines}
    assert set(found) == {"a", "b", "new"}
    assert (found["a"]["OldImage"]["n"], found["a"]["NewImage"]["n"]) == ({"N": "1"}, {"N": "2"})
    assert "NewImage" not in found["b"] and "OldImage" not in found["new"]
    assert all(int(line["Metadata"]["WriteTimestampMicros"]["N"]) for line in lines)


def test_exports_that_cannot_be(account):
    db, bucket = account.dynamodb, account.new_bucket()
    plain = new_table(account)
    with refused("PointInTimeRecoveryUnavailableException", 400):
        db.export_table_to_point_in_time(TableArn=arn(account, plain), S3Bucket=bucket)
    table = with_recovery(account, {"p": "a"})
    with refused("NotImplemented", 501):
        db.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket, ExportFormat="ION")
    with refused("InvalidExportTimeException", 400):
        db.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket,
                                         ExportTime=datetime.datetime(2001, 1, 1))
    half = account.client("dynamodb", key=account.new_user("half", allow("dynamodb:*")))
    with refused("AccessDeniedException", 400, part="s3:PutObject"):
        half.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket)
    user = account.client("dynamodb", key=account.new_user(
        "user", allow("dynamodb:ExportTableToPointInTime", arn(account, table)),
        allow("s3:PutObject", f"arn:aws:s3:::{bucket}/mine/*")))
    with refused("AccessDeniedException", 400):
        user.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket)
    told = user.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket, S3Prefix="mine")
    exported(account, told["ExportDescription"]["ExportArn"])
    with refused("ExportNotFoundException", 400):
        db.describe_export(ExportArn=arn(account, table) + "/export/01489602797149-73d8d5bc")


def parameters(name, keys="p:S n:N"):
    return {"TableName": name, **description(keys)}


def test_separated_values(account):
    db, bucket = account.dynamodb, account.new_bucket()
    account.s3.put_object(Bucket=bucket, Key="in/1.csv", Body=(
        'p,n,more\r\na,1,"with ""quotes"", and\na line"\r\nb,no number,x\r\nc,3,\r\n'))
    account.s3.put_object(Bucket=bucket, Key="in/2.csv", Body="p,n\na,2\n")
    account.s3.put_object(Bucket=bucket, Key="other.csv", Body="p,n\nz,2\n")
    made = db.import_table(S3BucketSource={"S3Bucket": bucket, "S3KeyPrefix": "in/"}, InputFormat="CSV",
                           TableCreationParameters=parameters("new"))
    told = imported(account, made["ImportTableDescription"]["ImportArn"])
    assert (told["ProcessedItemCount"], told["ImportedItemCount"], told["ErrorCount"]) == (4, 3, 1)
    active(account, "new")
    assert get(account, "new", p="a", n=1) == {"p": "a", "n": 1, "more": 'with "quotes", and\na line'}
    assert get(account, "new", p="c", n=3) == {"p": "c", "n": 3, "more": ""}
    assert len(all_items(account, "new")) == 3
    with refused("ResourceInUseException", 400, "Table already exists: new"):
        db.import_table(S3BucketSource={"S3Bucket": bucket}, InputFormat="CSV",
                        TableCreationParameters=parameters("new"))


def test_imports_that_cannot_be(account):
    db, bucket = account.dynamodb, account.new_bucket()
    for format, packed in (("ION", "NONE"), ("CSV", "ZSTD")):
        with refused("NotImplemented", 501):
            db.import_table(S3BucketSource={"S3Bucket": bucket}, InputFormat=format,
                            InputCompressionType=packed, TableCreationParameters=parameters("never"))
    made = db.import_table(S3BucketSource={"S3Bucket": bucket}, InputFormat="CSV",
                           TableCreationParameters=parameters("empty"))
    told = imported(account, made["ImportTableDescription"]["ImportArn"], "FAILED")
    assert told["FailureCode"] == "S3NoSuchKey"
    half = account.client("dynamodb", key=account.new_user("half", allow("dynamodb:*")))
    with refused("AccessDeniedException", 400):
        half.import_table(S3BucketSource={"S3Bucket": bucket}, InputFormat="CSV",
                          TableCreationParameters=parameters("never"))


def test_what_s3_keeps_of_it(account):
    """Objects of an export are written by S3's own operation: it tells of them as of any."""
    db, bucket = account.dynamodb, account.new_bucket()
    account.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    table = with_recovery(account, {"p": "a"})
    told = db.export_table_to_point_in_time(TableArn=arn(account, table), S3Bucket=bucket)
    told = exported(account, told["ExportDescription"]["ExportArn"])
    head = account.s3.head_object(Bucket=bucket, Key=told["ExportManifest"])
    assert head["VersionId"] and head["ServerSideEncryption"] == "AES256"
    assert head["ContentType"] == "application/json"
