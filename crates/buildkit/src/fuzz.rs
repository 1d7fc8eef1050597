//! What the fuzz targets run, and a unit test from fixed seeds: messages and packets of clients.

use crate::grpc::Framer;
use crate::messages::{self, BridgeSolve, Returned, SolveRequest};

/// A stream of frames, each taken for every message that a client sends.
pub fn fuzz_frames(data: &[u8]) {
    let mut framer = Framer::default();
    for piece in data.chunks(7) {
        framer.push(piece);
        while let Ok(Some(message)) = framer.next_message() {
            let _ = SolveRequest::read(&message);
            let _ = BridgeSolve::read(&message);
            let _ = Returned::read(&message);
            let _ = messages::first_text(&message);
            let _ = messages::first_bytes(&message);
            let _ = messages::credentials(&message);
        }
    }
}

/// A packet of a tree of files.
pub fn fuzz_packet(data: &[u8]) {
    crate::receive::fuzz(data);
}

#[cfg(test)]
mod tests {
    use crate::grpc::framed;
    use crate::messages::{Map, Packet, Stat, mode};
    use crate::wire::Message;

    #[test]
    fn a_second_of_frames() {
        let attrs = Map::from([("filename".to_owned(), "Dockerfile".to_owned())]);
        let exporter = Message::default().text(1, "moby").map(2, &attrs);
        let solve = Message::default()
            .text(1, "ref")
            .text(5, "session")
            .text(6, "dockerfile.v0")
            .map(7, &attrs)
            .message(13, &exporter)
            .end();
        let status = Message::default().number(1, 2).text(2, "failed");
        let returned = Message::default().message(2, &status).end();
        let both = [framed(&solve), framed(&returned)].concat();
        let words: [&[u8]; 5] =
            [b"\x0a\xff\xff\xff\xff\x0f", b"\0\0\0\0", b"\x80", b"\x3a\x00", b"\x6a"];
        base::noise::run(31, 60_000, &[&framed(&solve), &both], &words, super::fuzz_frames);
    }

    #[test]
    fn a_second_of_packets() {
        let stat = |path: &str, mode: u32, link: &str| {
            let (path, link) = (path.to_owned(), link.to_owned());
            Packet::Stat(Some(Stat { path, mode, size: 5, modified_ns: 7, link })).write()
        };
        let seeds = [
            stat("a/b", 0o644, ""),
            stat("../x", mode::FOLDER | 0o755, ""),
            stat("l", mode::LINK | 0o777, "/etc/passwd"),
            Packet::Data(1, b"content".to_vec()).write(),
            Packet::Error("why".to_owned()).write(),
        ];
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        let words: [&[u8]; 4] = [b"../", b"/", b"\x10\xff\xff\xff\xff\x0f", b"\x12\x00"];
        base::noise::run(32, 100_000, &seeds, &words, super::fuzz_packet);
    }
}
