//! An item as JSON, to be looked at and changed.

use crate::call::{Refusal, Told, get, map, string};
use crate::door::{Acted, Visit};
use crate::form::Form;
use crate::html::{Url, el, url, with};
use crate::layout::{self, Page, TABLES};
use crate::pages::table::{Keys, blank, describe};
use crate::pages::tables::call;
use crate::session::Session;
use smithy::Document;
use std::collections::BTreeMap;

/// The key of an item as its address has it.
pub(crate) fn key_text(keys: &Keys, item: &BTreeMap<String, Document>) -> String {
    let own = keys.0.iter().filter_map(|(name, _)| Some((name.clone(), item.get(name)?.clone())));
    smithy::json::document_text(&Document::Map(own.collect()))
}

/// JSON for a person: one member on each line, and values of a type on one.
pub(crate) fn pretty(document: &Document) -> String {
    let mut out = String::new();
    write(document, 0, &mut out);
    out
}

fn is_short(document: &Document) -> bool {
    match document {
        Document::List(list) => list.is_empty(),
        Document::Map(map) if map.len() == 1 => {
            map.values().all(|value| !matches!(value, Document::Map(_) | Document::List(_)))
        }
        Document::Map(map) => map.is_empty(),
        _ => true,
    }
}

fn write(document: &Document, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match document {
        document if is_short(document) => out.push_str(&smithy::json::document_text(document)),
        Document::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                line(depth + 1, out);
                write(item, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Document::Map(map) => {
            out.push('{');
            for (at, (name, value)) in map.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                line(depth + 1, out);
                smithy::json::quote(name, out);
                out.push_str(": ");
                write(value, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        _ => {}
    }
}

pub(crate) struct Data<'a> {
    pub table: &'a str,
    /// As JSON; empty for one that is new.
    pub key: &'a str,
    pub text: &'a str,
    pub refusal: Option<&'a Refusal>,
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let (table, key) = (visit.get("table"), visit.get("key"));
    let text = match key {
        "" => pretty(&blank(&describe(visit, table).await?)?.1),
        key => {
            let input = map([
                ("TableName", string(table)),
                ("Key", parsed(key)?),
                ("ConsistentRead", Document::Bool(true)),
            ]);
            let answer = call(visit, "GetItem", &input).await?;
            let gone = || Refusal::new(404, "NoSuchItem", "No item has this key any more.");
            pretty(get(&answer, "Item").ok_or_else(gone)?)
        }
    };
    Ok(view(&Data { table, key, text: &text, refusal: None }, &visit.session))
}

fn parsed(text: &str) -> Told<Document> {
    smithy::json::parse_document(text.as_bytes())
        .map_err(|error| Refusal::new(400, "NotJSON", format!("This is no JSON: {error}.")))
}

pub(crate) fn view(data: &Data<'_>, session: &Session) -> Page {
    let back = || url("/table").with("name", data.table);
    let is_new = data.key.is_empty();
    let title = if is_new { "A new item" } else { "Item" };
    let names = || (layout::hidden("table", data.table), layout::hidden("key", data.key));
    let lines = data.text.lines().count().clamp(8, 32).to_string();
    let edit = layout::form(
        &url("/item/put"),
        session,
        (
            names(),
            layout::labelled(
                "With types, as the API has it: S text, N number, B bytes, BOOL, NULL, L list, M map, SS, NS, BS sets",
                el("textarea")
                    .attr("name", "item")
                    .attr("rows", lines)
                    .attr("spellcheck", "false")
                    .class("code")
                    .put(("\n", data.text)),
            ),
            with(
                "p",
                "actions",
                (
                    el("button").class("main").put(if is_new { "Put it" } else { "Save it" }),
                    with("a", "button", "Back").href(&back()),
                ),
            ),
        ),
    );
    let delete = (!is_new).then(|| {
        let form = layout::form(
            &url("/item/delete"),
            session,
            (names(), el("button").class("bad").put("Delete it")),
        );
        layout::danger("Delete the item", "There is no way to have it back.", form)
    });
    let key = (!is_new).then(|| with("p", "hint", layout::code(data.key)));
    let mut page = Page::new(
        TABLES,
        title,
        (
            layout::crumbs(
                vec![("Tables".into(), url("/tables")), (data.table.to_owned(), back())],
                title,
            ),
            layout::title(title, ()),
            key,
            data.refusal.map(layout::refused),
            edit,
            delete,
        ),
    );
    page.status = data.refusal.map_or(200, |refusal| refusal.status);
    page
}

/// Puts the item; an error is the page with what was typed.
pub(crate) async fn put(visit: &Visit<'_>, form: &Form) -> Result<(Url, String), Page> {
    let (table, key, text) = (form.get("table"), form.get("key"), form.get("item"));
    put_item(visit, table, key, text).await.map_err(|refusal| {
        view(&Data { table, key, text, refusal: Some(&refusal) }, &visit.session)
    })
}

async fn put_item(visit: &Visit<'_>, table: &str, key: &str, text: &str) -> Told<(Url, String)> {
    let item = parsed(text)?;
    let description = describe(visit, table).await?;
    let keys = blank(&description)?.0;
    let own = match &item {
        Document::Map(item) => key_text(&keys, item),
        _ => String::new(),
    };
    let mut input =
        BTreeMap::from([("TableName".to_owned(), string(table)), ("Item".to_owned(), item)]);
    // A key that nobody opened must not silently take another item's place.
    if let (true, Some((hash, _))) = (own != key, keys.0.first()) {
        input.insert("ConditionExpression".to_owned(), string("attribute_not_exists(#h)"));
        let names = Document::Map([("#h".to_owned(), string(hash))].into());
        input.insert("ExpressionAttributeNames".to_owned(), names);
    }
    match call(visit, "PutItem", &Document::Map(input)).await {
        Ok(_) => {
            let to = url("/table").with("name", table);
            let said = if key.is_empty() || own == key {
                "The item is saved.".to_owned()
            } else {
                "The item is saved under its new key; the one with the old key is still there."
                    .to_owned()
            };
            Ok((to, said))
        }
        Err(refusal) if refusal.code.contains("ConditionalCheckFailed") => Err(Refusal::new(
            409,
            "ItemExists",
            "There is an item with this key already; open that one to change it.",
        )),
        Err(refusal) => Err(refusal),
    }
}

pub(crate) async fn delete(visit: &Visit<'_>, form: &Form) -> Acted {
    let (table, key) = (form.get("table"), form.get("key"));
    let back = url("/item").with("table", table).with("key", key);
    let key = parsed(key).map_err(|refusal| (back.clone(), refusal))?;
    let input = map([("TableName", string(table)), ("Key", key)]);
    match call(visit, "DeleteItem", &input).await {
        Ok(_) => Ok((url("/table").with("name", table), "The item is deleted.".into())),
        Err(refusal) => Err((back, refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::html;

    #[test]
    fn json_for_a_person() {
        let check = |json: &str, expected: &str| {
            assert_eq!(pretty(&smithy::json::parse_document(json.as_bytes()).unwrap()), expected);
        };
        check(
            "{\"a\":{\"S\":\"x\"},\"b\":{\"L\":[{\"N\":\"1\"}]}}",
            "{\n  \"a\": {\"S\":\"x\"},\n  \"b\": {\n    \"L\": [\n      {\"N\":\"1\"}\n    ]\n  }\n}",
        );
        check("[]", "[]");
        check("{\"only\":1}", "{\"only\":1}");
    }

    #[test]
    fn what_was_typed_is_shown_again() {
        let session = crate::tests::session();
        let refusal = Refusal::new(400, "NotJSON", "no");
        let text = "</textarea><script>alert(1)</script>";
        let data = Data { table: "t", key: "", text, refusal: Some(&refusal) };
        let page = view(&data, &session);
        let shown = html(&page.body);
        assert_eq!(page.status, 400);
        assert!(!shown.as_str().contains("<script>"));
        assert!(shown.as_str().contains("&lt;/textarea&gt;&lt;script&gt;"));
    }
}
