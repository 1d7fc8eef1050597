//! Entry point for fuzzing: any bytes are read as a statement, and one that parses is put to work.

use super::{Statement, parse};
use bytes::Bytes;
use item::{Map, boolean, list, map, number_value, string};

/// Must not panic, and must end quickly, on anything. The first byte says how many parameters there are.
pub fn fuzz_partiql(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let mut parameters: Vec<Bytes> = vec![
        string("a").into(),
        number_value("1").expect("a number").into(),
        boolean(true).into(),
        map(Map::default()).into(),
        list(std::iter::empty()).into(),
    ];
    parameters.truncate(usize::from(first % 6));
    let Ok(statement) = parse(&text, &parameters) else { return };
    statement.attributes();
    let mut item = item::Builder::default();
    for (name, value) in [("a", string("a")), ("b", list(std::iter::empty()))] {
        item.push(name, item::Value::of(&value).expect("a value"));
    }
    let item = item.finish();
    match statement {
        Statement::Select(select) | Statement::Exists(select) => {
            select.condition.map(|condition| condition.holds(Map::of(&item)));
        }
        Statement::Insert(insert) => {
            Map::of(&insert.item).iter().count();
        }
        Statement::Change(change) => {
            change.condition.map(|condition| condition.holds(Map::of(&item)));
            // Its result does not matter here, only that it returns.
            let _ = change.update.map(|update| update.apply(&item));
        }
    }
}
