//! A table: its keys, and its items page by page, all of them or those that a query finds.

use crate::call::{Refusal, Told, get, integer, list, map, string, text};
use crate::door::Visit;
use crate::html::{El, Html, el, html, link, url, with};
use crate::layout::{self, Page, TABLES};
use crate::pages::item::{key_text, pretty};
use crate::pages::tables::call;
use smithy::Document;
use std::collections::BTreeMap;

const ROWS: i64 = 50;
/// Columns beyond the keys.
const COLUMNS_MAX: usize = 6;
/// Of a value in a cell.
const CELL_CHARS_MAX: usize = 80;

/// The keys of a table or an index: name and type of the first, and of the second.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Keys(pub Vec<(String, String)>);

pub(crate) struct Data {
    pub name: String,
    pub description: Document,
    pub index: String,
    pub hash: String,
    pub compare: String,
    pub range: String,
    pub items: Told<Vec<BTreeMap<String, Document>>>,
    pub scanned: i64,
    /// The key after which there are more.
    pub last: Option<String>,
}

fn keys_of(description: &Document, schema: &Document) -> Keys {
    let kind = |name: &str| {
        let own = list(description, "AttributeDefinitions");
        let own = own.iter().find(|own| text(own, "AttributeName") == Some(name));
        own.and_then(|own| text(own, "AttributeType")).unwrap_or("S").to_owned()
    };
    let names = list(schema, "KeySchema").iter().filter_map(|key| text(key, "AttributeName"));
    Keys(names.map(|name| (name.to_owned(), kind(name))).collect())
}

fn indexes(description: &Document) -> impl Iterator<Item = &Document> {
    let (global, local) = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes");
    list(description, global).iter().chain(list(description, local))
}

impl Data {
    pub fn keys(&self) -> Keys {
        keys_of(&self.description, &self.description)
    }

    fn searched(&self) -> Keys {
        let index =
            indexes(&self.description).find(|index| text(index, "IndexName") == Some(&*self.index));
        keys_of(&self.description, index.unwrap_or(&self.description))
    }
}

pub(crate) async fn describe(visit: &Visit<'_>, name: &str) -> Told<Document> {
    let answer = call(visit, "DescribeTable", &map([("TableName", string(name))])).await?;
    Ok(get(&answer, "Table").cloned().unwrap_or_default())
}

/// A value of a key as the API has it.
fn value(kind: &str, text: &str) -> Document {
    let name = if matches!(kind, "N" | "B") { kind } else { "S" };
    Document::Map([(name.to_owned(), string(text))].into())
}

/// Conditions on the second key, and how they are written.
const COMPARES: [(&str, &str); 7] = [
    ("=", "#r = :r"),
    ("<", "#r < :r"),
    ("<=", "#r <= :r"),
    (">", "#r > :r"),
    (">=", "#r >= :r"),
    ("begins with", "begins_with(#r, :r)"),
    ("", ""),
];

