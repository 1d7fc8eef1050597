//! The bytes of a query and of the few kinds of answers that we make ourselves (RFC 1035, RFC 6891).

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a query's head takes.
pub const HEAD_BYTES: usize = 12;
/// An answer over UDP to a client that names no larger size.
pub const UDP_BYTES_MAX: usize = 512;
/// What we take as the largest answer over UDP, whatever a client says: it fits into one frame.
const EDNS_BYTES_MAX: usize = 1232;
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;

pub const A: u16 = 1;
const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
const OPT: u16 = 41;
pub const ANY: u16 = 255;
const IN: u16 = 1;

const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
const RA: u8 = 0x80;
const CD: u8 = 0x10;

/// How an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    Ok = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
}

/// What an answer says of the name that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// To what an address belongs: a name of labels of at most 63 bytes, without the dot at the end.
    Name(&'a str),
}

/// A query that was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query<'q> {
    /// The whole message, to hand on.
    pub bytes: &'q [u8],
    pub id: u16,
    /// In lower case, without the dot at the end. A byte that no name of a host has is a `?`.
    pub name: String,
    pub kind: u16,
    pub(crate) class: u16,
    pub(crate) question: &'q [u8],
    /// The largest answer that the client takes over UDP, where it says so.
    pub(crate) edns: Option<usize>,
    pub(crate) edns_version: u8,
}

/// Why a message is no query that we answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Too short for a head, or an answer: saying anything would feed a loop.
    Silent,
    /// To be answered with the code, by a head alone.
    Answer(Code),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Reads the name at `at`. Gives it, and where it ends. In a question nothing can be pointed at.
fn name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let start = at;
    let mut text = String::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = bytes.get(at..at + length).filter(|_| length <= LABEL_BYTES_MAX)?;
        at += length;
        if at - start >= NAME_BYTES_MAX {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            text.push(if plain { byte.to_ascii_lowercase() as char } else { '?' });
        }
    }
    Some((text, at))
}

