//! `cargo xtask test`: everything, from an empty machine to one closing line.

use std::path::{Path, PathBuf};

use crate::report::{Report, Tally};
use crate::{black_box, codegen, compat, install, labs, members, run, soak, tidy, unit};

/// The services that the labs need, by their botocore names: the generator must know all that their
/// models contain, long before they are served.
const DIGESTED: &[&str] = &[
    "apigateway",
    "athena",
    "autoscaling",
    "cloud9",
    "cloudformation",
    "cloudfront",
    "cloudwatch",
    "codebuild",
    "codecommit",
    "codepipeline",
    "cognito-identity",
    "cognito-idp",
    "dynamodb",
    "dynamodbstreams",
    "ec2",
    "ecr",
    "ecs",
    "elasticbeanstalk",
    "elb",
    "elbv2",
    "emr",
    "firehose",
    "glue",
    "iam",
    "kinesis",
    "kinesisanalytics",
    "kinesisanalyticsv2",
    "lambda",
    "logs",
    "machinelearning",
    "redshift",
    "redshift-data",
    "s3",
    "sagemaker",
    "sagemaker-runtime",
    "serverlessrepo",
    "sns",
    "sqs",
    "ssm",
    "sts",
    "xray",
];

type Step = fn(&Path) -> Result<Tally, String>;

/// In the order of running: what fails fast comes first.
const STEPS: &[(&str, Step)] = &[
    ("install", installed),
    ("format", formatted),
    ("generated", generated),
    ("tidy", tidy::check),
    ("digest", digested),
    ("lint", linted),
    ("members", members::check),
    ("unit", unit::tests),
    ("black-box", driven),
    ("compat", compat::check),
    ("labs", labs::all),
    ("simulator", soak::simulated),
    ("kills", soak::kills),
    ("power cuts", soak::cuts),
    ("disk full", soak::disk_full),
];

pub fn names() -> String {
    STEPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Runs the named steps, or all. True when nothing failed.
pub fn run(root: &Path, only: &[&str]) -> Result<bool, String> {
    if let Some(name) = only.iter().find(|name| !STEPS.iter().any(|(step, _)| step == *name)) {
        return Err(format!("no such step: {name}; there are {}", names()));
    }
    let mut report = Report::new();
    for (name, step) in STEPS {
        if only.is_empty() || only.contains(name) {
            report.step(name, || step(root));
        }
    }
    Ok(report.close())
}

fn installed(root: &Path) -> Result<Tally, String> {
    install::everything(root)?;
    Ok(Tally::passed(1))
}

fn formatted(root: &Path) -> Result<Tally, String> {
    let finished = run::capture(root, &run::cargo(), &["fmt", "--all", "--check"])?;
    if finished.ok {
        return Ok(Tally::passed(1));
    }
    Err(format!("run `cargo fmt`:\n{}", run::tail(&finished.text(), 40)))
}

fn generated(root: &Path) -> Result<Tally, String> {
    codegen::run(root, true)?;
    Ok(Tally::passed(1))
}

/// One test per service.
fn digested(root: &Path) -> Result<Tally, String> {
    let data = botocore_data(root)?;
    let mut findings = Vec::new();
    for service in DIGESTED {
        if let Err(e) = codegen::digest(&data, &[service.to_string()]) {
            findings.push(format!("{service}: {e}"));
        }
    }
    Ok(Tally::of_findings(DIGESTED.len() as u64, &findings))
}

fn botocore_data(root: &Path) -> Result<PathBuf, String> {
    let script =
        "import os, botocore; print(os.path.join(os.path.dirname(botocore.__file__), 'data'))";
    let python = install::python(root);
    let printed = run::must(root, &python.to_string_lossy(), &["-c", script])?;
    Ok(PathBuf::from(printed.trim()))
}

/// On two workers, which share one cloud.
fn driven(root: &Path) -> Result<Tally, String> {
    black_box::suite(root, &["-n", "2", "-m", "not soak"])
}

fn linted(root: &Path) -> Result<Tally, String> {
    let args = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let finished = run::capture(root, &run::cargo(), &args)?;
    if finished.ok {
        return Ok(Tally::passed(1));
    }
    Err(run::tail(&finished.text(), 120))
}
