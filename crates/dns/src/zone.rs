//! What to say to a query: pure, so that the sockets have nothing to decide.

use crate::wire::{A, AAAA, ANY, Code, Malformed, Query, Record, head};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// For how long clients may keep an answer of ours: short, since a cloud comes and goes.
const TTL_S: u32 = 30;

/// What a name is to this cloud.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It leads here.
    Ours,
    /// It belongs to AWS and leads to nothing here: there is no such name, and nobody else is asked.
    Absent,
    /// None of our business.
    Foreign,
}

/// Who knows which names are ours.
pub trait Names: Send + Sync + 'static {
    /// `name` is in lower case and without the dot at the end.
    fn standing(&self, name: &str) -> Standing;
}

/// Where our names lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    pub v4: Ipv4Addr,
    pub v6: Option<Ipv6Addr>,
}

/// What becomes of a query.
#[derive(Debug)]
pub enum Answer<'q> {
    Reply(Vec<u8>),
    /// For the host's resolver.
    Forward(Query<'q>),
    Silence,
}

/// Who decides about the bytes that came.
pub trait Zone: Send + Sync + 'static {
    fn answer<'q>(&self, bytes: &'q [u8]) -> Answer<'q>;
}

/// The names of this cloud, and where they lead.
#[derive(Clone)]
pub struct Cloud {
    pub names: Arc<dyn Names>,
    pub addresses: Addresses,
}

impl Zone for Cloud {
    fn answer<'q>(&self, bytes: &'q [u8]) -> Answer<'q> {
        answer(bytes, &*self.names, self.addresses)
    }
}

/// Decides about the bytes that came.
pub fn answer<'q>(bytes: &'q [u8], names: &dyn Names, addresses: Addresses) -> Answer<'q> {
    let query = match Query::parse(bytes) {
        Ok(query) => query,
        Err(Malformed::Silent) => return Answer::Silence,
        Err(Malformed::Answer(code)) => return Answer::Reply(head(bytes, code, 0)),
    };
    match names.standing(&query.name) {
        _ if !query.is_internet() => Answer::Reply(query.reply(Code::Refused, &[], TTL_S)),
        Standing::Ours => Answer::Reply(ours(&query, addresses)),
        Standing::Absent => Answer::Reply(query.reply(Code::NxDomain, &[], TTL_S)),
        Standing::Foreign => Answer::Forward(query),
    }
}

fn ours(query: &Query<'_>, addresses: Addresses) -> Vec<u8> {
    match (query.kind, addresses.v6) {
        (A | ANY, _) => query.reply(Code::Ok, &[Record::V4(addresses.v4)], TTL_S),
        (AAAA, Some(v6)) => query.reply(Code::Ok, &[Record::V6(v6)], TTL_S),
        _ => query.reply(Code::Ok, &[], TTL_S),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::query;

    pub struct Few;

    impl Names for Few {
        fn standing(&self, name: &str) -> Standing {
            match name {
                "s3.amazonaws.com" => Standing::Ours,
                name if name.ends_with("amazonaws.com") => Standing::Absent,
                _ => Standing::Foreign,
            }
        }
    }

    pub const HERE: Addresses = Addresses { v4: Ipv4Addr::LOCALHOST, v6: None };

    /// Code, number of answers; `None` for what is handed on.
    fn check(bytes: &[u8], addresses: Addresses, expected: Option<(u8, u8)>) {
        let got = match answer(bytes, &Few, addresses) {
            Answer::Reply(reply) => Some((reply[3] & 15, reply[7])),
            Answer::Forward(_) => None,
            Answer::Silence => Some((255, 0)),
        };
        assert_eq!(got, expected, "{bytes:?}");
    }

    #[test]
    fn every_kind_of_name() {
        let six = Addresses { v6: Some(Ipv6Addr::LOCALHOST), ..HERE };
        check(&query("S3.amazonaws.com", A), HERE, Some((0, 1)));
        check(&query("s3.amazonaws.com", ANY), HERE, Some((0, 1)));
        check(&query("s3.amazonaws.com", AAAA), HERE, Some((0, 0)));
        check(&query("s3.amazonaws.com", AAAA), six, Some((0, 1)));
        check(&query("s3.amazonaws.com", 65), six, Some((0, 0)));
        check(&query("sqs.amazonaws.com", A), HERE, Some((3, 0)));
        check(&query("example.com", A), HERE, None);
        check(&query("a b.example.com", A), HERE, None);
        let mut chaos = query("s3.amazonaws.com", A);
        *chaos.last_mut().unwrap() = 3;
        check(&chaos, HERE, Some((5, 0)));
        check(&[0; 12], HERE, Some((1, 0)));
        check(b"", HERE, Some((255, 0)));
    }

    #[test]
    fn a_name_of_aws_that_is_oddly_written_goes_nowhere_else() {
        // No host has such labels, but a resolver that is asked for them would ask AWS.
        assert!(matches!(answer(&query("a b.amazonaws.com", A), &Few, HERE), Answer::Reply(_)));
    }
}