impl<'q> Query<'q> {
    /// Reads a query of one question, with or without EDNS.
    pub fn parse(bytes: &'q [u8]) -> Result<Query<'q>, Malformed> {
        if bytes.len() < HEAD_BYTES || bytes[2] & QR != 0 {
            return Err(Malformed::Silent);
        }
        if bytes[2] >> 3 != 0 {
            return Err(Malformed::Answer(Code::NotImp));
        }
        Query::question(bytes).ok_or(Malformed::Answer(Code::FormErr))
    }

    fn question(bytes: &'q [u8]) -> Option<Query<'q>> {
        let count = |index: usize| u16_at(bytes, 4 + 2 * index);
        let whole = bytes[2] & TC == 0 && count(0)? == 1 && count(1)? == 0 && count(2)? == 0;
        if !whole {
            return None;
        }
        let (name, end) = name(bytes, HEAD_BYTES)?;
        let mut query = Query {
            bytes,
            id: u16_at(bytes, 0)?,
            name,
            kind: u16_at(bytes, end)?,
            class: u16_at(bytes, end + 2)?,
            question: &bytes[HEAD_BYTES..end + 4],
            edns: None,
            edns_version: 0,
        };
        let mut at = end + 4;
        for _ in 0..count(3)? {
            at = query.additional(at)?;
        }
        (at == bytes.len()).then_some(query)
    }

    /// One record after the question: an OPT, once. Others (signatures) are passed over.
    fn additional(&mut self, at: usize) -> Option<usize> {
        let (_, at) = name(self.bytes, at)?;
        let (kind, size) = (u16_at(self.bytes, at)?, u16_at(self.bytes, at + 2)?);
        let end = at + 10 + usize::from(u16_at(self.bytes, at + 8)?);
        self.bytes.get(at..end)?;
        if kind == OPT {
            if self.edns.is_some() {
                return None;
            }
            self.edns = Some(usize::from(size).clamp(UDP_BYTES_MAX, EDNS_BYTES_MAX));
            self.edns_version = self.bytes[at + 5];
        }
        Some(end)
    }

    /// How long an answer over UDP may be.
    pub fn udp_bytes_max(&self) -> usize {
        self.edns.unwrap_or(UDP_BYTES_MAX)
    }

    /// Whether it asks in the class of the internet.
    pub fn is_internet(&self) -> bool {
        self.class == IN || self.class == ANY
    }

    /// Whether `answer` is an answer to this very question.
    pub fn is_answered_by(&self, answer: &[u8]) -> bool {
        let asked = answer.get(HEAD_BYTES..HEAD_BYTES + self.question.len());
        answer.len() >= HEAD_BYTES
            && answer[2] & QR != 0
            && u16_at(answer, 0) == Some(self.id)
            && asked.is_some_and(|asked| asked.eq_ignore_ascii_case(self.question))
    }

    /// How many addresses of IPv4 fit into an answer over UDP.
    pub fn addresses_max(&self) -> usize {
        const RECORD_BYTES: usize = 16;
        let taken = HEAD_BYTES + self.question.len() + 11;
        self.udp_bytes_max().saturating_sub(taken) / RECORD_BYTES
    }

    /// An answer of ours, with records of the kind that is asked for. Without any, clients are told
    /// for how long that holds.
    pub fn reply(&self, code: Code, records: &[Record<'_>], ttl_s: u32) -> Vec<u8> {
        let bad_version = self.edns_version > 0;
        let (code, records) = if bad_version { (Code::Ok, &[][..]) } else { (code, records) };
        let says_absent = matches!(code, Code::Ok | Code::NxDomain);
        let negative = !bad_version && records.is_empty() && says_absent;
        let mut out = head(self.bytes, code, if says_absent { AA } else { 0 });
        out[5] = 1;
        out[7] = records.len() as u8;
        out[9] = u8::from(negative);
        out[11] = u8::from(self.edns.is_some());
        out.extend_from_slice(self.question);
        for record in records {
            match record {
                Record::V4(address) => self.record(&mut out, A, ttl_s, &address.octets()),
                Record::V6(address) => self.record(&mut out, AAAA, ttl_s, &address.octets()),
                Record::Name(name) => self.record(&mut out, PTR, ttl_s, &labels(name)),
            }
        }
        if negative {
            // The root stands for the names of server and keeper, which nobody looks at.
            let mut soa = vec![0, 0];
            for number in [1, ttl_s, ttl_s, ttl_s, ttl_s] {
                soa.extend_from_slice(&number.to_be_bytes());
            }
            self.record(&mut out, SOA, ttl_s, &soa);
        }
        if self.edns.is_some() {
            out.push(0);
            out.extend_from_slice(&OPT.to_be_bytes());
            out.extend_from_slice(&(EDNS_BYTES_MAX as u16).to_be_bytes());
            out.extend_from_slice(&[u8::from(bad_version), 0, 0, 0, 0, 0]);
        }
        out
    }

    /// A record whose name is that of the question.
    fn record(&self, out: &mut Vec<u8>, kind: u16, ttl_s: u32, data: &[u8]) {
        out.extend_from_slice(&[0xc0, HEAD_BYTES as u8]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&IN.to_be_bytes());
        out.extend_from_slice(&ttl_s.to_be_bytes());
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
    }

    /// What stands in place of an answer that is too long for UDP: the client asks again over TCP.
    pub fn truncated(&self) -> Vec<u8> {
        let mut out = head(self.bytes, Code::Ok, TC);
        out[5] = 1;
        out.extend_from_slice(self.question);
        out
    }
}

/// A name as it travels.
fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(LABEL_BYTES_MAX)];
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
    out
}

/// The address whose name is asked for by `4.3.2.1.in-addr.arpa`.
pub fn reversed(name: &str) -> Option<Ipv4Addr> {
    let text = name.strip_suffix(".in-addr.arpa")?;
    let parts = text.split('.').map(str::parse::<u8>).collect::<Result<Vec<_>, _>>().ok()?;
    let [d, c, b, a] = parts.try_into().ok()?;
    Some(Ipv4Addr::new(a, b, c, d))
}

/// The head of an answer to `query`, which is at least a head long; all counts are 0.
pub fn head(query: &[u8], code: Code, flags: u8) -> Vec<u8> {
    let mut out = vec![0; HEAD_BYTES];
    out[..2].copy_from_slice(&query[..2]);
    out[2] = QR | (query[2] & (0x78 | RD)) | flags;
    out[3] = RA | (query[3] & CD) | code as u8;
    out
}

#[cfg(test)]
pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut out = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    out
}

