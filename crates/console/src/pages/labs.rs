//! The labs: prose, steps, and how far the last run came.

use crate::call::{Refusal, Told, integer, text};
use crate::door::{Lab, Visit};
use crate::html::{El, Html, el, html, link, url, with};
use crate::layout::{self, LABS, Page};
use crate::markdown::{self, Block};

/// How the last run of a lab ended.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct State {
    /// Steps that were as they should be.
    pub done: usize,
    pub failed: Option<String>,
    pub at: String,
}

impl State {
    pub fn parse(text_of: &str) -> Option<State> {
        let document = smithy::json::parse_document(text_of.as_bytes()).ok()?;
        Some(State {
            done: usize::try_from(integer(&document, "done")).ok()?,
            failed: text(&document, "failed").map(str::to_owned),
            at: text(&document, "at").unwrap_or_default().to_owned(),
        })
    }
}

fn is_step(block: &Block<'_>) -> bool {
    matches!(block, Block::Code(kind, _) if kind.starts_with("sh"))
}

fn steps(blocks: &[Block<'_>]) -> usize {
    blocks.iter().filter(|block| is_step(block)).count()
}

fn state(visit: &Visit<'_>, lab: &Lab) -> Option<State> {
    (visit.console.parts.lab_state)(lab.name).as_deref().and_then(State::parse)
}

fn badge(state: Option<&State>, steps: usize) -> El {
    match state {
        None => with("span", "tag", "not run yet"),
        Some(State { failed: Some(_), done, .. }) => {
            with("span", "tag bad", format!("stopped at step {} of {steps}", done + 1))
        }
        Some(State { done, .. }) if *done >= steps => {
            with("span", "tag good", "all as it should be")
        }
        Some(State { done, .. }) => with("span", "tag warn", format!("{done} of {steps} done")),
    }
}

pub(crate) fn show(visit: &Visit<'_>) -> Page {
    let labs: Vec<_> =
        visit.console.parts.labs.iter().map(|lab| (*lab, state(visit, lab))).collect();
    view(&labs)
}

pub(crate) fn view(labs: &[(Lab, Option<State>)]) -> Page {
    let card = |(lab, state): &(Lab, Option<State>)| {
        let blocks = markdown::blocks(lab.text);
        let steps = steps(&blocks);
        let title = match blocks.first() {
            Some(Block::Heading(1, title)) => title,
            _ => lab.name,
        };
        let summary = blocks.iter().find_map(|block| match block {
            Block::Text(text) => Some(markdown::inline(text)),
            _ => None,
        });
        let to = url("/lab").with("name", lab.name);
        with(
            "li",
            "card",
            (
                with("p", "kind", lab.area),
                el("h2").put(link(&to, title).class("row")),
                el("p").put(summary),
                with(
                    "p",
                    "foot",
                    (
                        badge(state.as_ref(), steps),
                        " ",
                        with("span", "hint", format!("{steps} steps")),
                    ),
                ),
            ),
        )
    };
    Page::new(
        LABS,
        "Labs",
        (
            layout::title("Labs", ()),
            with(
                "p",
                "hint",
                (
                    "Read one here and type along, or let it run: ",
                    layout::code("cumulet lab run NAME"),
                    ". How far the last run came stands here too.",
                ),
            ),
            with("ul", "cards", labs.iter().map(card).collect::<Vec<_>>()).attr("data-rows", ""),
        ),
    )
}

pub(crate) fn lab(visit: &Visit<'_>) -> Told<Page> {
    let name = visit.get("name");
    let lab = visit.console.parts.labs.iter().find(|lab| lab.name == name);
    let lab = lab.ok_or_else(|| Refusal::new(404, "NoSuchLab", "There is no lab of this name."))?;
    Ok(lab_view(lab, state(visit, lab).as_ref()))
}

/// A block of commands, with what became of it.
fn step(code: &str, kind: &str, number: usize, state: Option<&State>) -> El {
    let (class, said): (&'static str, Option<Html>) = match state {
        Some(state) if number <= state.done => ("step done", Some(html("done"))),
        Some(state) if number == state.done + 1 && state.failed.is_some() => {
            ("step failed", Some(html("stopped here")))
        }
        _ => ("step", None),
    };
    let fails =
        kind.contains("fails").then(|| with("span", "hint", "this one is refused, and should be"));
    let why = state
        .filter(|state| number == state.done + 1)
        .and_then(|state| state.failed.as_ref())
        .map(|why| with("pre", "failure", why).attr("tabindex", "0"));
    with(
        "div",
        class,
        (
            with(
                "p",
                "mark",
                (
                    el("b").put(("Step ", number)),
                    " ",
                    said.map(|said| with("span", "said", said)),
                    " ",
                    fails,
                ),
            ),
            with("pre", "code", code).attr("tabindex", "0"),
            why,
        ),
    )
}

pub(crate) fn lab_view(lab: &Lab, state: Option<&State>) -> Page {
    let blocks = markdown::blocks(lab.text);
    let steps = steps(&blocks);
    let (mut number, mut title, mut body): (usize, String, Vec<Html>) =
        (0, lab.name.to_owned(), Vec::new());
    for block in &blocks {
        body.push(match block {
            Block::Heading(1, text) => {
                title = (*text).to_owned();
                continue;
            }
            Block::Code(kind, text) if is_step(block) => {
                number += 1;
                html(step(text, kind, number, state))
            }
            Block::Code("text", text) => html(with(
                "div",
                "seen",
                (with("p", "mark", "You should see"), el("pre").attr("tabindex", "0").put(text)),
            )),
            other => markdown::prose(other),
        });
    }
    let when = state.map(|state| with("span", "hint", (" last run ", layout::time(&state.at))));
    Page::new(
        LABS,
        &title,
        (
            layout::crumbs(vec![("Labs".into(), url("/labs"))], &title),
            layout::title(&title, (badge(state, steps), when)),
            with(
                "p",
                "hint",
                ("Let it run: ", layout::code(format!("cumulet lab run {}", lab.name))),
            ),
            with("article", "prose", body),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAB: Lab = Lab {
        area: "s3",
        name: "first",
        text: "# A title\n\nAbout.\n\n```sh\necho 1\n```\n\n```text\n1\n```\n\n```sh fails\nfalse\n```\n",
    };

    #[test]
    fn states() {
        let check = |json: &str, expected: &str| {
            let state = State::parse(json);
            let text = html(lab_view(&LAB, state.as_ref()).body).into_string();
            assert!(text.contains(expected), "{expected}: {text}");
        };
        check("nonsense", "not run yet");
        check(r#"{"done":2,"at":"2026-11-26T14:00:00Z"}"#, "all as it should be");
        check(r#"{"done":1,"at":""}"#, "1 of 2 done");
        check(r#"{"done":1,"failed":"<b> it ended with 1","at":""}"#, "&lt;b&gt; it ended with 1");
        assert_eq!(State::parse(r#"{"done":-1}"#), None);
    }
}
