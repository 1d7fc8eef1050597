//! As much Markdown as labs are written in: headings, paragraphs, lists, blocks of code, and within a
//! line code, emphasis and links. Everything else is text.

use crate::html::{El, Html, Put, el, html, with};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block<'t> {
    Heading(usize, &'t str),
    Text(String),
    List(Vec<String>),
    /// What stands after the fence, and the lines.
    Code(&'t str, String),
}

pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().peekable();
    let mut paragraph = String::new();
    while let Some(line) = lines.next() {
        let line = line.trim_end();
        let item = line.strip_prefix("- ").or(line.strip_prefix("* "));
        let starts =
            line.is_empty() || line.starts_with("```") || line.starts_with('#') || item.is_some();
        if starts && !paragraph.is_empty() {
            blocks.push(Block::Text(std::mem::take(&mut paragraph)));
        }
        if let Some(kind) = line.strip_prefix("```") {
            let mut body = String::new();
            for line in lines.by_ref().take_while(|line| line.trim_end() != "```") {
                body.push_str(line);
                body.push('\n');
            }
            blocks.push(Block::Code(kind, body));
        } else if let Some(item) = item {
            let mut item = item.to_owned();
            while let Some(more) =
                lines.next_if(|line| line.starts_with("  ") && !line.trim().is_empty())
            {
                item.push(' ');
                item.push_str(more.trim());
            }
            match blocks.last_mut() {
                Some(Block::List(items)) => items.push(item),
                _ => blocks.push(Block::List(vec![item])),
            }
        } else if line.starts_with('#') {
            let level = line.bytes().take_while(|b| *b == b'#').count();
            blocks.push(Block::Heading(level, line[level..].trim()));
        } else if !line.is_empty() {
            paragraph.push_str(if paragraph.is_empty() { "" } else { " " });
            paragraph.push_str(line.trim_start());
        }
    }
    if !paragraph.is_empty() {
        blocks.push(Block::Text(paragraph));
    }
    blocks
}

/// What stands up to a mark, and what after it.
fn up_to<'t>(rest: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    rest.split_once(mark).filter(|(inner, _)| !inner.is_empty())
}

/// A line with its code, emphasis and links. Links are shown as text with their address: they lead out
/// of the program.
pub fn inline(text: &str) -> Html {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[', '<']) {
        rest[..at].put(&mut out);
        let (mark, after) = rest[at..].split_at(1);
        let done = match mark {
            "`" => up_to(after, "`").map(|(inner, next)| (el("code").put(inner), next)),
            "*" if after.starts_with('*') => {
                up_to(&after[1..], "**").map(|(inner, next)| (el("strong").put(inner), next))
            }
            "*" => up_to(after, "*").map(|(inner, next)| (el("em").put(inner), next)),
            "[" => link(after),
            _ => up_to(after, ">")
                .filter(|(inner, _)| inner.starts_with("http"))
                .map(|(inner, next)| (el("code").put(inner), next)),
        };
        rest = match done {
            Some((element, next)) => {
                element.put_here(&mut out);
                next
            }
            None => {
                mark.put(&mut out);
                after
            }
        };
    }
    rest.put(&mut out);
    Html::finished(out)
}

fn link(after: &str) -> Option<(El, &str)> {
    let (words, next) = up_to(after, "](")?;
    let (to, next) = up_to(next, ")")?;
    Some((
        el("span")
            .attr("title", to)
            .put((words, to.starts_with("http").then(|| (" (", el("code").put(to), ")")))),
        next,
    ))
}

impl El {
    fn put_here(self, out: &mut String) {
        Put::put(self, out);
    }
}

/// A block that is no code.
pub fn prose(block: &Block<'_>) -> Html {
    match block {
        Block::Heading(1, text) => html(el("h1").put(inline(text))),
        Block::Heading(2, text) => html(el("h2").put(inline(text))),
        Block::Heading(_, text) => html(el("h3").put(inline(text))),
        Block::Text(text) => html(el("p").put(inline(text))),
        Block::List(items) => html(
            el("ul").put(items.iter().map(|item| el("li").put(inline(item))).collect::<Vec<_>>()),
        ),
        Block::Code(_, text) => html(with("pre", "code", text).attr("tabindex", "0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_all_kinds() {
        let text = "# T\n\nOne\ntwo.\n- a\n  more\n- b\n```sh fails\nfalse\n```\nend";
        let expected = vec![
            Block::Heading(1, "T"),
            Block::Text("One two.".into()),
            Block::List(vec!["a more".into(), "b".into()]),
            Block::Code("sh fails", "false\n".into()),
            Block::Text("end".into()),
        ];
        assert_eq!(blocks(text), expected);
    }

    #[test]
    fn lines() {
        let check = |text: &str, expected: &str| assert_eq!(inline(text).as_str(), expected);
        check("a `b<` *c* **d**", "a <code>b&lt;</code> <em>c</em> <strong>d</strong>");
        check("2 * 3 * x", "2 <em> 3 </em> x");
        check("`open", "`open");
        check("[x](javascript:alert(1))", "<span title=\"javascript:alert(1\">x</span>)");
        check("<script>", "&lt;script&gt;");
    }

    #[test]
    fn noise() {
        let words: [&[u8]; 7] = [b"```", b"\n", b"**", b"](", b"- ", b"#", b"<http"];
        base::noise::run(19, 5_000, &[b"# a\n\n`b` [c](d)\n"], &words, |data| {
            let text = String::from_utf8_lossy(data);
            for block in blocks(&text) {
                prose(&block);
            }
        });
    }
}
