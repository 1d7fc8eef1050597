//! What the fuzz target calls, and a unit test from a fixed seed: any text as every kind of expression,
//! put to work on items.

use crate::{Scope, condition, key_conditions, projection, update};
use item::{Item, item_size};
use std::collections::BTreeMap;

const ITEMS: [&str; 3] = [
    r#"{"a":{"N":"5"},"b":{"S":"hello"},"c":{"L":[{"N":"1"},{"M":{"x":{"S":"y"}}},{"N":"3"}]},"d":{"SS":["p","q"]},"e":{"M":{"f":{"N":"7"},"g":{"L":[{"S":"z"}]}}},"t":{"BOOL":true},"n":{"NULL":true},"ns":{"NS":["1","2"]}}"#,
    r#"{"a":{"S":"x"},"b":{"L":[]},"c":{"M":{}},"e":{"B":"AAEC"}}"#,
    "{}",
];
const VALUES: &str = r#"{":a":{"N":"5"},":b":{"S":"he"},":c":{"L":[{"N":"8"}]},":d":{"SS":["q","r"]},":e":{"M":{"f":{"N":"7"}}},":t":{"BOOL":true},":n":{"S":"N"}}"#;

/// Must not panic, and must end quickly, on anything.
pub fn fuzz_expression(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let names: BTreeMap<String, String> =
        ["a", "b", "c", "e"].map(|name| (format!("#{name}"), name.to_owned())).into();
    let Ok(values) = Item::parse(VALUES) else { return };
    let items: Vec<Item> = ITEMS.iter().filter_map(|text| Item::parse(text).ok()).collect();
    let scope = || Scope::new(Some(&names), Some(&values));
    if let Ok(mut condition) = condition(&text)
        && scope().is_ok_and(|mut scope| scope.condition(&mut condition).is_ok())
    {
        for item in &items {
            condition.holds(item.map());
        }
        let _ = key_conditions(&condition);
    }
    if let Ok(mut projection) = projection(&text)
        && scope().is_ok_and(|mut scope| scope.projection(&mut projection).is_ok())
    {
        for item in &items {
            let part = Item::from_bytes(projection.apply(item.map()));
            well_formed(&part);
            assert!(part.map().iter().all(|(name, _)| item.get(name).is_some()));
        }
    }
    if let Ok(mut update) = update(&text)
        && scope().is_ok_and(|mut scope| scope.update(&mut update).is_ok())
    {
        for item in &items {
            if let Ok(new) = update.apply(item.bytes()) {
                let new = Item::from_bytes(new.item);
                well_formed(&new);
                well_formed(&Item::from_bytes(update.touched().apply(new.map())));
            }
        }
    }
}

fn well_formed(item: &Item) {
    let again = Item::parse(&item.to_json());
    assert_eq!(again.ok().as_ref(), Some(item));
    assert!(item_size(item.map()) >= item.map().len());
}
