//! What an item counts for: limits and capacity units go by it.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>

use crate::number;
use crate::value::{Kind, Map, Value};

/// What a list or map costs by itself, and each element of it.
const DOCUMENT: usize = 3;
const ELEMENT: usize = 1;

/// What an item may count for at most.
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// Names and values of an item.
pub fn item_size(item: Map<'_>) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}

impl Value<'_> {
    pub fn size(self) -> usize {
        match self.kind() {
            Kind::S | Kind::B => self.content().len(),
            Kind::N => number::size(self.text()),
            Kind::Null | Kind::Bool => 1,
            Kind::SS | Kind::BS => self.members().map(<[u8]>::len).sum(),
            Kind::NS => self
                .members()
                .map(|member| number::size(std::str::from_utf8(member).unwrap_or("0")))
                .sum(),
            Kind::L => DOCUMENT + self.items().map(|item| ELEMENT + item.size()).sum::<usize>(),
            Kind::M => {
                let entries = self.map();
                let each = |(name, value): (&str, Value<'_>)| ELEMENT + name.len() + value.size();
                DOCUMENT + entries.iter().map(each).sum::<usize>()
            }
        }
    }

    /// How many lists and maps stand within each other here.
    pub fn levels(self) -> usize {
        match self.kind() {
            Kind::L => 1 + self.items().map(Value::levels).max().unwrap_or(0),
            Kind::M => 1 + self.map().iter().map(|(_, value)| value.levels()).max().unwrap_or(0),
            _ => 0,
        }
    }
}
