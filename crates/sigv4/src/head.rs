//! The head of a request as it came over the wire: the only thing that signatures look at.

/// Method, path, query and headers, raw. Names of headers are in lower case (HTTP/2 has them so; an
/// HTTP/1 server lowers them), `host` among them (from `:authority` in HTTP/2). Repeated headers
/// stand as often and in the order in which they came.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// As on the wire: percent-encoding untouched. Empty counts as `/`.
    pub path: &'a str,
    /// As on the wire, without the `?`.
    pub query: &'a str,
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> RequestHead<'a> {
    /// The first header of that name, which must be in lower case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// The header of that name if there is exactly one; `Err` if there are more.
    pub(crate) fn single(&self, name: &str) -> Result<Option<&'a [u8]>, &'a [u8]> {
        let mut found = self.headers.iter().filter(|(n, _)| *n == name).map(|(_, value)| *value);
        let first = found.next();
        match found.next() {
            Some(second) => Err(second),
            None => Ok(first),
        }
    }
}

/// Like [`str::split`] at an ASCII byte. The texts here are short, and setting up a search for each
/// piece would cost more than looking at their bytes.
pub(crate) fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.bytes().position(|b| b == separator) else { return rest.take() };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}

/// Trims spaces and tabs, which HTTP allows around a value.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}
