//! Protocol buffers as bytes: fields one after the other, read without copying and written by hand.
//! The few messages that are needed stand in [`crate::messages`].

use std::collections::BTreeMap;

/// Entries of one map, at most.
const ENTRIES_MAX: usize = 100_000;

/// The bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes; none that is needed is.
    Fixed,
}

impl<'a> Value<'a> {
    pub fn number(self) -> Result<u64, Malformed> {
        match self {
            Value::Number(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    pub fn text(self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
    }
}

/// The fields of a message, in their order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

pub fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for at in 0..10 {
            let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let bits = u64::from(first & 0x7f);
            // Of the tenth byte one bit is left.
            if at == 9 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << (7 * at);
            if first & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        if count > self.rest.len() {
            return Err(Malformed);
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups have been gone for long.
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// One entry of a map: its key in field 1 and its value in field 2.
pub fn entry(map: &mut BTreeMap<String, String>, value: Value<'_>) -> Result<(), Malformed> {
    let (mut key, mut text) = (String::new(), String::new());
    for field in fields(value.bytes()?) {
        match field? {
            (1, value) => key = value.text()?,
            (2, value) => text = value.text()?,
            _ => {}
        }
    }
    if map.len() >= ENTRIES_MAX {
        return Err(Malformed);
    }
    map.insert(key, text);
    Ok(())
}

/// A message that is being written. What has its default is left out, as in proto3.
#[derive(Clone, Default, Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub fn number(mut self, field: u64, value: u64) -> Message {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
        self
    }

    pub fn flag(self, field: u64, value: bool) -> Message {
        self.number(field, u64::from(value))
    }

    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        if !bytes.is_empty() {
            self.put(field, bytes);
        }
        self
    }

    pub fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    /// Also if there is nothing in it: that it is there says something.
    pub fn message(mut self, field: u64, inner: &Message) -> Message {
        self.put(field, &inner.bytes);
        self
    }

    pub fn map<'a>(
        mut self,
        field: u64,
        entries: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Message {
        for (key, value) in entries {
            self.put(field, &Message::default().text(1, key).text(2, value).bytes);
        }
        self
    }

    fn put(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub fn end(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let map = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let inner = Message::default().number(1, u64::MAX);
        let message = Message::default()
            .number(1, 300)
            .number(2, 0)
            .text(3, "é")
            .message(4, &inner)
            .flag(20, true)
            .map(5, &map)
            .end();
        assert_eq!(&message[..3], b"\x08\xac\x02");
        let all: Vec<_> = fields(&message).map(Result::unwrap).collect();
        assert_eq!(all.len(), 5);
        assert_eq!(all[0], (1, Value::Number(300)));
        assert_eq!(all[1].1.text().unwrap(), "é");
        let number = fields(all[2].1.bytes().unwrap()).next().unwrap().unwrap();
        assert_eq!(number, (1, Value::Number(u64::MAX)));
        assert_eq!(all[3].1, Value::Number(1));
        let mut read = BTreeMap::new();
        entry(&mut read, all[4].1).unwrap();
        assert_eq!(read, map);
    }

    #[test]
    fn what_is_no_message() {
        let bad: [&[u8]; 7] = [
            b"\x08",
            b"\x0a\x05abc",
            b"\x00\x01",
            b"\x0b",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x09\0\0\0",
        ];
        for bytes in bad {
            let mut read = fields(bytes);
            assert!(read.any(|field| field.is_err()), "{bytes:?}");
            assert!(read.next().is_none());
        }
        assert_eq!(fields(b"\x0a\x01\xff").next().unwrap().unwrap().1.text(), Err(Malformed));
    }
}
