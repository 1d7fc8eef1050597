//! Structures in the protocols that write objects: JSON and CBOR. The walk along the tables is the
//! same; a [`Source`] or [`Sink`] knows the bytes.

use crate::check::{Check, Seen};
use crate::reject::{Rejection, Step};
use crate::shape::{ListShape, MapShape, Shape};
use crate::value::{Field, List, Map, Slot, Struct, Value};
use std::borrow::Cow;

type Result<T> = std::result::Result<T, Rejection>;

/// What a decoder must know of the next value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Null,
    Map,
    List,
    Scalar,
}

/// Where one is in a map or list that was entered.
pub(crate) struct Level {
    pub first: bool,
    /// Entries that are left, where their number was given beforehand.
    pub left: Option<u64>,
}

pub(crate) trait Source<'a> {
    fn next(&mut self) -> Result<Next>;
    fn null(&mut self) -> Result<()>;
    /// Enters a map or list.
    fn enter(&mut self) -> Result<Level>;
    /// `None` leaves the map.
    fn key(&mut self, level: &mut Level) -> Result<Option<Cow<'a, str>>>;
    /// `false` leaves the list.
    fn item(&mut self, level: &mut Level) -> Result<bool>;
    /// A scalar or document into its slot.
    fn scalar(&mut self, shape: &Shape, slot: Slot<'_>) -> Result<()>;
    fn skip(&mut self) -> Result<()>;
    /// The error for a map or list where the shape has something else, or the other way round.
    fn misfit(&mut self, expected: &Shape) -> Rejection;
}

pub(crate) struct Decoder<'c, S> {
    pub source: S,
    pub check: &'c mut Check,
}

impl<'a, S: Source<'a>> Decoder<'_, S> {
    /// A structure, checked when complete.
    pub fn structure(&mut self, out: &mut dyn Struct) -> Result<()> {
        let next = self.source.next()?;
        self.structure_at(next, out)
    }

    fn structure_at(&mut self, next: Next, out: &mut dyn Struct) -> Result<()> {
        let mut seen = Seen::default();
        self.members_at(next, out, &mut seen)?;
        self.check.finish(out, &seen);
        Ok(())
    }

    /// The members of a structure. A null counts as absent; of a member that is there twice the last
    /// one counts; unknown members are passed over.
    pub fn members(&mut self, out: &mut dyn Struct, seen: &mut Seen) -> Result<()> {
        let next = self.source.next()?;
        self.members_at(next, out, seen)
    }

    fn members_at(&mut self, next: Next, out: &mut dyn Struct, seen: &mut Seen) -> Result<()> {
        let shape = out.shape();
        if next != Next::Map {
            return Err(self.source.misfit(&Shape::Struct(shape)));
        }
        let names = &shape.bindings().json;
        let mut level = self.source.enter()?;
        let mut set = 0;
        while let Some(key) = self.source.key(&mut level)? {
            let Some(index) = names.find(key.as_bytes()) else {
                self.source.skip()?;
                continue;
            };
            let next = self.source.next()?;
            if next == Next::Null {
                self.source.null()?;
                continue;
            }
            let member = &shape.members[index];
            let field = out.field_mut(index);
            if seen.insert(index) {
                set += 1;
            } else {
                self.check.duplicate()?;
                field.reset();
            }
            let mark = self.check.mark();
            self.field(next, &member.shape, field)?;
            self.check.prefix_member(mark, member);
        }
        if shape.union && set != 1 {
            self.check.union(set);
        }
        Ok(())
    }

    /// A value of which it is known what it is, and that it is no null.
    fn field(&mut self, next: Next, shape: &Shape, field: &mut dyn Field) -> Result<()> {
        match (shape, field.slot()) {
            (Shape::Struct(_), Slot::Struct(out)) => self.structure_at(next, out),
            (Shape::List(_), Slot::List(_)) if next != Next::List => Err(self.source.misfit(shape)),
            (Shape::List(rules), Slot::List(list)) => self.list(rules, list),
            (Shape::Map(_), Slot::Map(_)) if next != Next::Map => Err(self.source.misfit(shape)),
            (Shape::Map(rules), Slot::Map(map)) => self.map(rules, map),
            (Shape::Stream | Shape::Events(_), _) => self.source.skip(),
            (_, slot) => {
                if next != Next::Scalar && !matches!(shape, Shape::Document | Shape::Custom) {
                    return Err(self.source.misfit(shape));
                }
                self.source.scalar(shape, slot)
            }
        }
    }

    fn list(&mut self, rules: &ListShape, list: &mut dyn List) -> Result<()> {
        let mut level = self.source.enter()?;
        let mut index = 0;
        while self.source.item(&mut level)? {
            let mark = self.check.mark();
            self.check.grow(list.item_bytes())?;
            let next = self.source.next()?;
            if next == Next::Null && !matches!(rules.item, Shape::Document) {
                self.source.null()?;
                if rules.sparse {
                    list.push();
                } else {
                    self.check.null_item();
                }
            } else {
                self.field(next, &rules.item, list.push())?;
            }
            self.check.prefix(mark, || Step::Item(index));
            index += 1;
        }
        Ok(())
    }

    fn map(&mut self, rules: &MapShape, map: &mut dyn Map) -> Result<()> {
        let mut level = self.source.enter()?;
        while let Some(key) = self.source.key(&mut level)? {
            let mark = self.check.mark();
            self.check.grow(map.entry_bytes())?;
            // A key that is needed for a path is lent by the text, or copied where it had escapes.
            let copy = match &key {
                Cow::Borrowed(text) => Cow::Borrowed(*text),
                Cow::Owned(text) => Cow::Owned(text.clone()),
            };
            let next = self.source.next()?;
            if next == Next::Null && !matches!(rules.value, Shape::Document) {
                self.source.null()?;
                if rules.sparse {
                    map.entry(key.into_owned()).reset();
                } else {
                    self.check.null_item();
                }
            } else {
                let field = map.entry(key.into_owned());
                field.reset();
                self.field(next, &rules.value, field)?;
            }
            self.check.prefix(mark, || Step::Key(copy.clone().into_owned()));
        }
        Ok(())
    }
}

