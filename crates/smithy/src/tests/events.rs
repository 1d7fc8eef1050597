use super::json::Kind;
use super::model::*;
use crate::Field;
use crate::events::*;
use crate::model::Protocol::{AwsJson11, RestJson1, RestXml, RpcV2Cbor};
use crate::shape::*;
use crate::value::Struct;
use base::Timestamp;
use bytes::Bytes;

structure!(Records {
    payload: Option<Bytes> = Member { event_payload: true, ..m("Payload", "Payload", BLOB) },
});
structure!(Stats {
    bytes: Option<i64> = m("Bytes", "Bytes", LONG),
});

const fn in_header(name: &'static str, shape: Shape) -> Member {
    Member { required: true, ..at(name, shape, Location::EventHeader(name)) }
}

structure!(Audio {
    sound: Option<Bytes> = Member { event_payload: true, ..m("Sound", "Sound", BLOB) },
    number: i32 = in_header("number", INTEGER),
    when: Option<Timestamp> = Member { required: false, ..in_header("when", TIME) },
});
structure!(Note {
    text: Option<String> = m("Text", "Text", STRING),
    speaker: String = in_header("speaker", STRING),
    count: Option<i64> = Member { required: false, ..in_header("count", LONG) },
    last: Option<bool> = Member { required: false, ..in_header("last", Shape::Boolean) },
    key: Option<Bytes> = Member { required: false, ..in_header("key", BLOB) },
});

/// A stream of events.
#[derive(Clone, Default)]
pub enum Events {
    #[default]
    Unset,
    Records(Records),
    Stats(Stats),
    Audio(Audio),
    Note(Note),
}

static EVENTS: StructShape = StructShape {
    name: "Events",
    members: &[
        m("Records", "Records", Shape::Struct(Records::SHAPE)),
        m("Stats", "Stats", Shape::Struct(Stats::SHAPE)),
        m("Audio", "Audio", Shape::Struct(Audio::SHAPE)),
        m("Note", "Note", Shape::Struct(Note::SHAPE)),
    ],
    payload: None,
    union: true,
    xml_root: None,
    xml_namespace: None,
    error: None,
    index: Index::new(),
};

impl Struct for Events {
    fn shape(&self) -> &'static StructShape {
        &EVENTS
    }
    fn field(&self, index: usize) -> &dyn Field {
        match (self, index) {
            (Events::Records(v), 0) => v,
            (Events::Stats(v), 1) => v,
            (Events::Audio(v), 2) => v,
            (Events::Note(v), 3) => v,
            _ => &crate::value::ABSENT,
        }
    }
    fn field_mut(&mut self, index: usize) -> &mut dyn Field {
        *self = match index {
            0 => Events::Records(Records::default()),
            1 => Events::Stats(Stats::default()),
            2 => Events::Audio(Audio::default()),
            _ => Events::Note(Note::default()),
        };
        match self {
            Events::Records(v) => v,
            Events::Stats(v) => v,
            Events::Audio(v) => v,
            Events::Note(v) => v,
            Events::Unset => unreachable!("just set"),
        }
    }
}
crate::field_for_struct!(Events);

fn example() -> Frame {
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    Frame {
        headers: vec![
            ("a".into(), HeaderValue::Bool(true)),
            ("b".into(), HeaderValue::Bool(false)),
            ("c".into(), HeaderValue::Byte(-1)),
            ("d".into(), HeaderValue::Short(-2)),
            ("e".into(), HeaderValue::Int(-3)),
            ("f".into(), HeaderValue::Long(-4)),
            ("g".into(), HeaderValue::Bytes(Bytes::from_static(b"\xff\x00"))),
            ("h".into(), text("é")),
            ("i".into(), HeaderValue::Timestamp(Timestamp::from_millis(1))),
            ("j".into(), HeaderValue::Uuid([7; 16])),
        ],
        payload: Bytes::from_static(b"payload"),
    }
}

#[test]
fn frames_come_back() {
    let bytes = Bytes::from(example().encode().unwrap());
    assert_eq!(Frame::decode(&bytes), Ok(Some((example(), bytes.len()))));
    for len in 0..bytes.len() {
        assert_eq!(Frame::decode(&bytes.slice(..len)), Ok(None), "{len}");
    }
    // The empty frame, with the checksums that the format's description gives.
    let empty = Frame::default().encode().unwrap();
    assert_eq!(base::hex::encode(&empty), "000000100000000005c248eb7d98c8ff");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = example().encode().unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::decode(&bad.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn refuses_lies() {
    let with_checksums = |total: u32, headers: u32, rest: &[u8]| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        let crc = |b: &[u8]| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, b) as u32;
        bytes.extend(crc(&bytes).to_be_bytes());
        bytes.extend(rest);
        bytes.extend(crc(&bytes).to_be_bytes());
        Frame::decode(&bytes.into())
    };
    assert_eq!(with_checksums(15, 0, b""), Err(FrameError::Length));
    assert_eq!(with_checksums(u32::MAX, 0, b""), Err(FrameError::Length));
    assert_eq!(with_checksums(16, 1, b""), Err(FrameError::Length));
    assert_eq!(with_checksums(17, 1, b"\0"), Err(FrameError::Header));
    assert_eq!(with_checksums(19, 3, b"\x01a\x0a"), Err(FrameError::Header));
    assert_eq!(with_checksums(21, 5, b"\x01a\x07\xff\xff"), Err(FrameError::Header));
    assert_eq!(with_checksums(22, 6, b"\x01a\x07\x00\x01\xff"), Err(FrameError::Header));
    let long = Frame { headers: vec![("x".repeat(256), HeaderValue::Bool(true))], ..example() };
    assert_eq!(long.encode(), Err(FrameError::Header));
}

