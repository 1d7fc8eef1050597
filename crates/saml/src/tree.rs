//! A document as a tree, with the namespaces of its names.
//!
//! Comments and processing instructions are gone, as the canonical form without comments has it for
//! the first; text that they cut in two is one again, so that nobody reads another value than the one
//! that was signed.

use smithy::xml::{Reader, Token};

const XML_SPACE: &str = "http://www.w3.org/XML/1998/namespace";
/// More than any response or metadata has: both are bounded to a few hundred thousand characters.
const ELEMENTS_MAX: usize = 20_000;

/// Where an element stands in its document.
pub(crate) type Id = usize;

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) prefix: String,
    pub(crate) space: String,
    pub(crate) local: String,
    pub(crate) value: String,
}

#[derive(Debug)]
pub(crate) enum Content {
    Element(Id),
    Text(String),
}

#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) parent: Option<Id>,
    pub(crate) prefix: String,
    pub(crate) space: String,
    pub(crate) local: String,
    pub(crate) attributes: Vec<Attribute>,
    /// Prefixes that are declared here, and for which namespaces.
    declared: Vec<(String, String)>,
    pub(crate) content: Vec<Content>,
}

/// At least a root. Parents stand before their children.
#[derive(Debug)]
pub(crate) struct Tree {
    elements: Vec<Element>,
}

pub(crate) const ROOT: Id = 0;

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

impl Tree {
    /// `None` for what is not well-formed, with or without regard to namespaces.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Tree> {
        let mut reader = Reader::new(bytes).ok()?;
        let mut tree = Tree { elements: Vec::new() };
        let mut open: Vec<Id> = Vec::new();
        loop {
            match reader.token().ok()? {
                Token::Start(_) => {
                    let id = tree.open(&reader, open.last().copied())?;
                    open.push(id);
                }
                Token::End => {
                    open.pop();
                }
                Token::Text(text) => tree.text(*open.last()?, &text),
                Token::Eof => return Some(tree).filter(|tree| !tree.elements.is_empty()),
            }
        }
    }

    fn open(&mut self, reader: &Reader<'_>, parent: Option<Id>) -> Option<Id> {
        let id = self.elements.len();
        if id >= ELEMENTS_MAX {
            return None;
        }
        let (prefix, local) = split(reader.full_name());
        let mut element = Element {
            parent,
            prefix: prefix.to_owned(),
            space: String::new(),
            local: local.to_owned(),
            attributes: Vec::new(),
            declared: Vec::new(),
            content: Vec::new(),
        };
        let mut attributes = Vec::new();
        for (name, value) in reader.attributes().ok()? {
            match split(name) {
                ("", "xmlns") => element.declared.push((String::new(), value)),
                ("xmlns", "xml" | "xmlns") => return None,
                ("xmlns", _) if value.is_empty() => return None,
                ("xmlns", prefix) => element.declared.push((prefix.to_owned(), value)),
                (prefix, local) => attributes.push((prefix, local, value)),
            }
        }
        self.elements.push(element);
        let space = self.namespace(id, prefix);
        self.elements[id].space =
            if prefix.is_empty() { space.unwrap_or("") } else { space? }.to_owned();
        for (prefix, local, value) in attributes {
            let space = if prefix.is_empty() { "" } else { self.namespace(id, prefix)? }.to_owned();
            let own = &mut self.elements[id].attributes;
            if own.iter().any(|other| other.space == space && other.local == local) {
                return None;
            }
            own.push(Attribute {
                prefix: prefix.to_owned(),
                space,
                local: local.to_owned(),
                value,
            });
        }
        if let Some(parent) = parent {
            self.elements[parent].content.push(Content::Element(id));
        }
        Some(id)
    }

    fn text(&mut self, id: Id, text: &str) {
        let content = &mut self.elements[id].content;
        match content.last_mut() {
            Some(Content::Text(last)) => last.push_str(text),
            _ => content.push(Content::Text(text.to_owned())),
        }
    }

    pub(crate) fn element(&self, id: Id) -> &Element {
        &self.elements[id]
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter()
    }

    /// What a prefix stands for at an element. The empty prefix stands for no namespace where nobody
    /// said otherwise.
    pub(crate) fn namespace(&self, id: Id, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some(XML_SPACE);
        }
        let mut at = Some(id);
        while let Some(id) = at {
            let element = &self.elements[id];
            if let Some((_, space)) = element.declared.iter().find(|(own, _)| own == prefix) {
                return Some(space);
            }
            at = element.parent;
        }
        None
    }

    pub(crate) fn is(&self, id: Id, (space, local): (&str, &str)) -> bool {
        let element = &self.elements[id];
        element.space == space && element.local == local
    }

    pub(crate) fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        self.elements[id].content.iter().filter_map(|content| match content {
            Content::Element(id) => Some(*id),
            Content::Text(_) => None,
        })
    }

    pub(crate) fn named<'t>(
        &'t self,
        id: Id,
        name: (&'t str, &'t str),
    ) -> impl Iterator<Item = Id> + 't {
        self.children(id).filter(move |child| self.is(*child, name))
    }

    /// The one child of that name; `None` also where there are several.
    pub(crate) fn only(&self, id: Id, name: (&str, &str)) -> Option<Id> {
        let mut found = self.named(id, name);
        found.next().filter(|_| found.next().is_none())
    }

    /// The text of an element that has nothing but text, without the white space of XML around it: other
    /// spaces tell two names apart.
    pub(crate) fn value(&self, id: Id) -> Option<&str> {
        match &self.elements[id].content[..] {
            [] => Some(""),
            [Content::Text(text)] => Some(text.trim_matches([' ', '\t', '\r', '\n'])),
            _ => None,
        }
    }

    /// An attribute without a namespace.
    pub(crate) fn attribute(&self, id: Id, name: &str) -> Option<&str> {
        let own = &self.elements[id].attributes;
        let found = own.iter().find(|own| own.space.is_empty() && own.local == name);
        found.map(|own| &*own.value)
    }
}
