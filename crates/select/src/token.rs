//! The text of an expression as tokens.

use crate::{Result, SelectError};
use std::sync::LazyLock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A word that SQL reserves; the text is in lower case.
    Keyword,
    Identifier,
    /// In double quotes: it is meant as it is written.
    Quoted,
    /// In single quotes.
    Literal,
    Number,
    /// Between backticks: a literal of Ion.
    Ion,
    Symbol,
    End,
}

/// Where a token stands, as messages tell it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct At {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub text: String,
    pub at: At,
}

impl Token {
    pub fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    pub fn is_keyword(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word
    }

    /// As messages name it.
    pub fn shown(&self) -> String {
        let kind = match self.kind {
            Kind::Keyword => "KEYWORD",
            Kind::Identifier | Kind::Quoted => "IDENTIFIER",
            Kind::Literal | Kind::Number | Kind::Ion => "LITERAL",
            Kind::Symbol => match self.text.as_str() {
                "(" => "LEFT_PAREN",
                ")" => "RIGHT_PAREN",
                "[" => "LEFT_BRACKET",
                "]" => "RIGHT_BRACKET",
                "," => "COMMA",
                "." => "DOT",
                ":" => "COLON",
                ";" => "SEMICOLON",
                "*" => "STAR",
                _ => "OPERATOR",
            },
            Kind::End => return "EOF".into(),
        };
        let text: String = self.text.chars().take(64).collect();
        format!("{kind}:{text}")
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-keyword-list.html>
pub(crate) static KEYWORDS: LazyLock<Vec<&str>> = LazyLock::new(|| WORDS.split(' ').collect());

const WORDS: &str = "absolute action add all allocate alter and any are as asc assertion at authorization avg bag begin between bit bit_length blob bool boolean both by cascade cascaded case cast catalog char char_length character character_length check clob close coalesce collate collation column commit connect connection constraint constraints continue convert corresponding count create cross current current_date current_time current_timestamp current_user cursor date day deallocate dec decimal declare default deferrable deferred delete desc describe descriptor diagnostics disconnect distinct domain double drop else end escape except exception exec execute exists external extract false fetch first float for foreign found from full get global go goto grant group having hour identity immediate in indicator initially inner input insensitive insert int integer intersect interval into is isolation join key language last leading left level like limit list local lower match max min minute missing module month names national natural nchar next no not null nullif numeric octet_length of on only open option or order outer output overlaps pad partial pivot position precision prepare preserve primary prior privileges procedure public read real references relative restrict revoke right rollback rows schema scroll second section select session session_user set sexp size smallint some space sql sqlcode sqlerror sqlstate string struct substring sum symbol system_user table temporary then time timestamp timezone_hour timezone_minute to trailing transaction translate translation trim true tuple union unique unknown unpivot update upper usage user using value values varchar varying view when whenever where with work write year zone";

struct Lexer<'a> {
    text: &'a str,
    /// In bytes.
    place: usize,
    at: At,
    out: Vec<Token>,
}

/// All tokens, a [`Kind::End`] last.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>> {
    let at = At { line: 1, column: 1 };
    let mut lexer = Lexer { text, place: 0, at, out: Vec::new() };
    while lexer.next()? {}
    Ok(lexer.out)
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.place..]
    }

    /// Takes so many bytes, of whole characters.
    fn take(&mut self, bytes: usize) -> String {
        let taken = self.rest()[..bytes].to_owned();
        for c in taken.chars() {
            match c {
                '\n' => self.at = At { line: self.at.line + 1, column: 1 },
                _ => self.at.column += 1,
            }
        }
        self.place += bytes;
        taken
    }

    fn push(&mut self, kind: Kind, text: String, at: At) {
        self.out.push(Token { kind, text, at });
    }

    fn invalid(&self, code: &'static str, what: &str) -> SelectError {
        let At { line, column } = self.at;
        SelectError::new(code, format!("Invalid {what} at line {line}, column {column}."))
    }

    /// Takes the length of what a test holds for, from the beginning.
    fn run(&self, test: impl Fn(char) -> bool) -> usize {
        let rest = self.rest();
        rest.find(|c| !test(c)).unwrap_or(rest.len())
    }

    /// Whether there was another token.
    fn next(&mut self) -> Result<bool> {
        self.skip()?;
        let at = self.at;
        let Some(first) = self.rest().chars().next() else {
            self.push(Kind::End, String::new(), at);
            return Ok(false);
        };
        let second = self.rest().chars().nth(1).unwrap_or(' ');
        match first {
            '\'' => self.quoted('\'', Kind::Literal)?,
            '"' => self.quoted('"', Kind::Quoted)?,
            '`' => self.quoted('`', Kind::Ion)?,
            '0'..='9' => self.number()?,
            '.' if second.is_ascii_digit() && !self.follows_name() => self.number()?,
            c if c.is_alphabetic() || c == '_' || c == '$' => {
                let length = self.run(|c| c.is_alphanumeric() || c == '_' || c == '$');
                let text = self.take(length);
                let lower = text.to_ascii_lowercase();
                match KEYWORDS.binary_search(&lower.as_str()).is_ok() {
                    true => self.push(Kind::Keyword, lower, at),
                    false => self.push(Kind::Identifier, text, at),
                }
            }
            _ => self.symbol(first, second)?,
        }
        Ok(true)
    }

    fn follows_name(&self) -> bool {
        self.out.last().is_some_and(|last| {
            matches!(last.kind, Kind::Identifier | Kind::Quoted) || last.is("]")
        })
    }

    /// White space and comments.
    fn skip(&mut self) -> Result<()> {
        loop {
            let blank = self.run(char::is_whitespace);
            self.take(blank);
            let length = if self.rest().starts_with("--") {
                self.run(|c| c != '\n')
            } else if self.rest().starts_with("/*") {
                let end = self.rest().find("*/");
                end.ok_or_else(|| self.invalid("LexerInvalidChar", "character"))? + 2
            } else {
                return Ok(());
            };
            self.take(length);
        }
    }

    /// The quote stands for itself where it stands twice.
    fn quoted(&mut self, quote: char, kind: Kind) -> Result<()> {
        let at = self.at;
        let mut text = String::new();
        let mut chars = self.rest()[1..].char_indices().peekable();
        let end = loop {
            match chars.next() {
                None => return Err(self.invalid("LexerInvalidLiteral", "literal")),
                Some((_, c)) if c != quote => text.push(c),
                Some((place, _)) => match chars.peek() {
                    Some(&(_, next)) if next == quote && kind != Kind::Ion => {
                        chars.next();
                        text.push(quote);
                    }
                    _ => break place + 2,
                },
            }
        };
        self.take(end);
        self.push(kind, text, at);
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let at = self.at;
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| {
            bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count()
        };
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') {
            end += 1;
            end += digits(end);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent == 0 {
                return Err(self.invalid("LexerInvalidLiteral", "literal"));
            }
            end += 1 + sign + exponent;
        }
        let text = self.take(end);
        if self.rest().starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return Err(self.invalid("LexerInvalidLiteral", "literal"));
        }
        self.push(Kind::Number, text, at);
        Ok(())
    }

    fn symbol(&mut self, first: char, second: char) -> Result<()> {
        let at = self.at;
        let length = match (first, second) {
            ('<', '=' | '>') | ('>', '=') | ('!', '=') | ('|', '|') => 2,
            ('=', '=') | ('!' | '|' | '&' | '^' | '~', _) => {
                return Err(self.invalid("LexerInvalidOperator", "operator"));
            }
            (
                '(' | ')' | '[' | ']' | '{' | '}' | ',' | '.' | '*' | '+' | '-' | '/' | '%' | '<'
                | '>' | '=' | ';' | ':' | '@',
                _,
            ) => 1,
            _ => return Err(self.invalid("LexerInvalidChar", "character")),
        };
        let text = self.take(length);
        self.push(Kind::Symbol, text, at);
        Ok(())
    }
}