#[test]
fn events_come_back() {
    let service = service(&[], false, &[]);
    let records = Events::Records(Records { payload: Some(Bytes::from_static(b"rows")) });
    let stats = Events::Stats(Stats { bytes: Some(5) });
    for protocol in [RestXml, RestJson1, AwsJson11] {
        for event in [&records, &stats] {
            let frame = encode_event(protocol, &service, event).unwrap();
            let mut back = Events::default();
            decode_event(protocol, &service, &frame, &mut back).unwrap();
            assert_eq!(format!("{back:?}"), format!("{event:?}"));
        }
    }
    let frame = encode_event(RestXml, &service, &stats).unwrap();
    assert_eq!(frame.text(":message-type"), Some("event"));
    assert_eq!(frame.text(":event-type"), Some("Stats"));
    assert_eq!(frame.text(":content-type"), Some("text/xml"));
    assert_eq!(
        frame.payload,
        "<Stats xmlns=\"http://things.example/doc/\"><Bytes>5</Bytes></Stats>"
    );
    assert_eq!(encode_event(RestXml, &service, &Kind::Unset), None);
    let mut back = Events::default();
    let unknown = decode_event(RestXml, &service, &example(), &mut back);
    assert_eq!(unknown.map_err(|e| e.to_string()), Err("there is no event ''".into()));
    let first = initial_response(AwsJson11, &service, &Stats::default());
    assert_eq!(
        (first.text(":event-type"), &first.payload[..]),
        (Some("initial-response"), &b"{}"[..])
    );
    assert_eq!(error_frame("C", "m").text(":error-code"), Some("C"));
}

#[test]
fn members_in_headers_come_back() {
    let service = service(&[], false, &[]);
    let audio = Events::Audio(Audio {
        sound: Some(Bytes::from_static(b"la")),
        number: -7,
        when: Some(Timestamp::from_millis(1500)),
    });
    let note = Events::Note(Note {
        text: Some("t".into()),
        speaker: "a".into(),
        count: Some(1 << 40),
        last: Some(false),
        key: Some(Bytes::from_static(b"\0\xff")),
    });
    let bare = Events::Note(Note { speaker: "b".into(), ..Note::default() });
    for protocol in [RestXml, RestJson1, AwsJson11, RpcV2Cbor] {
        for event in [&audio, &note, &bare] {
            let frame = encode_event(protocol, &service, event).unwrap();
            let bytes = Bytes::from(frame.encode().unwrap());
            let (frame, _) = Frame::decode(&bytes).unwrap().unwrap();
            let mut back = Events::default();
            decode_event(protocol, &service, &frame, &mut back).unwrap();
            assert_eq!(format!("{back:?}"), format!("{event:?}"));
        }
    }
    let frame = encode_event(RestJson1, &service, &note).unwrap();
    assert_eq!(frame.payload, r#"{"Text":"t"}"#);
    assert_eq!(frame.text("speaker"), Some("a"));
    assert!(frame.headers.contains(&("last".into(), HeaderValue::Bool(false))));
}

#[test]
fn refuses_headers_of_another_type() {
    let service = service(&[], false, &[]);
    let read = |kind: &str, headers: Vec<(&str, HeaderValue)>| {
        let kind = (":event-type".into(), HeaderValue::Text(kind.into()));
        let rest = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
        let frame =
            Frame { headers: [kind].into_iter().chain(rest).collect(), payload: Bytes::new() };
        let mut event = Events::default();
        decode_event(RestJson1, &service, &frame, &mut event)
            .map(|()| format!("{event:?}"))
            .map_err(|e| e.to_string())
    };
    let other = |name: &str| Err(format!("the header '{name}' is of another type"));
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    assert_eq!(read("Audio", vec![("number", text("7"))]), other("number"));
    assert_eq!(read("Audio", vec![("number", HeaderValue::Long(1 << 40))]), other("number"));
    assert_eq!(read("Note", vec![("speaker", HeaderValue::Int(1))]), other("speaker"));
    let short = read("Audio", vec![("number", HeaderValue::Short(7))]).unwrap();
    assert!(short.contains("number: 7"), "{short}");
    let missing = "1 validation error detected: Value null at 'audio.number' failed to satisfy \
                   constraint: Member must not be null";
    assert_eq!(read("Audio", vec![]), Err(missing.to_owned()));
}