/// The input of a scan, or of a query if a key was given.
fn input(data: &Data, from: &str) -> (&'static str, Document) {
    let mut input = BTreeMap::from([
        ("TableName".to_owned(), string(&data.name)),
        ("Limit".to_owned(), Document::Integer(ROWS)),
    ]);
    if !data.index.is_empty() {
        input.insert("IndexName".to_owned(), string(&data.index));
    }
    if let Ok(key) = smithy::json::parse_document(from.as_bytes()) {
        input.insert("ExclusiveStartKey".to_owned(), key);
    }
    let keys = data.searched().0;
    let Some((hash, kind)) = keys.first().filter(|_| !data.hash.is_empty()) else {
        return ("Scan", Document::Map(input));
    };
    let mut names = BTreeMap::from([("#h".to_owned(), string(hash))]);
    let mut values = BTreeMap::from([(":h".to_owned(), value(kind, &data.hash))]);
    let mut condition = "#h = :h".to_owned();
    if let Some((range, kind)) = keys.get(1).filter(|_| !data.range.is_empty()) {
        let compare = COMPARES.iter().find(|(shown, _)| *shown == data.compare);
        let (_, text) = compare.filter(|(shown, _)| !shown.is_empty()).unwrap_or(&COMPARES[0]);
        condition.push_str(" AND ");
        condition.push_str(text);
        names.insert("#r".to_owned(), string(range));
        values.insert(":r".to_owned(), value(kind, &data.range));
    }
    input.insert("KeyConditionExpression".to_owned(), string(condition));
    input.insert("ExpressionAttributeNames".to_owned(), Document::Map(names));
    input.insert("ExpressionAttributeValues".to_owned(), Document::Map(values));
    ("Query", Document::Map(input))
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let name = visit.get("name");
    let mut data = Data {
        name: name.to_owned(),
        description: describe(visit, name).await?,
        index: visit.get("index").to_owned(),
        hash: visit.get("hash").to_owned(),
        compare: visit.get("compare").to_owned(),
        range: visit.get("range").to_owned(),
        items: Ok(Vec::new()),
        scanned: 0,
        last: None,
    };
    let (operation, input) = input(&data, visit.get("from"));
    data.items = call(visit, operation, &input).await.map(|answer| {
        data.scanned = integer(&answer, "ScannedCount");
        data.last = get(&answer, "LastEvaluatedKey").map(smithy::json::document_text);
        let items = list(&answer, "Items").iter().filter_map(|item| match item {
            Document::Map(item) => Some(item.clone()),
            _ => None,
        });
        items.collect()
    });
    Ok(view(&data))
}

/// A value in a few words: as JSON would have it, without the types.
pub(crate) fn shown(value: &Document) -> String {
    let mut plain = String::new();
    match value {
        Document::Map(one) => match one.iter().next() {
            Some((kind, Document::String(text))) if one.len() == 1 && kind == "S" => {
                plain.push_str(text);
            }
            _ => untyped(value, &mut plain),
        },
        _ => untyped(value, &mut plain),
    }
    match plain.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

fn untyped(value: &Document, out: &mut String) {
    // What is not shown need not be written.
    if out.len() > 8 * CELL_CHARS_MAX {
        return;
    }
    let Document::Map(one) = value else {
        return out.push_str(&smithy::json::document_text(value));
    };
    match one.iter().next() {
        Some((kind, Document::String(text))) if kind == "N" => out.push_str(text),
        Some((kind, Document::String(text))) if kind == "B" => {
            out.push_str(&format!("{} bytes", text.trim_end_matches('=').len() * 3 / 4));
        }
        Some((kind, _)) if kind == "NULL" => out.push_str("null"),
        Some((kind, Document::List(items))) if kind == "L" => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                untyped(item, out);
            }
            out.push(']');
        }
        Some((kind, Document::Map(members))) if kind == "M" => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                out.push_str(name);
                out.push_str(": ");
                untyped(member, out);
            }
            out.push('}');
        }
        Some((kind, Document::List(items))) if kind == "NS" => {
            let numbers = items.iter().map(|item| match item {
                Document::String(text) => text.as_str(),
                _ => "",
            });
            out.push_str(&format!("[{}]", numbers.collect::<Vec<_>>().join(", ")));
        }
        Some((_, inner)) => out.push_str(&smithy::json::document_text(inner)),
        None => {}
    }
}

fn is_number(value: Option<&Document>) -> bool {
    value.is_some_and(|value| matches!(value, Document::Map(one) if one.contains_key("N")))
}

/// The keys of the table, then those of the index, then what most items have.
fn columns(data: &Data, items: &[BTreeMap<String, Document>]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for (name, _) in data.keys().0.into_iter().chain(data.searched().0) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let keys = columns.len();
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for name in items.iter().flat_map(BTreeMap::keys).filter(|name| !columns.contains(name)) {
        *counts.entry(name).or_default() += 1;
    }
    let mut others: Vec<_> = counts.into_iter().collect();
    others.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    columns.extend(others.into_iter().take(COLUMNS_MAX).map(|(name, _)| name.clone()));
    debug_assert!(columns.len() <= keys + COLUMNS_MAX);
    columns
}

