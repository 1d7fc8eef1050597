//! Exclusive XML Canonicalization 1.0, without comments
//! (<https://www.w3.org/TR/xml-exc-c14n/>), of one element of a document.

use crate::tree::{Attribute, Content, Id, Tree};
use std::collections::BTreeSet;

struct Writer<'t> {
    tree: &'t Tree,
    /// An element that is left out, with all that is in it.
    without: Option<Id>,
    /// Prefixes that are treated as inclusive canonicalization does.
    inclusive: &'t [&'t str],
    /// Declarations that elements around this one wrote.
    written: Vec<(&'t str, &'t str)>,
    out: String,
}

pub(crate) fn write(tree: &Tree, apex: Id, without: Option<Id>, inclusive: &[&str]) -> String {
    let mut writer = Writer { tree, without, inclusive, written: Vec::new(), out: String::new() };
    writer.element(apex);
    writer.out
}

impl<'t> Writer<'t> {
    /// Documents are read to a bounded depth only.
    fn element(&mut self, id: Id) {
        let tree = self.tree;
        let element = tree.element(id);
        let mark = self.written.len();
        let name = full_name(&element.prefix, &element.local);
        self.out.push('<');
        self.out.push_str(&name);
        self.declarations(id);
        let mut attributes: Vec<&Attribute> = element.attributes.iter().collect();
        attributes.sort_by(|a, b| (&a.space, &a.local).cmp(&(&b.space, &b.local)));
        for attribute in attributes {
            self.attribute(&full_name(&attribute.prefix, &attribute.local), &attribute.value);
        }
        self.out.push('>');
        for content in &element.content {
            match content {
                Content::Element(child) if Some(*child) == self.without => {}
                Content::Element(child) => self.element(*child),
                Content::Text(text) => escape(&mut self.out, text, false),
            }
        }
        self.out.push_str("</");
        self.out.push_str(&name);
        self.out.push('>');
        self.written.truncate(mark);
    }

    /// Those that the element and its attributes use, and that nobody around wrote.
    fn declarations(&mut self, id: Id) {
        let tree = self.tree;
        let element = tree.element(id);
        let mut prefixes: BTreeSet<&'t str> = BTreeSet::from([&*element.prefix]);
        let used = element.attributes.iter().map(|attribute| &*attribute.prefix);
        prefixes.extend(used.filter(|prefix| !prefix.is_empty()));
        let known = |prefix: &&&str| tree.namespace(id, prefix).is_some();
        prefixes.extend(self.inclusive.iter().filter(known));
        prefixes.remove("xml");
        for prefix in prefixes {
            let space = tree.namespace(id, prefix).unwrap_or("");
            let last = self.written.iter().rev().find(|(own, _)| *own == prefix);
            if last.map_or("", |(_, space)| space) == space {
                continue;
            }
            let name =
                if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
            self.attribute(&name, space);
            self.written.push((prefix, space));
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(&mut self.out, value, true);
        self.out.push('"');
    }
}

fn full_name(prefix: &str, local: &str) -> String {
    if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") }
}

fn escape(out: &mut String, text: &str, in_attribute: bool) {
    for c in text.chars() {
        match (c, in_attribute) {
            ('&', _) => out.push_str("&amp;"),
            ('<', _) => out.push_str("&lt;"),
            ('\r', _) => out.push_str("&#xD;"),
            ('>', false) => out.push_str("&gt;"),
            ('"', true) => out.push_str("&quot;"),
            ('\t', true) => out.push_str("&#x9;"),
            ('\n', true) => out.push_str("&#xA;"),
            _ => out.push(c),
        }
    }
}