pub(crate) trait Sink {
    fn map_open(&mut self);
    fn map_close(&mut self);
    fn list_open(&mut self);
    /// Bytes so far, and room for as many more: a long list is best written where it need not move.
    fn size_bytes(&self) -> usize {
        0
    }
    fn make_room(&mut self, _bytes: usize) {}
    fn list_close(&mut self);
    fn key(&mut self, key: &str);
    fn text(&mut self, text: &str);
    fn null(&mut self);
    /// Neither a structure nor a list nor a map nor absent.
    fn scalar(&mut self, shape: &Shape, value: Value<'_>);
}

/// Writes a structure: the members in the body that are there.
pub(crate) fn encode(sink: &mut impl Sink, value: &dyn Struct) {
    sink.map_open();
    let shape = value.shape();
    for &(name, index) in shape.bindings().json.all() {
        let index = usize::from(index);
        let field = value.field(index).value();
        if !matches!(field, Value::Absent) {
            sink.key(name);
            encode_value(sink, &shape.members[index].shape, field);
            if shape.union {
                break;
            }
        }
    }
    sink.map_close();
}

/// The first of a list says how long the rest may be; that is no reason to take any amount of memory.
const ROOM_BYTES_MAX: usize = 1 << 20;

pub(crate) fn encode_value(sink: &mut impl Sink, shape: &Shape, value: Value<'_>) {
    match (shape, value) {
        (_, Value::Absent) => sink.null(),
        (_, Value::Struct(inner)) => encode(sink, inner),
        (Shape::List(rules), Value::List(list)) => {
            sink.list_open();
            let start = sink.size_bytes();
            for (index, item) in (0..list.len()).filter_map(|i| list.get(i)).enumerate() {
                encode_value(sink, &rules.item, item.value());
                if index == 0 {
                    let rest = (sink.size_bytes() - start).saturating_mul(list.len());
                    sink.make_room(rest.min(ROOM_BYTES_MAX));
                }
            }
            sink.list_close();
        }
        (Shape::Map(rules), Value::Map(map)) => {
            sink.map_open();
            for (key, item) in map.entries() {
                sink.key(key);
                encode_value(sink, &rules.value, item.value());
            }
            sink.map_close();
        }
        (shape, scalar) => sink.scalar(shape, scalar),
    }
}
