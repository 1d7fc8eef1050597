//! Values behind two accessors: what a codec sees of a generated struct.
//!
//! [`Field::value`] looks, [`Field::slot`] makes room. An `Option` is absent until its slot is asked
//! for, so a decoder that leaves a slot alone leaves the member out.

use crate::Document;
use crate::shape::{Location, Member, Shape, StructShape};
use base::Timestamp;
use bytes::Bytes;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

/// A generated structure: its table, and its members by their number in that table.
pub trait Struct: Field + Any + Send + Sync {
    fn shape(&self) -> &'static StructShape;
    /// Any index out of the table gives [`ABSENT`].
    fn field(&self, index: usize) -> &dyn Field;
    /// For a union this selects the member. The index must be in the table.
    fn field_mut(&mut self, index: usize) -> &mut dyn Field;
}

/// Anything that a member, an item or a map value can be.
pub trait Field {
    fn value(&self) -> Value<'_>;
    fn slot(&mut self) -> Slot<'_>;
    /// Back to the default, for what a client sends twice.
    fn reset(&mut self);
}

/// A list behind an object.
pub trait List {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn get(&self, index: usize) -> Option<&dyn Field>;
    /// Appends a default item and gives it.
    fn push(&mut self) -> &mut dyn Field;
    /// What an empty item takes of memory.
    fn item_bytes(&self) -> usize;
}

/// A map behind an object; keys are text in every protocol.
pub trait Map {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// In order of the keys.
    fn entries(&self) -> Box<dyn Iterator<Item = (&str, &dyn Field)> + '_>;
    fn contains(&self, key: &str) -> bool;
    /// The entry of that key, made if it is new.
    fn entry(&mut self, key: String) -> &mut dyn Field;
    /// What an empty entry takes of memory.
    fn entry_bytes(&self) -> usize;
}

