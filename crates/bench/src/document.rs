//! `docs/bench.md`: each group of measures has a section between two marks, and only that is replaced.

use std::fs;
use std::path::Path;

pub fn update(page: &Path, group: &str, section: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", page.display());
    let text = fs::read_to_string(page).map_err(failed)?;
    let text = replace(&text, group, section);
    fs::write(page, text).map_err(failed)
}

/// The text with what stands between the group's marks replaced; a new section goes to the end.
fn replace(text: &str, group: &str, section: &str) -> String {
    let (open, close) = (format!("<!-- {group} -->"), format!("<!-- end of {group} -->"));
    let new = format!("{open}\n{}\n{close}", section.trim_end());
    let found = text.find(&open).and_then(|from| {
        let end = text[from..].find(&close)? + from + close.len();
        Some((from, end))
    });
    match found {
        Some((from, end)) => format!("{}{new}{}", &text[..from], &text[end..]),
        None => format!("{}\n\n{new}\n", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_replaced_or_added() {
        let page = replace("# Bench\n", "s3", "one");
        assert_eq!(page, "# Bench\n\n<!-- s3 -->\none\n<!-- end of s3 -->\n");
        let page = replace(&page, "start", "two");
        let page = replace(&page, "s3", "three\n");
        assert_eq!(
            page,
            "# Bench\n\n<!-- s3 -->\nthree\n<!-- end of s3 -->\n\n<!-- start -->\ntwo\n\
             <!-- end of start -->\n"
        );
    }
}