fn items_table(data: &Data, items: &[BTreeMap<String, Document>]) -> El {
    let keys = data.keys();
    let columns = columns(data, items);
    let heads: Vec<El> = columns
        .iter()
        .map(|name| {
            let numbers = items.iter().any(|item| is_number(item.get(name)));
            let head = el("th").attr("scope", "col").put(name);
            if numbers { head.class("n") } else { head }
        })
        .collect();
    let rows: Vec<El> = items
        .iter()
        .map(|item| {
            let to = url("/item").with("table", &data.name).with("key", key_text(&keys, item));
            let cells: Vec<El> = columns
                .iter()
                .enumerate()
                .map(|(at, name)| {
                    let text = item.get(name).map(shown).unwrap_or_default();
                    let class = if is_number(item.get(name)) { "n" } else { "value" };
                    match at {
                        0 => with(
                            "td",
                            class,
                            with(
                                "a",
                                "row",
                                if text.is_empty() { "(empty)".to_owned() } else { text },
                            )
                            .href(&to),
                        ),
                        _ => with("td", class, text),
                    }
                })
                .collect();
            el("tr").put(cells)
        })
        .collect();
    layout::scrolling(heads, rows)
}

fn search(data: &Data) -> El {
    let keys = data.searched();
    let option = |value: &str, label: &str, chosen: bool| {
        el("option").attr("value", value).flag("selected", chosen).put(label)
    };
    let mut all = vec![option("", "the table", data.index.is_empty())];
    all.extend(indexes(&data.description).filter_map(|index| {
        let name = text(index, "IndexName")?;
        Some(option(name, name, name == data.index))
    }));
    let compares: Vec<El> = COMPARES
        .iter()
        .filter(|(shown, _)| !shown.is_empty())
        .map(|(shown, _)| option(shown, shown, *shown == data.compare))
        .collect();
    let has_indexes = all.len() > 1;
    let from = layout::labelled("In", el("select").attr("name", "index").put(all));
    let hash = keys.0.first().map(|(name, kind)| {
        layout::labelled(
            (name, with("span", "kind", kind)),
            el("input")
                .attr("name", "hash")
                .attr("value", &data.hash)
                .attr("data-filter", "")
                .attr("autocomplete", "off"),
        )
    });
    let range = keys.0.get(1).map(|(name, kind)| {
        with(
            "div",
            "field",
            (
                el("span").put((name, with("span", "kind", kind))),
                with(
                    "span",
                    "pair",
                    (
                        el("select")
                            .attr("name", "compare")
                            .attr("aria-label", format!("How {name} is compared"))
                            .put(compares),
                        el("input")
                            .attr("name", "range")
                            .attr("value", &data.range)
                            .attr("aria-label", name)
                            .attr("autocomplete", "off"),
                    ),
                ),
            ),
        )
    });
    el("form").attr("method", "get").action(&url("/table")).class("row-form").put((
        layout::hidden("name", &data.name),
        has_indexes.then_some(from),
        hash,
        range,
        el("button").put("Search"),
    ))
}

pub(crate) fn view(data: &Data) -> Page {
    let items: Html = match &data.items {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(items) if items.is_empty() => html(layout::empty(
            "No items.",
            match data.hash.is_empty() {
                true => "Put one with the button above.",
                false => "Nothing has this key.",
            },
        )),
        Ok(items) => html(items_table(data, items)),
    };
    let count = data.items.as_ref().map_or(0, Vec::len);
    let said = with("p", "hint", format!("{count} shown, {} read", data.scanned));
    let next = data.last.as_ref().map(|last| {
        let to = url("/table")
            .with("name", &data.name)
            .given("index", &data.index)
            .given("hash", &data.hash)
            .given("compare", &data.compare)
            .given("range", &data.range)
            .with("from", last);
        with("p", "pages", link(&to, "Next page").attr("rel", "next").attr("data-next", ""))
    });
    let put = with("a", "button main", "Put an item").href(&url("/item").with("table", &data.name));
    Page::new(
        TABLES,
        &data.name,
        (
            layout::crumbs(vec![("Tables".into(), url("/tables"))], &data.name),
            layout::title(&data.name, put),
            search(data),
            items,
            with("div", "below", (said, next)),
            layout::panel("Schema", schema(data)),
        ),
    )
}

