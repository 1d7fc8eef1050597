//! HTML that cannot be got wrong: text is escaped on its way in, and there is no other way in.
//!
//! Tags and the names of attributes are literals of this program. Links are [`Url`]s or literals, so no
//! value from outside ever begins one. Nothing here takes markup as text.

use base::percent;
use std::fmt::Write;

/// Finished markup.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Html(String);

impl Html {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What [`Put::put`] wrote, and nothing else did.
    pub(crate) fn finished(text: String) -> Html {
        Html(text)
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// What can stand between two tags.
pub trait Put {
    fn put(self, out: &mut String);
}

/// Appends text with everything escaped that could end a text or an attribute. Control characters that
/// no document may hold are shown as pictures of themselves.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            // Pictures of control characters stand at U+2400.
            '\0'..='\x1f' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or(' ')),
            '\x7f' => out.push('\u{2421}'),
            // Text that turns around what follows it could make a name look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

impl Put for &str {
    fn put(self, out: &mut String) {
        escape(self, out);
    }
}

impl Put for String {
    fn put(self, out: &mut String) {
        escape(&self, out);
    }
}

impl Put for &String {
    fn put(self, out: &mut String) {
        escape(self, out);
    }
}

impl Put for Html {
    fn put(self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl Put for &Html {
    fn put(self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl Put for () {
    fn put(self, _: &mut String) {}
}

impl<T: Put> Put for Option<T> {
    fn put(self, out: &mut String) {
        if let Some(inner) = self {
            inner.put(out);
        }
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(self, out: &mut String) {
        self.into_iter().for_each(|inner| inner.put(out));
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Put for $number {
            fn put(self, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )*};
}
numbers!(u16 u32 u64 usize i64);

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: Put),*> Put for ($($name,)*) {
            #[allow(non_snake_case, reason = "each part has the name of its type")]
            fn put(self, out: &mut String) {
                let ($($name,)*) = self;
                $($name.put(out);)*
            }
        }
    )*};
}
tuples!((A)(A B)(A B C)(A B C D)(A B C D E)(A B C D E F)(A B C D E F G)(A B C D E F G H));

/// Anything as markup.
pub fn html(inner: impl Put) -> Html {
    let mut out = String::new();
    inner.put(&mut out);
    Html(out)
}

/// An element: attributes first, then what is in it.
#[derive(Debug)]
pub struct El {
    tag: &'static str,
    head: String,
    body: String,
}

/// Elements that have no end.
const VOID: [&str; 6] = ["br", "hr", "img", "input", "link", "meta"];

pub fn el(tag: &'static str) -> El {
    El { tag, head: String::new(), body: String::new() }
}

/// An element with a class and something in it.
pub fn with(tag: &'static str, class: &'static str, inner: impl Put) -> El {
    el(tag).class(class).put(inner)
}

impl El {
    /// The value is escaped; a name that runs a script or holds a link is a mistake of ours.
    pub fn attr(mut self, name: &'static str, value: impl AsRef<str>) -> El {
        debug_assert!(
            !name.starts_with("on") && !matches!(name, "href" | "src" | "action" | "style")
        );
        self.add(name, value.as_ref());
        self
    }

    fn add(&mut self, name: &'static str, value: &str) {
        self.head.push(' ');
        self.head.push_str(name);
        self.head.push_str("=\"");
        escape(value, &mut self.head);
        self.head.push('"');
    }

    pub fn number(mut self, name: &'static str, value: f64) -> El {
        let _ = write!(self.head, " {name}=\"{}\"", (value * 10.0).round() / 10.0);
        self
    }

    pub fn class(self, class: &'static str) -> El {
        self.attr("class", class)
    }

    pub fn flag(mut self, name: &'static str, on: bool) -> El {
        if on {
            self.head.push(' ');
            self.head.push_str(name);
        }
        self
    }

    pub fn href(mut self, to: &Url) -> El {
        self.add("href", &to.0);
        self
    }

    /// A link to a place on the same page.
    pub fn href_literal(mut self, to: &'static str) -> El {
        self.add("href", to);
        self
    }

    pub fn src(mut self, from: &Url) -> El {
        self.add("src", &from.0);
        self
    }

    pub fn action(mut self, to: &Url) -> El {
        self.add("action", &to.0);
        self
    }

    pub fn put(mut self, inner: impl Put) -> El {
        inner.put(&mut self.body);
        self
    }
}

impl Put for El {
    fn put(self, out: &mut String) {
        let _ = write!(out, "<{}{}>", self.tag, self.head);
        if !VOID.contains(&self.tag) {
            let _ = write!(out, "{}</{}>", self.body, self.tag);
        }
    }
}

/// An address within the console.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url(String);

pub const ROOT: &str = "/_console";

/// `page` is a literal such as `/buckets`.
pub fn url(page: &'static str) -> Url {
    Url(format!("{ROOT}{page}"))
}

impl Url {
    /// Adds a parameter. Names of things stand in parameters and never in paths: a browser would take
    /// the dots out of a path.
    pub fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Url {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        percent::encode_into(value.as_ref().as_bytes(), false, &mut self.0);
        self
    }

    /// [`Url::with`], unless the value is empty.
    pub fn given(self, name: &'static str, value: impl AsRef<str>) -> Url {
        if value.as_ref().is_empty() { self } else { self.with(name, value) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub fn link(to: &Url, inner: impl Put) -> El {
    el("a").href(to).put(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "<script>alert(1)</script>\"'&\0\u{202e}";

    #[test]
    fn nothing_from_outside_is_markup() {
        let to = url("/object").with("key", NASTY);
        let page = html(el("p").attr("title", NASTY).put((NASTY, link(&to, NASTY.to_owned()))));
        let text = page.as_str();
        assert!(!text.contains("<script"), "{text}");
        assert!(
            text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{2400}\u{fffd}")
        );
        assert!(text.contains("href=\"/_console/object?key=%3Cscript%3E"));
        assert_eq!(text.matches('<').count(), 4, "{text}");
    }

    #[test]
    fn elements() {
        let check = |inner: El, expected: &str| assert_eq!(html(inner).as_str(), expected);
        check(el("br"), "<br>");
        check(with("b", "c", ("a", 1u64, Some("x"), vec!["y", "z"])), "<b class=\"c\">a1xyz</b>");
        check(el("input").attr("name", "n").flag("checked", true), "<input name=\"n\" checked>");
        check(el("rect").number("x", 1.0 / 3.0), "<rect x=\"0.3\"></rect>");
    }

    #[test]
    fn noise_stays_text() {
        let words: [&[u8]; 5] = [b"<script>", b"\"", b"'", b"</p>", b"&lt;"];
        base::noise::run(3, 5_000, &[NASTY.as_bytes()], &words, |data| {
            let text = String::from_utf8_lossy(data);
            let page = html(el("p").attr("title", &text).put(&*text));
            let inner = page.as_str();
            assert_eq!(inner.matches('<').count(), 2, "{inner}");
            assert_eq!(inner.matches('"').count(), 2, "{inner}");
        });
    }
}
