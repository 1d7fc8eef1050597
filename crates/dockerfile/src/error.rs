//! What is wrong with a Dockerfile, and where.

use std::fmt;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Counted from 1; 0 if it is about no line.
    pub line: usize,
    pub text: String,
}

impl ParseError {
    pub fn new(line: usize, text: impl Into<String>) -> ParseError {
        ParseError { line, text: text.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.text),
            line => write!(f, "dockerfile parse error on line {line}: {}", self.text),
        }
    }
}

impl std::error::Error for ParseError {}
