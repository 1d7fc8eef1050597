//! Where a person says who they are.

use crate::call::Refusal;
use crate::door::Console;
use crate::html::{el, url, with};
use crate::layout;

/// `number` belongs to the form's cookie; `id` is what was given before.
pub(crate) fn view(console: &Console, number: &str, id: &str, refusal: Option<&Refusal>) -> String {
    let input = |label: &'static str, name: &'static str, kind: &'static str, value: &str| {
        layout::labelled(
            label,
            el("input")
                .attr("name", name)
                .attr("type", kind)
                .attr("value", value)
                .attr(
                    "autocomplete",
                    if kind == "password" { "current-password" } else { "username" },
                )
                .attr("spellcheck", "false")
                .attr("autocapitalize", "none")
                .flag("required", true)
                .flag("autofocus", name == "id" && id.is_empty()),
        )
    };
    let more = with(
        "details",
        "more",
        (
            el("summary").put("Session token and region"),
            layout::field("Session token", "token", ""),
            layout::field("Region", "region", console.parts.region.as_str()),
        ),
    );
    let hint = console.parts.well_known_pairs.then(|| {
        with(
            "p",
            "hint",
            (
                "On this machine the pair ",
                el("code").put("test"),
                " and ",
                el("code").put("test"),
                " is root of the account 000000000000; an account's number and ",
                el("code").put("test"),
                " is root of that account.",
            ),
        )
    });
    let form = el("form").attr("method", "post").action(&url("/sign-in")).class("sign-in").put((
        layout::hidden("form", number),
        input("Access key", "id", "text", id),
        input("Secret", "secret", "password", ""),
        more,
        el("button").class("main").put("Sign in"),
    ));
    let body = (
        el("h1").put("Sign in"),
        with(
            "p",
            "lead",
            "With an access key, as every program does. You may do here what its policies let you.",
        ),
        refusal.map(layout::refused),
        form,
        hint,
    );
    layout::bare("Sign in", body)
}