/// A value that reads and writes its own JSON: kept in a form of its own, in place of structures.
/// Protocols other than the JSON ones do not have such values.
pub trait Custom: fmt::Debug {
    /// Takes the next value. What JSON has in the wrong place is a rejection; what is wrong by the
    /// service's own rules is kept and told by the service, in its order of questions.
    fn read_json(&mut self, from: &mut crate::json::Reader<'_>) -> Result<(), crate::Rejection>;
    fn write_json(&self, to: &mut crate::json::Writer);
}

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Absent,
    Bool(bool),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Str(&'a str),
    Blob(&'a Bytes),
    Timestamp(Timestamp),
    Struct(&'a dyn Struct),
    List(&'a dyn List),
    Map(&'a dyn Map),
    Document(&'a Document),
    Custom(&'a dyn Custom),
}

/// Room for what a field shall hold.
pub enum Slot<'a> {
    Bool(&'a mut bool),
    Integer(&'a mut i32),
    Long(&'a mut i64),
    Float(&'a mut f32),
    Double(&'a mut f64),
    Str(&'a mut String),
    Blob(&'a mut Bytes),
    Timestamp(&'a mut Timestamp),
    Struct(&'a mut dyn Struct),
    List(&'a mut dyn List),
    Map(&'a mut dyn Map),
    Document(&'a mut Document),
    Custom(&'a mut dyn Custom),
    /// A member without a field: streams and unselected union members.
    Nothing,
}

/// A field that is never there: the inactive members of a union, and streaming members.
#[derive(Clone, Copy, Default, Debug)]
pub struct Absent;

/// What accessors give for members that have no field.
pub static ABSENT: Absent = Absent;

impl Field for Absent {
    fn value(&self) -> Value<'_> {
        Value::Absent
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Nothing
    }
    fn reset(&mut self) {}
}

macro_rules! scalar {
    ($type:ty, $variant:ident, $self:ident => $value:expr) => {
        impl Field for $type {
            fn value(&$self) -> Value<'_> {
                Value::$variant($value)
            }
            fn slot(&mut self) -> Slot<'_> {
                Slot::$variant(self)
            }
            fn reset(&mut self) {
                *self = Default::default();
            }
        }
    };
}

scalar!(bool, Bool, self => *self);
scalar!(i32, Integer, self => *self);
scalar!(i64, Long, self => *self);
scalar!(f32, Float, self => *self);
scalar!(f64, Double, self => *self);
scalar!(String, Str, self => self);
scalar!(Bytes, Blob, self => self);
scalar!(Timestamp, Timestamp, self => *self);
scalar!(Document, Document, self => self);

impl<T: Field + Default> Field for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Absent, Field::value)
    }
    fn slot(&mut self) -> Slot<'_> {
        self.get_or_insert_default().slot()
    }
    fn reset(&mut self) {
        *self = None;
    }
}

impl<T: Field + ?Sized> Field for Box<T> {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
    fn slot(&mut self) -> Slot<'_> {
        (**self).slot()
    }
    fn reset(&mut self) {
        (**self).reset();
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn value(&self) -> Value<'_> {
        Value::List(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::List(self)
    }
    fn reset(&mut self) {
        self.clear();
    }
}

impl<T: Field + Default> List for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn get(&self, index: usize) -> Option<&dyn Field> {
        <[T]>::get(self, index).map(|item| item as &dyn Field)
    }
    fn push(&mut self) -> &mut dyn Field {
        Vec::push(self, T::default());
        self.last_mut().expect("just pushed")
    }
    fn item_bytes(&self) -> usize {
        size_of::<T>()
    }
}

impl<T: Field + Default> Field for BTreeMap<String, T> {
    fn value(&self) -> Value<'_> {
        Value::Map(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Map(self)
    }
    fn reset(&mut self) {
        self.clear();
    }
}

impl<T: Field + Default> Map for BTreeMap<String, T> {
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }
    fn entries(&self) -> Box<dyn Iterator<Item = (&str, &dyn Field)> + '_> {
        Box::new(self.iter().map(|(k, v)| (k.as_str(), v as &dyn Field)))
    }
    fn contains(&self, key: &str) -> bool {
        self.contains_key(key)
    }
    fn entry(&mut self, key: String) -> &mut dyn Field {
        BTreeMap::entry(self, key).or_default()
    }
    fn entry_bytes(&self) -> usize {
        size_of::<(String, T)>()
    }
}

/// Makes a generated struct a [`Field`] and gives it a `Debug` that hides sensitive members.
#[macro_export]
macro_rules! field_for_struct {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::Field for $type {
            fn value(&self) -> $crate::Value<'_> {
                $crate::Value::Struct(self)
            }
            fn slot(&mut self) -> $crate::Slot<'_> {
                $crate::Slot::Struct(self)
            }
            fn reset(&mut self) {
                *self = ::std::default::Default::default();
            }
        }
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::value::debug(self, f)
            }
        }
    )*};
}

/// Prints a struct through its table; sensitive members show as `***`.
pub fn debug(value: &dyn Struct, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let shape = value.shape();
    let mut out = f.debug_struct(shape.name);
    for (index, member) in shape.members.iter().enumerate() {
        match value.field(index).value() {
            Value::Absent => {}
            _ if is_sensitive(member) => {
                out.field(member.name, &format_args!("***"));
            }
            present => {
                out.field(member.name, &present);
            }
        }
    }
    out.finish()
}

/// Whether a member or what it holds as a whole must not be printed. Credentials in headers count:
/// models mark customer keys by name only.
pub fn is_sensitive(member: &Member) -> bool {
    let marked = match member.shape {
        Shape::List(list) => list.sensitive,
        Shape::Map(map) => map.sensitive,
        _ => false,
    };
    let customer_key =
        matches!(member.location, Location::Header(name) if name.ends_with("-customer-key"));
    member.sensitive || marked || customer_key
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Absent => f.write_str("-"),
            Value::Bool(v) => v.fmt(f),
            Value::Integer(v) => v.fmt(f),
            Value::Long(v) => v.fmt(f),
            Value::Float(v) => v.fmt(f),
            Value::Double(v) => v.fmt(f),
            Value::Str(v) => fmt::Debug::fmt(v, f),
            Value::Blob(v) => write!(f, "[{} bytes]", v.len()),
            Value::Timestamp(v) => v.fmt(f),
            Value::Struct(v) => debug(*v, f),
            Value::List(v) => f
                .debug_list()
                .entries((0..v.len()).filter_map(|i| v.get(i)).map(|i| i.value()))
                .finish(),
            Value::Map(v) => {
                f.debug_map().entries(v.entries().map(|(k, v)| (k, v.value()))).finish()
            }
            Value::Document(v) => v.fmt(f),
            Value::Custom(v) => v.fmt(f),
        }
    }
}
