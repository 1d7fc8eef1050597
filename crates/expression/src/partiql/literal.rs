//! Values in a statement: literals, and parameters within them.

use super::parse::{Parser, Result};
use super::token::Kind as TokenKind;
use super::words;
use bytes::Bytes;
use item::{
    Builder, Kind, MAP_DEPTH_MAX, Map, Value, boolean, list, map, null, number_value, set, string,
};
use std::collections::BTreeSet;

impl Parser<'_> {
    /// Whether a value begins here, rather than a path or a function.
    pub(super) fn at_value(&self) -> bool {
        let token = self.peek();
        let symbols = ["?", "{", "[", "<<", "-", "+"];
        matches!(token.kind, TokenKind::Text | TokenKind::Number | TokenKind::Ion)
            || symbols.iter().any(|symbol| token.is(symbol))
            || ["true", "false", "null"].iter().any(|word| token.is_word(word))
    }

    /// The value that is next, encoded. `under` is the attribute that it is for.
    pub(super) fn value(&mut self, under: &str, depth: usize) -> Result<Bytes> {
        if depth > MAP_DEPTH_MAX {
            return Err(words::TOO_DEEP.into());
        }
        let token = self.next();
        let made: Vec<u8> = match token.kind {
            TokenKind::Text => string(&token.text),
            TokenKind::Number => number_value(&token.text).map_err(|error| error.to_string())?,
            TokenKind::Ion => {
                let place = self.place(&token);
                return Err(format!(
                    "Ion Literals are not supported: {} under key {under} at {place}",
                    token.text
                ));
            }
            TokenKind::Symbol => match &*token.text {
                "?" => return self.parameter(),
                "-" | "+" => {
                    let number = self.next();
                    if number.kind != TokenKind::Number {
                        return Err(words::malformed("Unexpected operator"));
                    }
                    let sign = if token.text == "-" { "-" } else { "" };
                    let text = format!("{sign}{}", number.text);
                    number_value(&text).map_err(|error| error.to_string())?
                }
                "{" => map(Map::of(&self.entries(under, depth)?)),
                "[" => self.list(under, depth)?,
                "<<" => self.bag(under, depth)?,
                _ => return Err(words::malformed("Unexpected token")),
            },
            TokenKind::Word if token.is_word("true") => boolean(true),
            TokenKind::Word if token.is_word("false") => boolean(false),
            TokenKind::Word if token.is_word("null") => null(),
            TokenKind::Word | TokenKind::Name if self.peek().is("(") => {
                let (name, place) = (token.text.to_lowercase(), self.place(&token));
                return Err(format!("Unsupported data type: {name} under key {under} at {place}"));
            }
            TokenKind::Word if token.is_word("missing") => return Err(words::BARE_MISSING.into()),
            TokenKind::Word | TokenKind::Name => {
                let place = self.place(&token);
                return Err(format!("Unsupported data type: id under key {under} at {place}"));
            }
            TokenKind::End => return Err(words::malformed("Unexpected end of statement")),
        };
        Ok(made.into())
    }

    /// The entries of a struct whose bracket was taken.
    pub(super) fn entries(&mut self, under: &str, depth: usize) -> Result<Bytes> {
        let (mut out, mut names) = (Builder::default(), BTreeSet::new());
        if self.take("}") {
            return Ok(out.finish());
        }
        loop {
            let name = self.next();
            // A name in quotes of the other kind is taken for the text that it looks like.
            if !matches!(name.kind, TokenKind::Text | TokenKind::Name) {
                let place = self.place(&name);
                return Err(format!(
                    "Tuple keys must be of type String. Actual type: {} under {under} at {place}",
                    name.text
                ));
            }
            self.expect(":", "Expected COLON")?;
            // Messages name what a thing is in, not what it is called there.
            let deeper = self.peek().is("{") || self.peek().is("[");
            let value = self.value(if deeper { &name.text } else { under }, depth + 1)?;
            if !names.insert(name.text.to_string()) {
                return Err(format!("Duplicate keys in tuple. Key: {} under {under}", name.text));
            }
            let value = Value::of(&value).ok_or_else(|| words::malformed("Unexpected token"))?;
            out.push(&name.text, value);
            if !self.take(",") {
                break;
            }
        }
        self.expect("}", "Expected RIGHT_CURLY")?;
        Ok(out.finish())
    }

    fn list(&mut self, under: &str, depth: usize) -> Result<Vec<u8>> {
        let all = self.values(under, depth, "]", "Expected RIGHT_BRACKET")?;
        Ok(list(all.iter().map(|value| &value[..])))
    }

    /// Values up to the bracket that ends them.
    pub(super) fn values(
        &mut self,
        under: &str,
        depth: usize,
        end: &str,
        expected: &str,
    ) -> Result<Vec<Bytes>> {
        let mut all = Vec::new();
        if self.take(end) {
            return Ok(all);
        }
        loop {
            all.push(self.value(under, depth + 1)?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(end, expected)?;
        Ok(all)
    }

    /// A set: members of one scalar kind, each once.
    fn bag(&mut self, under: &str, depth: usize) -> Result<Vec<u8>> {
        let all = self.values(under, depth, ">>", "Expected DOUBLE_RIGHT_ANGLE")?;
        let members: Vec<Value<'_>> = all.iter().filter_map(|value| Value::of(value)).collect();
        let first = members.first().ok_or(words::EMPTY_BAG)?.kind();
        let kind = match first {
            Kind::S => Kind::SS,
            Kind::N => Kind::NS,
            Kind::B => Kind::BS,
            _ => return Err(words::MIXED_BAG.into()),
        };
        if members.iter().any(|member| member.kind() != first) {
            return Err(words::MIXED_BAG.into());
        }
        let distinct: BTreeSet<&[u8]> = members.iter().map(|member| member.content()).collect();
        if distinct.len() < members.len() {
            let shown: Vec<&str> = members.iter().map(|member| member.text()).collect();
            return Err(format!(
                "One or more parameter values were invalid: Input collection [{}] contains duplicates.",
                shown.join(", ")
            ));
        }
        Ok(set(kind, members.iter().map(|member| member.content())))
    }
}
