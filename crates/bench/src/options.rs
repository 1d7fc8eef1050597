//! The command line, as `cargo xtask bench` writes it.

use std::path::PathBuf;

/// What to measure and with which programs.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub groups: Vec<Group>,
    /// Short rounds and small stores: to see whether the bench works, not to quote.
    pub quick: bool,
    pub cumulet: PathBuf,
    pub moto: Option<PathBuf>,
    pub s3s_fs: Option<PathBuf>,
    pub fakecloud: Option<PathBuf>,
    pub nginx: Option<PathBuf>,
    pub dynalite: Option<PathBuf>,
    pub dynoxide: Option<PathBuf>,
    /// Of the large table, where the usual number takes too long or too much room.
    pub items: Option<u64>,
    /// Named in the table: what could not be installed, and why.
    pub missing: Vec<String>,
    /// The page whose sections are replaced.
    pub page: Option<PathBuf>,
}

/// A part of the bench that can be run alone; each has a section of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Group {
    /// Durable writes beside the floors of the disk.
    Store,
    /// Reads beside a bare HTTP server.
    S3,
    Start,
    Memory,
    /// A bucket of a million objects: listed, and walked by its lifecycle rules.
    Many,
    /// Ten GiB saved under load.
    Snapshot,
    DynamoDb,
}

impl Group {
    pub const ALL: [Group; 7] = [
        Group::S3,
        Group::Store,
        Group::Start,
        Group::Memory,
        Group::Many,
        Group::Snapshot,
        Group::DynamoDb,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Group::Store => "store",
            Group::S3 => "s3",
            Group::Start => "start",
            Group::Memory => "memory",
            Group::Many => "many",
            Group::Snapshot => "snapshot",
            Group::DynamoDb => "dynamodb",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Group::Store => "Writes",
            Group::S3 => "Reads",
            Group::Start => "Starting",
            Group::Memory => "Memory",
            Group::Many => "Many objects",
            Group::Snapshot => "Snapshots",
            Group::DynamoDb => "DynamoDB",
        }
    }
}

pub fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(group) = Group::ALL.iter().find(|group| group.name() == *word) {
            options.groups.push(*group);
            continue;
        }
        if *word == "--quick" {
            options.quick = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} is no group and has no value"))?;
        match *word {
            "--cumulet" => options.cumulet = value.into(),
            "--moto" => options.moto = Some(value.into()),
            "--s3s-fs" => options.s3s_fs = Some(value.into()),
            "--fakecloud" => options.fakecloud = Some(value.into()),
            "--nginx" => options.nginx = Some(value.into()),
            "--dynalite" => options.dynalite = Some(value.into()),
            "--dynoxide" => options.dynoxide = Some(value.into()),
            "--items" => {
                let number = value.parse().map_err(|_| "--items takes a number".to_owned())?;
                options.items = Some(number);
            }
            "--missing" => options.missing.push((*value).to_owned()),
            "--page" => options.page = Some(value.into()),
            _ => return Err(format!("no such option: {word}; run `cargo xtask bench --help`")),
        }
    }
    if options.groups.is_empty() {
        options.groups = Group::ALL.to_vec();
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_options() {
        let options = parse(&["s3", "--quick", "--cumulet", "/bin/c", "--missing", "x: no"]);
        let options = options.expect("parses");
        assert_eq!((options.groups.as_slice(), options.quick), (&[Group::S3][..], true));
        assert_eq!(options.missing, ["x: no"]);
        assert_eq!(parse(&[]).expect("parses").groups, Group::ALL);
        assert!(parse(&["--cumulet"]).is_err() && parse(&["nonsense", "x"]).is_err());
    }
}
