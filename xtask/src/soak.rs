//! `cargo xtask soak`: the long versions of what the test command does a few rounds of.

use std::path::Path;

use crate::report::Report;
use crate::{black_box, install};

pub fn run(root: &Path) -> Result<bool, String> {
    let mut report = Report::new();
    report.step("install", || {
        install::everything(root)?;
        Ok(crate::report::Tally::passed(1))
    });
    report.step("black-box, long versions", || black_box::suite(root, &["-m", "soak"]));
    report
        .step("black-box under kill -9", || black_box::suite(root, &["-m", "not soak", "--kill"]));
    Ok(report.close())
}
