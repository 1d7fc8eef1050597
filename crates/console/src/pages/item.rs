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

#[derive(Clone, Copy, Default)]
pub(crate) struct Data<'a> {
    pub table: &'a str,
    /// As JSON; empty for one that is new.
    pub key: &'a str,
    pub text: &'a str,
    /// The mark of what was there when it was opened.
    pub opened: &'a str,
    pub refusal: Option<&'a Refusal>,
    /// What others have written since then.
    pub theirs: Option<&'a str>,
}

/// What tells one state of an item from another.
fn mark(item: &Document) -> String {
    base::hex::encode(&sigv4::sha256(smithy::json::document_text(item).as_bytes()))
}

async fn stored(visit: &Visit<'_>, table: &str, key: Document) -> Told<Option<Document>> {
    let input =
        map([("TableName", string(table)), ("Key", key), ("ConsistentRead", Document::Bool(true))]);
    let answer = call(visit, "GetItem", &input).await?;
    Ok(get(&answer, "Item").cloned())
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let (table, key) = (visit.get("table"), visit.get("key"));
    let (text, opened) = match key {
        "" => (pretty(&blank(&describe(visit, table).await?)?.1), String::new()),
        key => {
            let gone = || Refusal::new(404, "NoSuchItem", "No item has this key any more.");
            let item = stored(visit, table, parsed(key)?).await?.ok_or_else(gone)?;
            (pretty(&item), mark(&item))
        }
    };
    let data = Data { table, key, text: &text, opened: &opened, ..Data::default() };
    Ok(view(&data, &visit.session))
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
            layout::hidden("opened", data.opened),
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
    let theirs = data.theirs.map(|text| {
        let shown = el("pre").class("look").attr("tabindex", "0").put(text);
        let hint = "Below is what you typed. Saving it again replaces what is shown here.";
        layout::panel("The item as it is now", (shown, with("p", "hint", hint)))
    });
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
            theirs,
            edit,
            delete,
        ),
    );
    page.status = data.refusal.map_or(200, |refusal| refusal.status);
    page
}

/// Why an item was not put.
enum Unsaved {
    Refused(Refusal),
    /// Others have changed it since it was opened; gone if they deleted it.
    Changed(Option<Document>),
}

impl From<Refusal> for Unsaved {
    fn from(refusal: Refusal) -> Unsaved {
        Unsaved::Refused(refusal)
    }
}

/// Puts the item; an error is the page with what was typed.
pub(crate) async fn put(visit: &Visit<'_>, form: &Form) -> Result<(Url, String), Page> {
    let (table, key, text) = (form.get("table"), form.get("key"), form.get("item"));
    let data = Data { table, key, text, opened: form.get("opened"), ..Data::default() };
    let unsaved = match put_item(visit, &data).await {
        Ok(done) => return Ok(done),
        Err(unsaved) => unsaved,
    };
    let session = &visit.session;
    Err(match unsaved {
        Unsaved::Refused(refusal) => view(&Data { refusal: Some(&refusal), ..data }, session),
        Unsaved::Changed(Some(now)) => {
            let text = "Somebody has changed the item since you opened it. Nothing was saved.";
            let refusal = Refusal::new(409, "ItemChanged", text);
            let (theirs, opened) = (pretty(&now), mark(&now));
            let (refusal, theirs) = (Some(&refusal), Some(&*theirs));
            view(&Data { refusal, theirs, opened: &opened, ..data }, session)
        }
        Unsaved::Changed(None) => {
            let text = "Somebody has deleted the item since you opened it. Nothing was saved; put it to have it again.";
            let refusal = Refusal::new(409, "ItemGone", text);
            view(&Data { refusal: Some(&refusal), key: "", opened: "", ..data }, session)
        }
    })
}

/// Attributes that a condition names, so that its text and its operators stay within DynamoDB's bounds.
const HELD_MAX: usize = 80;

