//! XML into structures, by their tables.

use super::reader::{Reader, Token, XmlError};
use crate::check::{Check, Seen};
use crate::reject::{Rejection, Step};
use crate::scalar::{self, TimeText};
use crate::shape::{ListShape, MapShape, Member, Shape};
use crate::value::{Field, List, Map, Slot, Struct};
use std::borrow::Cow;

/// What S3 says of every body that it cannot use.
const NO_FIT: &str =
    "The XML you provided was not well-formed or did not validate against our published schema";

pub(crate) struct Decoder<'a, 'c> {
    pub reader: Reader<'a>,
    pub check: &'c mut Check,
}

type Result<T> = std::result::Result<T, Rejection>;

impl From<XmlError> for Rejection {
    fn from(_: XmlError) -> Rejection {
        no_fit()
    }
}

fn no_fit() -> Rejection {
    Rejection::malformed(NO_FIT)
}

impl<'a, 'c> Decoder<'a, 'c> {
    pub fn new(body: &'a [u8], check: &'c mut Check) -> Result<Decoder<'a, 'c>> {
        Ok(Decoder { reader: Reader::new(body)?, check })
    }

    /// Reads the start tag of the root, which must be one of the names.
    pub fn root(&mut self, names: &[&str]) -> Result<()> {
        loop {
            match self.reader.token()? {
                Token::Start(name) if names.contains(&name) => return Ok(()),
                Token::Text(_) => {}
                _ => return Err(no_fit()),
            }
        }
    }

    /// Nothing may follow the root.
    pub fn end(&mut self) -> Result<()> {
        match self.reader.token()? {
            Token::Eof => Ok(()),
            _ => Err(no_fit()),
        }
    }

    /// The rest of an element that is a structure, checked when complete.
    pub fn structure(&mut self, out: &mut dyn Struct) -> Result<()> {
        let mut seen = Seen::default();
        self.members(out, &mut seen)?;
        self.check.finish(out, &seen);
        Ok(())
    }

    /// The rest of an element that holds the members of a structure.
    pub fn members(&mut self, out: &mut dyn Struct, seen: &mut Seen) -> Result<()> {
        let shape = out.shape();
        let bindings = shape.bindings();
        for &index in &bindings.attributes {
            let index = usize::from(index);
            let member = &shape.members[index];
            if let Some(text) = self.reader.attribute(member.wire)? {
                seen.insert(index);
                set(&member.shape, out.field_mut(index), text)?;
            }
        }
        let mut chosen = false;
        loop {
            let name = match self.reader.token()? {
                Token::Start(name) => name,
                Token::Text(text) if is_blank(&text) => continue,
                Token::End => return Ok(()),
                _ => return Err(no_fit()),
            };
            let Some(index) = bindings.elements.find(name.as_bytes()) else {
                if self.check.settings.refuse_unknown_elements {
                    return Err(no_fit());
                }
                self.reader.skip()?;
                continue;
            };
            let member = &shape.members[index];
            let first = seen.insert(index);
            if shape.union && first && std::mem::replace(&mut chosen, true) {
                return Err(no_fit());
            }
            let mark = self.check.mark();
            if !self.flattened(member, out.field_mut(index))? {
                if !first {
                    return Err(no_fit());
                }
                self.field(&member.shape, out.field_mut(index))?;
            }
            self.check.prefix_member(mark, member);
        }
    }

    /// One item or entry of a list or map that stands directly in its parent; false if the member
    /// is none.
    fn flattened(&mut self, member: &Member, field: &mut dyn Field) -> Result<bool> {
        match member.shape {
            Shape::List(rules) if member.flattened || rules.flattened => {
                let Slot::List(list) = field.slot() else { return Err(no_fit()) };
                self.item(rules, list)?;
            }
            Shape::Map(rules) if member.flattened || rules.flattened => {
                let Slot::Map(map) = field.slot() else { return Err(no_fit()) };
                self.entry(rules, map)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn field(&mut self, shape: &Shape, field: &mut dyn Field) -> Result<()> {
        match (shape, field.slot()) {
            (Shape::Struct(_), Slot::Struct(out)) => self.structure(out),
            (Shape::List(rules), Slot::List(list)) => {
                let wire = rules.item_wire.unwrap_or("member");
                self.children(|this, name| {
                    let known = name == wire;
                    if known {
                        this.item(rules, list)?;
                    }
                    Ok(known)
                })
            }
            (Shape::Map(rules), Slot::Map(map)) => self.children(|this, name| {
                let known = name == "entry";
                if known {
                    this.entry(rules, map)?;
                }
                Ok(known)
            }),
            (Shape::Document | Shape::Custom | Shape::Stream | Shape::Events(_), _) => {
                Ok(self.reader.skip()?)
            }
            _ => {
                let text = self.reader.text()?;
                set(shape, field, text)
            }
        }
    }

    /// The child elements up to the end tag; `take` says whether it knew the name.
    fn children(&mut self, mut take: impl FnMut(&mut Self, &str) -> Result<bool>) -> Result<()> {
        loop {
            match self.reader.token()? {
                Token::Start(name) => {
                    if take(self, name)? {
                        continue;
                    }
                    if self.check.settings.refuse_unknown_elements {
                        return Err(no_fit());
                    }
                    self.reader.skip()?;
                }
                Token::Text(text) if is_blank(&text) => {}
                Token::End => return Ok(()),
                _ => return Err(no_fit()),
            }
        }
    }

    fn item(&mut self, rules: &ListShape, list: &mut dyn List) -> Result<()> {
        let (index, mark) = (list.len(), self.check.mark());
        self.check.grow(list.item_bytes())?;
        self.field(&rules.item, list.push())?;
        self.check.prefix(mark, || Step::Item(index));
        Ok(())
    }

    /// `<key>` and then `<value>`: the order in which every client writes them.
    fn entry(&mut self, rules: &MapShape, map: &mut dyn Map) -> Result<()> {
        let (mut key, mut done) = (None, false);
        self.children(|this, name| {
            if name == rules.key_wire && key.is_none() {
                key = Some(this.reader.text()?.into_owned());
            } else if name == rules.value_wire && !done {
                let Some(key) = &key else { return Err(no_fit()) };
                let mark = this.check.mark();
                this.check.grow(map.entry_bytes())?;
                this.field(&rules.value, map.entry(key.clone()))?;
                this.check.prefix(mark, || Step::Key(key.clone()));
                done = true;
            } else {
                return Err(no_fit());
            }
            Ok(true)
        })?;
        if done { Ok(()) } else { Err(no_fit()) }
    }
}

fn set(shape: &Shape, field: &mut dyn Field, text: Cow<'_, str>) -> Result<()> {
    let time = match shape {
        Shape::Timestamp(format) => TimeText::of(*format, TimeText::Iso),
        _ => TimeText::Iso,
    };
    scalar::parse(field.slot(), text, time).map_err(|_| no_fit())
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_whitespace())
}
