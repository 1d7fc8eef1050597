//! What the fuzz target runs, and a unit test from a fixed seed: any bytes as a query.

use crate::wire::{HEAD_BYTES, Query};
use crate::zone::{Addresses, Answer, Names, Standing, answer};
use std::net::{Ipv4Addr, Ipv6Addr};

/// By the first letter of the name, so that each standing is met.
struct ByLetter;

impl Names for ByLetter {
    fn standing(&self, name: &str) -> Standing {
        match name.as_bytes().first() {
            Some(b's') => Standing::Ours,
            Some(b'a'..=b'r') => Standing::Absent,
            _ => Standing::Foreign,
        }
    }
}

/// What we make up must be an answer, and hardly longer than the question.
pub fn fuzz_query(data: &[u8]) {
    let addresses = Addresses { v4: Ipv4Addr::LOCALHOST, v6: Some(Ipv6Addr::LOCALHOST) };
    match answer(data, &ByLetter, addresses) {
        Answer::Silence => {}
        Answer::Reply(reply) => {
            assert!((HEAD_BYTES..=data.len() + 45).contains(&reply.len()));
            assert!(reply[2] & 0x80 != 0 && reply[..2] == data[..2]);
            if let Ok(query) = Query::parse(data) {
                assert!(query.is_answered_by(&reply));
            }
        }
        Answer::Forward(query) => {
            assert_eq!(query.bytes, data);
            assert!(query.truncated().len() <= data.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::{query, with_edns};
    use base::{Entropy, SeededEntropy};

    #[test]
    fn a_second_of_noise() {
        let chance = SeededEntropy::new(11);
        let seeds = [
            query("s3.amazonaws.com", 1),
            with_edns(query("sqs.us-east-1.amazonaws.com", 28), 1232, 0),
            with_edns(query("photos.example.com", 255), 512, 1),
        ];
        for round in 0..50_000 {
            let mut bytes = seeds[round % 3].clone();
            for _ in 0..chance.below(4) {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] = chance.next_u64() as u8;
            }
            if chance.below(4) == 0 {
                bytes.truncate(chance.below(bytes.len() as u64 + 1) as usize);
            }
            super::fuzz_query(&bytes);
        }
    }
}
