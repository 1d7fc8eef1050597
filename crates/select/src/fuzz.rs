//! What the fuzz target calls, and a unit test from a fixed seed: any bytes as an expression and an object,
//! in every form that either may have.

use crate::csv::Header;
use crate::{Compression, CsvInput, CsvOutput, Input, Output, Query, Run, Stats, Step};
use base::Timestamp;

/// The first byte says what the object and the answer are; the expression stands up to the first zero byte, and
/// the object after it. Must not panic, and must end quickly; and how an object that lies open
/// comes in pieces makes no difference.
pub fn fuzz_select(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let (text, object) = match rest.iter().position(|b| *b == 0) {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (rest, &[][..]),
    };
    let Ok(query) = Query::parse(&String::from_utf8_lossy(text)) else { return };
    let compression = match first >> 5 & 3 {
        1 => Compression::Gzip,
        2 => Compression::Bzip2,
        _ => Compression::None,
    };
    let range = (first & 128 != 0).then_some((2, 40));
    let runs = [1, 7, object.len().max(1)].map(|piece| {
        let run = start(*first, &query, compression, range)?;
        answer(run, object, piece).map(|(answer, _)| answer)
    });
    // What came out before a broken part of a compressed object depends on the pieces.
    let open = compression == Compression::None;
    assert!(!open || runs.iter().all(|run| *run == runs[0]), "{runs:?}");
}

fn start(
    first: u8,
    query: &Query,
    compression: Compression,
    range: Option<(u64, u64)>,
) -> crate::Result<Run> {
    let header = [Header::None, Header::Ignore, Header::Use][usize::from(first >> 1 & 3) % 3];
    let csv = CsvInput {
        header,
        quoted_delimiters: first & 8 != 0,
        escape: Some(if first & 16 != 0 { '\\' } else { '"' }),
        ..CsvInput::default()
    };
    let input = match first & 1 {
        0 => Input::Csv(csv),
        _ => Input::Json { lines: first & 8 != 0 },
    };
    let output = match first & 16 {
        0 => Output::Json { record_delimiter: "\n".into() },
        _ => Output::Csv(CsvOutput::default()),
    };
    Run::new(query.clone(), input, compression, output, Timestamp::from_secs(1_800_000_000), range)
}

/// All of the answer, with what was counted.
pub(crate) fn answer(mut run: Run, object: &[u8], piece: usize) -> crate::Result<(Vec<u8>, Stats)> {
    if run.wants_header() {
        run.push_header(object, true)?;
    }
    let begin = usize::try_from(run.begins_at()).unwrap_or_default().min(object.len());
    let mut pieces = object[begin..].chunks(piece);
    let mut out = Vec::new();
    loop {
        match run.step()? {
            Step::Hungry => match pieces.next() {
                Some(piece) => run.push(piece),
                None => run.finish(),
            },
            step => {
                out.extend(run.take());
                if step == Step::Done {
                    assert_eq!(run.stats().returned, out.len() as u64);
                    return Ok((out, run.stats()));
                }
            }
        }
    }
}
