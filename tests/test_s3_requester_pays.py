"""Buckets for which those who ask pay: other accounts say so, and nobody else gets anything."""

import json

import pytest
import requests
from accounts import refused


@pytest.fixture
def open_bucket(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    account.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}]}))
    return bucket


def test_who_pays(account, open_bucket):
    stranger = account.client("s3", key=("999999999917", "test"))
    assert stranger.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    account.s3.put_bucket_request_payment(
        Bucket=open_bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert account.s3.get_bucket_request_payment(Bucket=open_bucket)["Payer"] == "Requester"
    with refused("AccessDenied", 403):
        stranger.get_object(Bucket=open_bucket, Key="k")
    with refused("AccessDenied", 403):
        stranger.list_objects_v2(Bucket=open_bucket)
    paid = stranger.get_object(Bucket=open_bucket, Key="k", RequestPayer="requester")
    assert paid["Body"].read() == b"x" and paid["RequestCharged"] == "requester"
    listed = stranger.list_objects_v2(Bucket=open_bucket, RequestPayer="requester")
    assert listed["KeyCount"] == 1
    url = stranger.generate_presigned_url(
        "get_object", {"Bucket": open_bucket, "Key": "k", "RequestPayer": "requester"})
    account.cloud.before_request()
    assert requests.get(url, timeout=30).content == b"x"
    # Nobody cannot pay, and the owner need not say so.
    account.cloud.before_request()
    bare = requests.get(f"{account.endpoint}/{open_bucket}/k", timeout=30,
                        headers={"x-amz-request-payer": "requester"})
    assert bare.status_code == 403
    assert account.s3.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    account.s3.put_bucket_request_payment(
        Bucket=open_bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    assert stranger.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"


def test_a_payer_that_is_none(account, bucket):
    with refused("MalformedXML", 400):
        account.s3.put_bucket_request_payment(
            Bucket=bucket, RequestPaymentConfiguration={"Payer": "Somebody"})