fn key_line(keys: &Keys) -> Html {
    let parts: Vec<_> = keys
        .0
        .iter()
        .map(|(name, kind)| (layout::code(name), with("span", "kind", kind), " "))
        .collect();
    html(parts)
}

fn schema(data: &Data) -> El {
    let own = &data.description;
    let billing = get(own, "BillingModeSummary").and_then(|mode| text(mode, "BillingMode"));
    let mut pairs = vec![
        ("Key", key_line(&data.keys())),
        ("ARN", html(layout::code(text(own, "TableArn").unwrap_or_default()))),
        ("Status", html(text(own, "TableStatus").unwrap_or_default())),
        ("Capacity", html(billing.unwrap_or("PROVISIONED"))),
    ];
    for index in indexes(own) {
        let name = text(index, "IndexName").unwrap_or_default();
        let kind = get(index, "Projection").and_then(|p| text(p, "ProjectionType"));
        let line = html((
            el("strong").put(name),
            " ",
            key_line(&keys_of(own, index)),
            kind.unwrap_or_default(),
        ));
        pairs.push(("Index", line));
    }
    let whole = with(
        "details",
        "more",
        (el("summary").put("As JSON"), el("pre").attr("tabindex", "0").put(pretty(own))),
    );
    el("div").put((layout::facts(pairs), whole))
}

/// For an item that is not there yet: its keys, empty.
pub(crate) fn blank(description: &Document) -> Result<(Keys, Document), Refusal> {
    let keys = keys_of(description, description);
    let item = keys
        .0
        .iter()
        .map(|(name, kind)| (name.clone(), value(kind, if kind == "N" { "0" } else { "" })));
    let item = Document::Map(item.collect());
    Ok((keys, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(hash: &str, compare: &str, range: &str) -> Data {
        let description = br##"{"TableName":"t","KeySchema":[{"AttributeName":"a"},{"AttributeName":"b"}],
            "AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"N"}]}"##;
        Data {
            name: "t".into(),
            description: smithy::json::parse_document(description).unwrap(),
            index: String::new(),
            hash: hash.into(),
            compare: compare.into(),
            range: range.into(),
            items: Ok(Vec::new()),
            scanned: 0,
            last: None,
        }
    }

    #[test]
    fn what_is_asked_for() {
        assert_eq!(input(&data("", "", ""), "").0, "Scan");
        let (operation, input) = input(&data("x", "begins with", "5"), "{\"a\":{\"S\":\"y\"}}");
        let text = smithy::json::document_text(&input);
        assert_eq!(operation, "Query");
        for part in
            ["\"#h = :h AND begins_with(#r, :r)\"", "{\"N\":\"5\"}", "\"ExclusiveStartKey\""]
        {
            assert!(text.contains(part), "{text}");
        }
        // No text of a person becomes part of an expression.
        let (_, input) = super::input(&data("x", ") OR (", "5"), "not json");
        assert!(smithy::json::document_text(&input).contains("\"#h = :h AND #r = :r\""));
    }

    #[test]
    fn values_in_cells() {
        let check = |json: &str, expected: &str| {
            assert_eq!(shown(&smithy::json::parse_document(json.as_bytes()).unwrap()), expected);
        };
        check(r#"{"S":"a<b"}"#, "a<b");
        check(r#"{"N":"1.50"}"#, "1.50");
        check(r#"{"BOOL":true}"#, "true");
        check(r#"{"L":[{"S":"x"},{"M":{"a":{"N":"1"}}}]}"#, r#"["x", {a: 1}]"#);
        check(r#"{"B":"AAEC"}"#, "3 bytes");
        check(r#"{"NS":["1","2"]}"#, "[1, 2]");
        check(r#"{"NULL":true}"#, "null");
        check("{}", "");
        assert_eq!(shown(&value("S", &"x".repeat(100))).chars().count(), CELL_CHARS_MAX + 1);
    }
}
