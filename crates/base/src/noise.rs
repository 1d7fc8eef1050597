//! Mutations of good inputs from a fixed seed: how unit suites run for a moment what the fuzz targets
//! run for hours.

use crate::{Entropy, SeededEntropy};

/// Gives `target` so many changed copies of the seeds. `words` are put in here and there: the pieces
/// of which such inputs are made.
pub fn run(seed: u64, rounds: usize, seeds: &[&[u8]], words: &[&[u8]], target: impl Fn(&[u8])) {
    let entropy = SeededEntropy::new(seed);
    let below = |n: usize| entropy.below(n.max(1) as u64) as usize;
    for round in 0..rounds {
        let mut data = seeds[round % seeds.len()].to_vec();
        for _ in 0..below(6) {
            let at = below(data.len());
            match below(6) {
                0 if !data.is_empty() => data[at] = entropy.next_u64() as u8,
                1 if !data.is_empty() => data[at] ^= 1 << below(8),
                2 if below(3) == 0 => data.truncate(at),
                3 => {
                    let end = (at + below(16)).min(data.len());
                    let copy = data[at..end].to_vec();
                    let to = below(data.len());
                    data.splice(to..to, copy);
                }
                4 => {
                    let end = (at + below(8)).min(data.len());
                    data.drain(at..end);
                }
                _ if !words.is_empty() => {
                    let word = words[below(words.len())];
                    data.splice(at..at, word.iter().copied());
                }
                _ => {}
            }
        }
        target(&data);
    }
}