/// That the item is still what was read: of many attributes, that of the first.
fn unchanged(
    read: &BTreeMap<String, Document>,
    written: &BTreeMap<String, Document>,
) -> Vec<(String, Document)> {
    let (mut terms, mut names, mut values) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (at, (name, value)) in read.iter().take(HELD_MAX).enumerate() {
        terms.push(format!("#a{at}=:a{at}"));
        names.insert(format!("#a{at}"), string(name));
        values.insert(format!(":a{at}"), value.clone());
    }
    let added = written.keys().filter(|name| !read.contains_key(*name));
    for (at, name) in added.take(HELD_MAX).enumerate() {
        terms.push(format!("attribute_not_exists(#b{at})"));
        names.insert(format!("#b{at}"), string(name));
    }
    vec![
        ("ConditionExpression".to_owned(), string(terms.join(" AND "))),
        ("ExpressionAttributeNames".to_owned(), Document::Map(names)),
        ("ExpressionAttributeValues".to_owned(), Document::Map(values)),
    ]
}

async fn put_item(visit: &Visit<'_>, data: &Data<'_>) -> Result<(Url, String), Unsaved> {
    let Data { table, key, text, opened, .. } = *data;
    let item = parsed(text)?;
    let description = describe(visit, table).await?;
    let keys = blank(&description)?.0;
    let blank = BTreeMap::new();
    let typed = match &item {
        Document::Map(item) => item,
        _ => &blank,
    };
    let own = key_text(&keys, typed);
    // The key may be written in other ways than ours.
    let same = match key {
        "" => None,
        key => Some(parsed(key)?).filter(|key| smithy::json::document_text(key) == own),
    };
    let condition = match (&same, keys.0.first()) {
        (Some(key), _) => {
            let now = stored(visit, table, key.clone()).await?;
            let is_as_opened = now.as_ref().is_some_and(|now| mark(now) == opened);
            match now {
                Some(Document::Map(now)) if is_as_opened => unchanged(&now, typed),
                now => return Err(Unsaved::Changed(now)),
            }
        }
        // A key that nobody opened must not silently take another item's place.
        (None, Some((hash, _))) => {
            let names = Document::Map([("#h".to_owned(), string(hash))].into());
            vec![
                ("ConditionExpression".to_owned(), string("attribute_not_exists(#h)")),
                ("ExpressionAttributeNames".to_owned(), names),
            ]
        }
        (None, None) => Vec::new(),
    };
    let mut input =
        BTreeMap::from([("TableName".to_owned(), string(table)), ("Item".to_owned(), item)]);
    input.extend(condition);
    match call(visit, "PutItem", &Document::Map(input)).await {
        Ok(_) => {
            let to = url("/table").with("name", table);
            let said = match key.is_empty() || same.is_some() {
                true => "The item is saved.",
                false => {
                    "The item is saved under its new key; the one with the old key is still there."
                }
            };
            Ok((to, said.to_owned()))
        }
        Err(refusal) if refusal.code.contains("ConditionalCheckFailed") => match same {
            Some(key) => Err(Unsaved::Changed(stored(visit, table, key).await?)),
            None => {
                let text = "There is an item with this key already; open that one to change it.";
                Err(Refusal::new(409, "ItemExists", text).into())
            }
        },
        Err(refusal) => Err(refusal.into()),
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
        let data = Data { table: "t", text, refusal: Some(&refusal), ..Data::default() };
        let page = view(&data, &session);
        let shown = html(&page.body);
        assert_eq!(page.status, 400);
        assert!(!shown.as_str().contains("<script>"));
        assert!(shown.as_str().contains("&lt;/textarea&gt;&lt;script&gt;"));
    }

    #[test]
    fn a_condition_holds_what_was_read() {
        let item = |json: &str| match smithy::json::parse_document(json.as_bytes()).unwrap() {
            Document::Map(item) => item,
            _ => panic!("no item"),
        };
        let read = item(r#"{"k":{"S":"x"},"n":{"N":"1"}}"#);
        let condition = unchanged(&read, &item(r#"{"k":{"S":"x"},"new":{"N":"2"}}"#));
        assert_eq!(condition[0].1, string("#a0=:a0 AND #a1=:a1 AND attribute_not_exists(#b0)"));
        let many = |what: &str| (0..1000).map(|n| (format!("{what}-{n}"), string("x"))).collect();
        let condition = unchanged(&many("read"), &many("added"));
        let Document::String(text) = &condition[0].1 else { panic!() };
        assert!(text.len() < 4096, "{}", text.len());
    }
}
