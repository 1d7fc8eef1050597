//! What is on disks already must stay readable: the bytes of rows, records and files.

use super::rows::{BlobRow, Place, RecordRow, SegmentPlace};
use super::*;
use crate::disk::OpenMode;
use crate::row::{decode, encode};
use base::hex;

fn check<R: Value + PartialEq + fmt::Debug>(row: R, golden: &str) {
    let bytes = encode(&row);
    assert_eq!(hex::encode(&bytes), golden, "{row:?}");
    assert_eq!(decode::<R>(&bytes.into()).expect("decodes"), row);
}

#[test]
fn rows() {
    let id = BlobId([7; 16]);
    let reference = BlobRef { id, size_bytes: 300, content: None };
    check(reference.clone(), "06100707070707070707070707070707070708ac02");
    let content = Some(Bytes::from_static(b"abc"));
    let golden = "0610070707070707070707070707070707070803";
    check(BlobRef { size_bytes: 3, content, ..reference.clone() }, &format!("{golden}0e03616263"));
    let content = Some(Bytes::new());
    check(
        BlobRef { size_bytes: 0, content, ..reference },
        "0610070707070707070707070707070707070e00",
    );
    let in_row = BlobRow {
        references: 1,
        size_bytes: 3,
        place: Place::Row,
        sums: Vec::new(),
        content: Bytes::from_static(b"abc"),
    };
    check(in_row.clone(), "040108030e01001603616263");
    let place = Place::Segment(SegmentPlace { number: 2, offset: 512 });
    let sums = vec![1, 2, 3, 4];
    check(
        BlobRow { place: place.clone(), sums, content: Bytes::new(), ..in_row.clone() },
        "040108030e06010402088004120401020304",
    );
    check(BlobRow { place: Place::File, content: Bytes::new(), ..in_row }, "040108030e0102");
    check(RecordRow { id, size_bytes: 300 }, "06100707070707070707070707070707070708ac02");
    check(place, "010402088004");
    check(Place::File, "02");
}

#[test]
fn records_and_files() {
    let id = BlobId(*b"0123456789abcdef");
    let mut record = vec![0; segment::HEADER_BYTES + 65_537];
    let sums = segment::seal(&mut record, id);
    let header = &record[..segment::HEADER_BYTES];
    assert_eq!(
        hex::encode(&header[..40]),
        "434252315d1cbd72303132333435363738396162636465660100010000000000a4c4c07251537d52"
    );
    assert_eq!(header[40..], [0; segment::HEADER_BYTES - 40]);
    assert!(segment::is_header_of(header, id, 65_537, &sums));
    let trailer = file::trailer(id, 262_145, &sums);
    assert_eq!(
        hex::encode(&trailer),
        "43756d426c6f62313031323334353637383961626364656601000400000000000200000000000000f8bfed72053587e1"
    );
    assert!(file::is_trailer_of(&trailer, id, 262_145));

    let (store, disk) = faulty();
    let in_segment = written(&store, &[b'a'; 65_537], None);
    let in_file = written(&store, &[b'a'; (1 << 20) + 1], None);
    let open = |path: &str| disk.open(path, OpenMode::Read).expect("opens");
    let mut magic = [0; 4];
    open("blobs/segment/0000000000000001").read_exact_at(&mut magic, 0).expect("reads");
    assert_eq!(&magic, b"CBR1");
    let name = in_file.id().to_string();
    let file = open(&format!("blobs/file/{}/{name}", &name[30..]));
    assert_eq!(file.len().expect("counts"), (1 << 20) + 1 + 5 * 4 + 48);
    drop((in_segment, in_file));
}
