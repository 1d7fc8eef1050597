//! `LIKE`: `_` is any character, `%` any number of them.

use crate::evaluate::Work;
use crate::{Result, SelectError};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Piece {
    This(char),
    Any,
    Many,
}

/// A pattern; what follows the escape character stands for itself.
fn pieces(pattern: &str, escape: Option<&str>) -> Result<Vec<Piece>> {
    let invalid = || {
        let text = "An argument given to the LIKE expression was not valid.";
        SelectError::new("EvaluatorLikePatternInvalidEscapeSequence", text)
    };
    let escape = match escape.map(|text| text.chars().collect::<Vec<_>>()).as_deref() {
        None => None,
        Some([c]) => Some(*c),
        Some(_) => return Err(invalid()),
    };
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            c if Some(c) == escape => match chars.next() {
                Some(c) if matches!(c, '_' | '%') || Some(c) == escape => Piece::This(c),
                _ => return Err(invalid()),
            },
            '_' => Piece::Any,
            '%' if out.last() == Some(&Piece::Many) => continue,
            '%' => Piece::Many,
            c => Piece::This(c),
        });
    }
    Ok(out)
}

/// Whether a text fits, by going back to the last `%` alone: each earlier one took as little as it could.
pub(crate) fn like(work: &Work, text: &str, pattern: &str, escape: Option<&str>) -> Result<bool> {
    work.spend(pattern.len() as u64)?;
    let pieces = pieces(pattern, escape)?;
    let (mut rest, mut at) = (text.chars(), 0);
    // Where the last `%` stands, and what of the text it did not take.
    let mut back: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        work.spend(1)?;
        if pieces.get(at) == Some(&Piece::Many) {
            at += 1;
            if at == pieces.len() {
                return Ok(true);
            }
            back = Some((at, rest.clone()));
            continue;
        }
        let fits = match (rest.next(), pieces.get(at)) {
            (None, None) => return Ok(true),
            (Some(c), Some(Piece::This(wanted))) => c == *wanted,
            (Some(_), Some(Piece::Any)) => true,
            (None, _) => return Ok(false),
            _ => false,
        };
        if fits {
            at += 1;
            continue;
        }
        let Some((place, left)) = &mut back else { return Ok(false) };
        if left.next().is_none() {
            return Ok(false);
        }
        at = *place;
        rest = left.clone();
    }
}
