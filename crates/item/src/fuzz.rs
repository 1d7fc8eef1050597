//! What the fuzz target calls, and a unit test from a fixed seed: any bytes as JSON, as an item that is
//! kept, as a number and as a key.

use crate::{
    Attribute, Item, Kind, Map, Node, Value, compare, item_size, number, read_key, write_key,
};

/// Must not panic on anything; what is read is the same when it is read again.
pub fn fuzz_item(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(item) = Item::parse(&text)
        && item.fault().is_none()
    {
        read(&item);
    }
    if let Ok(attribute) = Attribute::parse(&text)
        && attribute.fault().is_none()
    {
        let again = Attribute::parse(&format!("{attribute:?}"));
        assert_eq!(again.ok().as_ref(), Some(&attribute));
    }
    // Damage in a row is looked at without harm.
    let kept = Item::from_bytes(data.to_vec().into());
    let _ = (kept.to_json(), item_size(kept.map()), kept.get("a"));
    for kind in [Kind::S, Kind::N, Kind::B] {
        if let Some((value, rest)) = read_key(kind, data) {
            assert!(rest.len() < data.len() && Value::of(&value).is_some());
        }
    }
    numbers(&text);
}

fn read(item: &Item) {
    let again = Item::parse(&item.to_json());
    assert_eq!(again.ok().as_ref(), Some(item));
    assert_eq!(Node::item(item.bytes()).to_item(), *item.bytes());
    let mut before = None;
    for (name, value) in item.map().iter() {
        assert!(before.is_none_or(|before| before < name), "names in order");
        before = Some(name);
        assert_eq!(item.get(name), Some(value));
        let mut key = Vec::new();
        write_key(value, &mut key);
        if !key.is_empty() {
            let (back, rest) = read_key(value.kind(), &key).unwrap_or_default();
            assert_eq!((&back[..], rest), (value.bytes(), &[][..]));
        }
        for (_, other) in item.map().iter().filter(|(_, other)| other.kind() == value.kind()) {
            let mut other_key = Vec::new();
            write_key(other, &mut other_key);
            assert!(compare(value, other).is_none_or(|order| order == key.cmp(&other_key)));
        }
    }
    assert!(item_size(item.map()) >= item.map().iter().map(|(name, _)| name.len()).sum());
    let _ = Map::of(item.bytes()).len();
}

/// A number has one text, which is its own, and sums undo each other.
fn numbers(text: &str) {
    let (a, b) = text.split_once(['\n', ' ']).unwrap_or((text, "1"));
    let Ok(one) = number::normal(a) else { return };
    assert_eq!(number::normal(&one).as_deref(), Ok(&*one));
    if let Ok(other) = number::normal(b)
        && let Ok(sum) = number::add(&one, &other)
    {
        assert_eq!(number::add(&other, &one).as_deref(), Ok(&*sum));
        assert_eq!(number::subtract(&sum, &other).as_deref(), Ok(&*one));
    }
}
