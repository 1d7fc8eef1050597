use cumulet_fixture::Cloud;
use std::process::Command;
use std::sync::LazyLock;

/// One for all tests of this file; it ends with their process.
static CLOUD: LazyLock<Cloud> = LazyLock::new(Cloud::start);

fn aws(account: &str, words: &[&str]) -> String {
    let done = Command::new("aws")
        .args(words)
        .envs(CLOUD.environment(account))
        .output()
        .expect("the AWS CLI is there");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

#[test]
fn a_bucket_is_made() {
    let account = CLOUD.account();
    aws(&account, &["s3", "mb", "s3://photos-of-one"]);
    assert!(aws(&account, &["s3", "ls"]).contains("photos-of-one"));
}

#[test]
fn accounts_do_not_meet() {
    let (one, other) = (CLOUD.account(), CLOUD.account());
    aws(&one, &["s3", "mb", "s3://photos-of-two"]);
    assert_eq!(aws(&other, &["s3", "ls"]), "");
}
