//! What expressions and PartiQL's conditions are built of alike: terms, joined by AND and OR.

use crate::DEPTH_MAX;
use crate::ast::{Condition, Operand};

type Result<T> = std::result::Result<T, String>;

/// What parentheses may hold before it is known which.
pub(crate) enum Term {
    Condition(Condition),
    Operand(Operand),
}

/// A parser of either language.
pub(crate) trait Joins {
    /// Passes the word if it is next, and counts it among the operators.
    fn take_joint(&mut self, word: &str) -> bool;
    /// A term that stands beside the word, which must be a condition.
    fn part(&mut self, term: Term) -> Result<Condition>;
}

/// Terms with this word between them; one alone stays what it is.
pub(crate) fn joined<P: Joins>(
    parser: &mut P,
    word: &str,
    next: fn(&mut P) -> Result<Term>,
    join: fn(Vec<Condition>) -> Condition,
) -> Result<Term> {
    let first = next(parser)?;
    if !parser.take_joint(word) {
        return Ok(first);
    }
    let mut all = vec![parser.part(first)?];
    loop {
        let term = next(parser)?;
        all.push(parser.part(term)?);
        if !parser.take_joint(word) {
            return Ok(Term::Condition(join(all)));
        }
    }
}

/// One level down; the caller comes up again by itself.
pub(crate) fn deeper(depth: &mut usize) -> Result<()> {
    *depth += 1;
    match *depth > DEPTH_MAX {
        true => Err("The expression is nested too deeply; expression nested too deeply".into()),
        false => Ok(()),
    }
}
