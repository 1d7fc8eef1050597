"""Versioning: enabled, suspended, delete markers, and what lists show of them."""

import pytest
import wire
from accounts import quote, refused


@pytest.fixture
def versioned(account, bucket):
    set_status(account, bucket, "Enabled")
    return bucket


def set_status(account, bucket, status):
    account.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put(account, bucket, body, key="k"):
    return account.s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")


def body(account, bucket, key="k", **more):
    return account.s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def rows(answer, kind="Versions"):
    return [(v["Key"], v["VersionId"], v["IsLatest"]) for v in answer.get(kind, [])]


def test_status(account, bucket):
    assert "Status" not in account.s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Enabled", "Suspended", "Enabled"):
        set_status(account, bucket, status)
        assert account.s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    with refused(("MalformedXML", "IllegalVersioningConfigurationException"), 400):
        set_status(account, bucket, "Sometimes")


def test_each_put_is_kept(account, versioned):
    ids = [put(account, versioned, body) for body in (b"one", b"two", b"three")]
    assert len(set(ids)) == 3 and None not in ids
    assert body(account, versioned) == b"three"
    for version, text in zip(ids, (b"one", b"two", b"three")):
        got = account.s3.get_object(Bucket=versioned, Key="k", VersionId=version)
        assert got["Body"].read() == text and got["VersionId"] == version
        head = account.s3.head_object(Bucket=versioned, Key="k", VersionId=version)
        assert head["ContentLength"] == len(text)
    answer = account.s3.list_object_versions(Bucket=versioned)
    assert rows(answer) == [("k", ids[2], True), ("k", ids[1], False), ("k", ids[0], False)]
    assert account.s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 1


def test_delete_leaves_a_marker(account, versioned):
    version = put(account, versioned, b"one")
    gone = account.s3.delete_object(Bucket=versioned, Key="k")
    assert gone["DeleteMarker"] is True and gone["VersionId"] != version
    try:
        account.s3.get_object(Bucket=versioned, Key="k")
    except account.s3.exceptions.NoSuchKey as error:
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-delete-marker"] == "true"
        assert headers["x-amz-version-id"] == gone["VersionId"]
    else:
        raise AssertionError("a marker is on top")
    assert body(account, versioned, VersionId=version) == b"one"
    assert account.s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 0
    answer = account.s3.list_object_versions(Bucket=versioned)
    assert rows(answer) == [("k", version, False)]
    assert rows(answer, "DeleteMarkers") == [("k", gone["VersionId"], True)]
    # Without its marker the object is back.
    undone = account.s3.delete_object(Bucket=versioned, Key="k", VersionId=gone["VersionId"])
    assert undone["DeleteMarker"] is True and undone["VersionId"] == gone["VersionId"]
    assert body(account, versioned) == b"one"


def test_a_marker_cannot_be_read(account, versioned):
    put(account, versioned, b"one")
    marker = account.s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused("MethodNotAllowed", 405, "The specified method is not allowed against this resource."):
        account.s3.get_object(Bucket=versioned, Key="k", VersionId=marker)
    with refused("405", 405):
        account.s3.head_object(Bucket=versioned, Key="k", VersionId=marker)


def test_delete_of_a_version_is_for_ever(account, versioned):
    first, second = put(account, versioned, b"one"), put(account, versioned, b"two")
    gone = account.s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert gone["VersionId"] == second and "DeleteMarker" not in gone
    assert body(account, versioned) == b"one"
    with refused("NoSuchVersion", 404, "The specified version does not exist."):
        account.s3.get_object(Bucket=versioned, Key="k", VersionId=second)
    account.s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert "Versions" not in account.s3.list_object_versions(Bucket=versioned)
    account.s3.delete_bucket(Bucket=versioned)


def test_versions_that_are_none(account, versioned):
    put(account, versioned, b"one")
    with refused("InvalidArgument", 400, "Invalid version id specified"):
        account.s3.get_object(Bucket=versioned, Key="k", VersionId="nonsense!")
    for id, text in (("", "Version id cannot be the empty string"),
                     ("nonsense!", "Invalid version id specified")):
        answer = wire.call(account, "DELETE", f"/{versioned}/k?versionId={quote(id)}")
        assert (answer.status, answer.code, answer.message) == (400, "InvalidArgument", text)
    # No retention can be deleted, and nothing else is in its place.
    answer = wire.call(account, "DELETE", f"/{versioned}/k?retention")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert body(account, versioned) == b"one"
    other = put(account, versioned, b"x", key="other")
    with refused("NoSuchVersion", 404):
        account.s3.get_object(Bucket=versioned, Key="k", VersionId=other)