#[cfg(test)]
pub(crate) fn with_edns(mut query: Vec<u8>, size: u16, version: u8) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&size.to_be_bytes());
    query.extend_from_slice(&[0, version, 0, 0, 0, 0]);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_lower_case_and_echoed_as_it_was() {
        let bytes = query("S3.Us-East-1.AMAZONAWS.com", A);
        let read = Query::parse(&bytes).unwrap();
        assert_eq!(read.name, "s3.us-east-1.amazonaws.com");
        assert_eq!((read.id, read.kind, read.udp_bytes_max()), (0xabcd, A, 512));
        let reply = read.reply(Code::Ok, &[Record::V4(Ipv4Addr::LOCALHOST)], 60);
        assert_eq!(&reply[HEAD_BYTES..bytes.len()], &bytes[HEAD_BYTES..]);
        assert_eq!(&reply[..HEAD_BYTES], [0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1];
        assert_eq!(&reply[bytes.len()..], record);
        assert!(read.is_answered_by(&reply));
    }

    #[test]
    fn what_is_absent_carries_for_how_long() {
        let bytes = with_edns(query("x.amazonaws.com", AAAA), 4096, 0);
        let read = Query::parse(&bytes).unwrap();
        assert_eq!(read.udp_bytes_max(), 1232);
        for code in [Code::Ok, Code::NxDomain] {
            let reply = read.reply(code, &[], 60);
            assert_eq!(reply[3] & 15, code as u8);
            assert_eq!(reply[4..12], [0, 1, 0, 0, 0, 1, 0, 1]);
            assert_eq!(reply.len(), bytes.len() + 34);
        }
        let reply = read.reply(Code::ServFail, &[], 60);
        assert_eq!((reply[3] & 15, reply.len()), (2, bytes.len()));
    }

    #[test]
    fn a_newer_edns_is_told_so() {
        let bytes = with_edns(query("s3.amazonaws.com", A), 512, 1);
        let reply =
            Query::parse(&bytes).unwrap().reply(Code::Ok, &[Record::V4(Ipv4Addr::LOCALHOST)], 60);
        assert_eq!(reply[6..8], [0, 0]);
        assert_eq!(reply[reply.len() - 6..], [1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn queries_that_are_none() {
        let silent = |bytes: &[u8]| assert_eq!(Query::parse(bytes), Err(Malformed::Silent));
        silent(&[]);
        silent(&[0; 11]);
        let good = query("a.b", A);
        let mut answer = good.clone();
        answer[2] |= QR;
        silent(&answer);
        let check = |change: &dyn Fn(&mut Vec<u8>), code: Code| {
            let mut bytes = good.clone();
            change(&mut bytes);
            assert_eq!(Query::parse(&bytes), Err(Malformed::Answer(code)), "{bytes:?}");
        };
        check(&|b| b[2] |= 0x28, Code::NotImp);
        check(&|b| b[2] |= TC, Code::FormErr);
        check(&|b| b[5] = 0, Code::FormErr);
        check(&|b| b[5] = 2, Code::FormErr);
        check(&|b| b[7] = 1, Code::FormErr);
        check(&|b| b[9] = 1, Code::FormErr);
        check(&|b| b[11] = 1, Code::FormErr);
        check(&|b| b.push(0), Code::FormErr);
        check(&|b| b.truncate(14), Code::FormErr);
        // A pointer, where nothing can be pointed at; a label with the reserved bits.
        check(&|b| b[12] = 0xc0, Code::FormErr);
        check(&|b| b[12] = 0x41, Code::FormErr);
        let two = with_edns(with_edns(good.clone(), 512, 0), 512, 0);
        assert_eq!(Query::parse(&two), Err(Malformed::Answer(Code::FormErr)));
        let long = query(&vec!["a".repeat(63); 4].join("."), A);
        assert_eq!(Query::parse(&long), Err(Malformed::Answer(Code::FormErr)));
        assert!(Query::parse(&query(&vec!["a".repeat(63); 3].join("."), A)).is_ok());
    }

    #[test]
    fn names_of_addresses() {
        let bytes = query("2.0.18.172.in-addr.arpa", PTR);
        let read = Query::parse(&bytes).unwrap();
        assert_eq!(reversed(&read.name), Some(Ipv4Addr::new(172, 18, 0, 2)));
        for other in [
            "2.0.18.in-addr.arpa",
            "1.2.0.18.172.in-addr.arpa",
            "2.0.18.172",
            "256.0.0.1.in-addr.arpa",
        ] {
            assert_eq!(reversed(other), None, "{other}");
        }
        let reply = read.reply(Code::Ok, &[Record::Name("web.net-1")], 60);
        let data = b"\x03web\x05net-1\x00";
        assert_eq!(reply[bytes.len() + 10..], [&[0, data.len() as u8][..], data].concat());
    }

    #[test]
    fn as_many_addresses_as_fit() {
        let bytes = query("web", A);
        let read = Query::parse(&bytes).unwrap();
        let all = vec![Record::V4(Ipv4Addr::LOCALHOST); read.addresses_max()];
        let length = read.reply(Code::Ok, &all, 60).len();
        assert!(length <= UDP_BYTES_MAX && length + 27 > UDP_BYTES_MAX, "{length}");
    }

    #[test]
    fn labels_of_no_host() {
        for (asked, read) in [("a b.c", "a?b.c"), ("_x.A-b", "_x.a-b"), ("", "")] {
            assert_eq!(Query::parse(&query(asked, A)).unwrap().name, read);
        }
        let mut dotted = query("axb.c", A);
        dotted[14] = b'.';
        assert_eq!(Query::parse(&dotted).unwrap().name, "a?b.c");
    }
}
