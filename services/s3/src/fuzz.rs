//! What the fuzz target runs, and a unit test from a fixed seed: any request, through every parser of
//! headers and documents, to a bucket with an object.

use crate::S3;
use api::testing::World;
use bytes::Bytes;
use gen_s3::{CreateBucketInput, CreateBucketOutput, Handler, PutObjectInput, PutObjectOutput};
use smithy::model::Protocol;

/// A service with a bucket `box` and an object `k`.
pub struct Cloud {
    world: World,
    s3: Handler<S3>,
}

impl Default for Cloud {
    fn default() -> Cloud {
        let (world, s3) = (World::new(1), Handler(S3::new()));
        let bucket = CreateBucketInput { bucket: "box".into(), ..Default::default() };
        world.call::<CreateBucketOutput>(&s3, "CreateBucket", &bucket).expect("a bucket");
        let object = PutObjectInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
        let data = Bytes::from_static(b"0123456789");
        world.send::<PutObjectOutput>(&s3, "PutObject", &object, data).expect("an object");
        Cloud { world, s3 }
    }
}

/// A request as [`api::fuzz::request`] has it.
pub fn fuzz_request(on: &Cloud, data: &[u8]) {
    api::fuzz::request(&on.world, &on.s3, Protocol::RestXml, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: [&str; 23] = [
        "GET /box/k?partNumber=1\nrange: bytes=2-5,7-\nif-match: \"a\", W/\"b\"\nif-modified-since: Wed, 21 Oct 2015 07:28:00 GMT\n\n",
        "HEAD /box/k?versionId=null\nrange: bytes=-3\nif-none-match: *\nx-amz-checksum-mode: ENABLED\n\n",
        "PUT /box/c\nx-amz-copy-source: /box/k%20?versionId=null\nx-amz-copy-source-if-match: \"x\"\nx-amz-tagging-directive: REPLACE\nx-amz-tagging: a=b&c=%20d\n\n",
        "PUT /box/p\nx-amz-tagging: a=b\nx-amz-acl: public-read\nx-amz-meta-a: b\nx-amz-storage-class: GLACIER\nx-amz-website-redirect-location: /x\ncontent-md5: XUFAKrxLKna5cZ2REBfFkg==\nexpires: 0\n\nhello",
        "PUT /box/p\nx-amz-grant-read: id=\"0123\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"\nx-amz-checksum-crc32: AAAAAA==\n\nhello",
        "PUT /box/p\nx-amz-server-side-encryption-customer-algorithm: AES256\nx-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\nx-amz-server-side-encryption-customer-key-md5: AAAA\n\nhello",
        "PUT /box?lifecycle\n\n<LifecycleConfiguration><Rule><ID>a</ID><Filter><And><Prefix>l/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration><Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition><NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>",
        "PUT /box?website\n\n<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument><ErrorDocument><Key>e</Key></ErrorDocument><RoutingRules><RoutingRule><Condition><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals><KeyPrefixEquals>a/</KeyPrefixEquals></Condition><Redirect><HostName>h</HostName><HttpRedirectCode>302</HttpRedirectCode><ReplaceKeyWith>b</ReplaceKeyWith></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>",
        "PUT /box?notification\n\n<NotificationConfiguration><QueueConfiguration><Id>q</Id><Queue>arn:aws:sqs:us-east-1:000000000000:q</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>a</Value></FilterRule></S3Key></Filter></QueueConfiguration></NotificationConfiguration>",
        "PUT /box?cors\n\n<CORSConfiguration><CORSRule><AllowedOrigin>http://*.a</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader><MaxAgeSeconds>3</MaxAgeSeconds></CORSRule></CORSConfiguration>",
        "PUT /box?tagging\n\n<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        "PUT /box/k?acl\n\n<AccessControlPolicy><Owner><ID>000000000000</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>",
        "PUT /box?policy\n\n{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::box/*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}}}]}",
        "PUT /box?encryption\n\n<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
        "PUT /box?object-lock\n\n<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
        "PUT /box/k?retention\n\n<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2031-01-01T00:00:00Z</RetainUntilDate></Retention>",
        "POST /box?delete\n\n<Delete><Quiet>true</Quiet><Object><Key>x</Key><VersionId>null</VersionId></Object></Delete>",
        "POST /box/k?restore\n\n<RestoreRequest><Days>1</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>",
        "POST /box/k?select&select-type=2\n\n<SelectObjectContentRequest><Expression>SELECT s._1 FROM S3Object s</Expression><ExpressionType>SQL</ExpressionType><RequestProgress><Enabled>true</Enabled></RequestProgress><InputSerialization><CompressionType>NONE</CompressionType><CSV><FileHeaderInfo>IGNORE</FileHeaderInfo><RecordDelimiter>5</RecordDelimiter></CSV></InputSerialization><OutputSerialization><JSON><RecordDelimiter>,</RecordDelimiter></JSON></OutputSerialization><ScanRange><Start>1</Start></ScanRange></SelectObjectContentRequest>",
        "POST /box/m?uploads\nx-amz-checksum-algorithm: CRC64NVME\n\n",
        "POST /box/m?uploadId=u\n\n<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part></CompleteMultipartUpload>",
        "GET /box?list-type=2&prefix=a&delimiter=/&max-keys=2&encoding-type=url&continuation-token=00&start-after=b\n\n",
        "PUT /other-bucket\nx-amz-bucket-object-lock-enabled: true\n\n<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
    ];
    const WORDS: [&[u8]; 16] = [
        b"bytes=",
        b"-",
        b",",
        b"%",
        b"\"",
        b"*",
        b"&",
        b"=",
        b"?versionId=",
        b"9999999999999999999",
        b"-1",
        b"</",
        b"<Rule>",
        b"\xff",
        b"2030-02-30",
        b"\n",
    ];

    #[test]
    fn a_second_of_noise() {
        let seeds: Vec<&[u8]> = SEEDS.iter().map(|seed| seed.as_bytes()).collect();
        let on = Cloud::default();
        // Each is a request that is understood.
        seeds.iter().for_each(|seed| fuzz_request(&on, seed));
        base::noise::run(3, 6_000, &seeds, &WORDS, |data| fuzz_request(&on, data));
    }
}