def test_from_before_versioning(account, bucket):
    assert put(account, bucket, b"before") is None
    set_status(account, bucket, "Enabled")
    version = put(account, bucket, b"after")
    assert body(account, bucket, VersionId="null") == b"before"
    assert rows(account.s3.list_object_versions(Bucket=bucket)) == [
        ("k", version, True), ("k", "null", False),
    ]


def test_suspended_has_one_null_version(account, versioned):
    kept = put(account, versioned, b"kept")
    set_status(account, versioned, "Suspended")
    for text in (b"null one", b"null two"):
        assert put(account, versioned, text) in ("null", None)
    assert body(account, versioned) == b"null two"
    assert body(account, versioned, VersionId=kept) == b"kept"
    assert rows(account.s3.list_object_versions(Bucket=versioned)) == [
        ("k", "null", True), ("k", kept, False),
    ]
    gone = account.s3.delete_object(Bucket=versioned, Key="k")
    assert gone["DeleteMarker"] is True and gone["VersionId"] == "null"
    answer = account.s3.list_object_versions(Bucket=versioned)
    assert rows(answer, "DeleteMarkers") == [("k", "null", True)]
    assert rows(answer) == [("k", kept, False)]


def test_a_bucket_with_versions_stays(account, versioned):
    put(account, versioned, b"one")
    account.s3.delete_object(Bucket=versioned, Key="k")
    with refused("BucketNotEmpty", 409, part="You must delete all versions in the bucket."):
        account.s3.delete_bucket(Bucket=versioned)


def test_delete_many_of_versions(account, versioned):
    first, second = put(account, versioned, b"one"), put(account, versioned, b"two")
    answer = account.s3.delete_objects(
        Bucket=versioned,
        Delete={"Objects": [{"Key": "k", "VersionId": first}, {"Key": "k"}, {"Key": "new"}]},
    )
    plain, marked, marked_new = answer["Deleted"]
    assert plain == {"Key": "k", "VersionId": first}
    assert marked["DeleteMarker"] is True and marked["DeleteMarkerVersionId"]
    assert marked_new["Key"] == "new" and marked_new["DeleteMarker"] is True
    assert body(account, versioned, VersionId=second) == b"two"


def test_copy_of_a_version(account, versioned):
    first = put(account, versioned, b"one")
    put(account, versioned, b"two")
    copied = account.s3.copy_object(
        Bucket=versioned, Key="copy",
        CopySource={"Bucket": versioned, "Key": "k", "VersionId": first},
    )
    assert copied["CopySourceVersionId"] == first and copied["VersionId"]
    assert body(account, versioned, key="copy") == b"one"
    # To restore an old version is to copy it onto its own key.
    account.s3.copy_object(
        Bucket=versioned, Key="k", CopySource={"Bucket": versioned, "Key": "k", "VersionId": first}
    )
    assert body(account, versioned) == b"one"


def test_multipart_makes_a_version(account, versioned):
    first = put(account, versioned, b"one")
    where = {"Bucket": versioned, "Key": "k"}
    upload = account.s3.create_multipart_upload(**where)["UploadId"]
    part = account.s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"parts")
    done = account.s3.complete_multipart_upload(
        **where, UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert done["VersionId"] not in (None, first)
    assert body(account, versioned) == b"parts"
    assert body(account, versioned, VersionId=first) == b"one"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_version_pages_add_up(account, versioned, size):
    for n in range(3):
        for key in ("a", "b/1", "b/2", "c"):
            put(account, versioned, str(n).encode(), key)
    account.s3.delete_object(Bucket=versioned, Key="a")
    whole = account.s3.list_object_versions(Bucket=versioned)
    assert len(whole["Versions"]) == 12 and len(whole["DeleteMarkers"]) == 1
    pages = list(
        account.s3.get_paginator("list_object_versions").paginate(
            Bucket=versioned, PaginationConfig={"PageSize": size}
        )
    )
    for kind in ("Versions", "DeleteMarkers"):
        assert [row for page in pages for row in rows(page, kind)] == rows(whole, kind)
    folded = account.s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [p["Prefix"] for p in folded["CommonPrefixes"]] == ["b/"]
    assert {v["Key"] for v in folded["Versions"]} == {"a", "c"}
