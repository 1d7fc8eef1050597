//! All tables of the region.

use crate::call::{Cloud, Told, integer, list, map, string, text};
use crate::door::{Acted, Visit};
use crate::form::Form;
use crate::html::{El, el, html, url, with};
use crate::layout::{self, Page, TABLES, cell};
use crate::pages::regions;
use crate::session::Session;
use smithy::Document;

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Table {
    pub name: String,
    pub status: String,
    pub items: i64,
    pub bytes: i64,
    pub keys: Vec<String>,
    pub indexes: usize,
}

/// Tables that are described on one page.
const SHOWN_MAX: usize = 100;

const TARGET: &str = "DynamoDB_20120810";

pub(crate) async fn call(visit: &Visit<'_>, operation: &str, input: &Document) -> Told<Document> {
    call_in(&visit.cloud, operation, input).await
}

/// In a region that need not be the one where somebody looks.
pub(crate) async fn call_in(cloud: &Cloud, operation: &str, input: &Document) -> Told<Document> {
    cloud.json("dynamodb", &format!("{TARGET}.{operation}"), input).await
}

/// Names, and the one after which there are more.
pub(crate) async fn names(cloud: &Cloud, after: &str) -> Told<(Vec<String>, String)> {
    let mut input = map([("Limit", Document::Integer(SHOWN_MAX as i64))]);
    if let (false, Document::Map(input)) = (after.is_empty(), &mut input) {
        input.insert("ExclusiveStartTableName".to_owned(), string(after));
    }
    let answer = call_in(cloud, "ListTables", &input).await?;
    let names = list(&answer, "TableNames").iter().filter_map(|name| match name {
        Document::String(name) => Some(name.clone()),
        _ => None,
    });
    let last = text(&answer, "LastEvaluatedTableName").unwrap_or_default();
    Ok((names.collect(), last.to_owned()))
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let (names, last) = names(&visit.cloud, visit.get("after")).await?;
    let mut tables = Vec::new();
    for name in names {
        let input = map([("TableName", string(&name))]);
        tables.push(match call(visit, "DescribeTable", &input).await {
            Ok(answer) => described(answer),
            // One may see the name and no more.
            Err(refusal) => Table { name, status: refusal.code, ..Table::default() },
        });
    }
    let elsewhere = match tables.is_empty() && visit.get("after").is_empty() {
        true => regions::with_tables(visit).await,
        false => Vec::new(),
    };
    Ok(view(&tables, &last, &elsewhere, &visit.session))
}

fn described(answer: Document) -> Table {
    let blank = Document::Null;
    let table = crate::call::get(&answer, "Table").unwrap_or(&blank);
    let keys = list(table, "KeySchema").iter().filter_map(|key| text(key, "AttributeName"));
    Table {
        name: text(table, "TableName").unwrap_or_default().to_owned(),
        status: text(table, "TableStatus").unwrap_or_default().to_owned(),
        items: integer(table, "ItemCount"),
        bytes: integer(table, "TableSizeBytes"),
        keys: keys.map(str::to_owned).collect(),
        indexes: list(table, "GlobalSecondaryIndexes").len()
            + list(table, "LocalSecondaryIndexes").len(),
    }
}

/// `elsewhere` are other regions that have some.
pub(crate) fn view(tables: &[Table], last: &str, elsewhere: &[String], session: &Session) -> Page {
    let row = |table: &Table| {
        let to = url("/table").with("name", &table.name);
        el("tr").put((
            cell(with("a", "row name", &table.name).href(&to)),
            cell(layout::code(table.keys.join(", "))),
            cell(with(
                "span",
                if table.status == "ACTIVE" { "tag good" } else { "tag warn" },
                table.status.to_lowercase(),
            )),
            with("td", "n", table.items),
            with("td", "n", layout::size(table.bytes.max(0) as u64)),
            with("td", "n", table.indexes),
        ))
    };
    let columns = ["Name", "Key", "Status", "Items#", "Size#", "Indexes#"];
    let hint = match elsewhere.is_empty() {
        true => {
            html("Make one here, with aws dynamodb create-table, or with the lab about DynamoDB.")
        }
        false => html(("There are some in ", regions::buttons(session, elsewhere, TABLES))),
    };
    let list = match tables.is_empty() {
        true => layout::empty(format!("No tables in {}.", session.region()), hint),
        false => layout::table(&columns, tables.iter().map(row).collect()),
    };
    let next = (!last.is_empty()).then(|| {
        let to = url("/tables").with("after", last);
        with("p", "pages", crate::html::link(&to, "Next page").attr("data-next", ""))
    });
    Page::new(
        TABLES,
        "Tables",
        (
            layout::title(("Tables ", with("span", "count", tables.len())), ()),
            list,
            next,
            create_form(session),
        ),
    )
}

/// Types that a key can have, and what they are called.
const KINDS: [(&str, &str); 3] = [("S", "text"), ("N", "number"), ("B", "bytes")];

fn kind(name: &'static str, label: &'static str) -> El {
    let options: Vec<El> =
        KINDS.iter().map(|(value, shown)| el("option").attr("value", value).put(*shown)).collect();
    layout::labelled(label, el("select").attr("name", name).put(options))
}

fn create_form(session: &Session) -> El {
    let needed = |label: &'static str, name: &'static str| {
        let input = el("input").attr("name", name).attr("autocomplete", "off");
        layout::labelled(label, input.attr("spellcheck", "false").flag("required", true))
    };
    let form = layout::form(
        &url("/table/create"),
        session,
        (
            needed("Name", "name"),
            needed("Key", "key"),
            kind("key-type", "which is a"),
            layout::field("Sort key, if it has one", "sort", ""),
            kind("sort-type", "which is a"),
            el("button").class("main").put("Make a table"),
        ),
    );
    layout::panel("A new table", form.class("row-form"))
}

/// What is asked of DynamoDB; it says what is wrong with it.
fn wanted(form: &Form) -> Document {
    let (mut attributes, mut schema) = (Vec::new(), Vec::new());
    for (field, role) in [("key", "HASH"), ("sort", "RANGE")] {
        let name = form.get(field).trim();
        if name.is_empty() && field == "sort" {
            continue;
        }
        let kind = form.get(if field == "key" { "key-type" } else { "sort-type" });
        attributes.push(map([("AttributeName", string(name)), ("AttributeType", string(kind))]));
        schema.push(map([("AttributeName", string(name)), ("KeyType", string(role))]));
    }
    map([
        ("TableName", string(form.get("name").trim())),
        ("BillingMode", string("PAY_PER_REQUEST")),
        ("AttributeDefinitions", Document::List(attributes)),
        ("KeySchema", Document::List(schema)),
    ])
}

pub(crate) async fn create(visit: &Visit<'_>, form: &Form) -> Acted {
    let name = form.get("name").trim();
    match call(visit, "CreateTable", &wanted(form)).await {
        Ok(_) => Ok((url("/table").with("name", name), format!("The table {name} is there."))),
        Err(refusal) => Err((url("/tables"), refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_as_it_is_asked_for() {
        let text = |form: &[u8]| smithy::json::document_text(&wanted(&Form::parse(form)));
        let one = text(b"name=+t+&key=k&key-type=N&sort=&sort-type=S");
        assert!(one.contains(r#""AttributeName":"k""#) && one.contains(r#""N""#), "{one}");
        assert!(!one.contains("RANGE") && one.contains(r#""TableName":"t""#), "{one}");
        assert!(text(b"name=t&key=k&key-type=S&sort=s&sort-type=B").contains("RANGE"));
    }
}
