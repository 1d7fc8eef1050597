//! The cloud's clock, moved by whoever runs the cloud: to see what a month does to a lifecycle rule, to
//! an expiring session, to a table with a time to live.
//!
//! It only goes forward, so that no record is younger than what it speaks of, and how it stands to the
//! clock outside is a row: a restart keeps it. Signatures and the `Date` header stay with the clock
//! outside, by which clients sign.

use crate::encode::Response;
use crate::gateway::Gateway;
use crate::head::Head;
use crate::pages::page;
use api::{Cx, Error};
use base::{Clock, ClockShift, ShiftedClock, Timestamp};
use smithy::json::Writer;
use std::sync::Arc;
use store::{Scope, Table, Tx, row};

pub(crate) const CLOCK: Table<u32, ClockRow> = Table::new(0xf003, "gateway.clock");
const ONLY: u32 = 1;
/// Beyond it, times no longer fit into the forms in which AWS writes them.
const LATEST: Timestamp = Timestamp::from_secs(253_402_300_799);

row! {
    pub(crate) struct ClockRow {
        1 => ahead_ms: i64,
        2 => stopped_at: Option<Timestamp>,
    }
}

fn kept(tx: &Tx) -> Result<ClockShift, Error> {
    let row = tx.get(&CLOCK, &Scope::Global, &ONLY)?;
    Ok(row.map_or_else(ClockShift::default, |row| ClockShift {
        ahead_ms: row.ahead_ms,
        stopped_at: row.stopped_at,
    }))
}

/// What is asked for.
enum Move {
    Advance(i64),
    StopAt(Timestamp),
    Run,
}

impl Move {
    fn read(head: &Head<'_>) -> Result<Move, Error> {
        let given = |name| head.query_value(name).filter(|value| !value.is_empty());
        let bad = |text: String| Error::with_code("ValidationException", 400, text);
        match (given("advance_ms"), given("set"), given("run")) {
            (Some(ms), None, None) => match ms.parse() {
                Ok(ms) if ms >= 0 => Ok(Move::Advance(ms)),
                _ => Err(bad(format!("advance_ms is {ms}: not a number of milliseconds"))),
            },
            (None, Some(at), None) => match Timestamp::parse_iso8601(at) {
                Ok(at) => Ok(Move::StopAt(at)),
                Err(_) => Err(bad(format!("set is {at}: not a time such as 2026-12-24T18:00:00Z"))),
            },
            (None, None, Some("true")) => Ok(Move::Run),
            _ => Err(bad("give one of advance_ms=N, set=TIME and run=true".to_owned())),
        }
    }

    /// For the audit trail.
    fn parameters(&self) -> String {
        let mut out = Writer::with_capacity(64);
        out.open('{');
        match *self {
            Move::Advance(ms) => {
                out.key("advanceMs");
                out.integer(ms);
            }
            Move::StopAt(at) => {
                out.key("set");
                out.string(&at.iso8601_millis());
            }
            Move::Run => {
                out.key("run");
                out.boolean(true);
            }
        }
        out.close('}');
        out.finish()
    }

    fn apply(&self, shift: ClockShift, wall: Timestamp) -> Result<ClockShift, Error> {
        let now = shift.now(wall);
        let refused = |text: String| Err(Error::with_code("ValidationException", 400, text));
        let moved = match *self {
            Move::Advance(ms) => shift.advance(ms),
            Move::StopAt(at) if at < now => {
                let now = now.iso8601_millis();
                return refused(format!("the clock only goes forward, and it is {now}"));
            }
            Move::StopAt(at) => shift.stop_at(at),
            Move::Run => shift.run(wall),
        };
        match moved.now(wall) <= LATEST {
            true => Ok(moved),
            false => refused("the year 9999 is the last".to_owned()),
        }
    }
}

impl Gateway {
    /// Lets the clock that this gateway and its store were given be moved, and puts it where it was
    /// left. To be called before anything else asks for the time.
    pub fn with_movable_clock(mut self, clock: Arc<ShiftedClock>) -> Result<Gateway, Error> {
        clock.set_shift(self.store.read(kept)?);
        self.movable = Some(clock);
        Ok(self)
    }

    pub(crate) fn clock_page(&self) -> Response {
        let shift = self.movable.as_ref().map(|clock| clock.shift()).unwrap_or_default();
        let wall = self.clock.wall();
        let mut out = Writer::with_capacity(128);
        out.open('{');
        out.key("now");
        out.string(&shift.now(wall).iso8601_millis());
        out.key("outside");
        out.string(&wall.iso8601_millis());
        out.key("aheadMs");
        out.integer(shift.now(wall).millis_since(wall));
        out.key("state");
        out.string(if shift.stopped_at.is_some() { "stopped" } else { "running" });
        out.close('}');
        page("application/json", out.finish())
    }

    pub(crate) async fn set_clock(&self, head: &Head<'_>, cx: &Cx) -> Result<Response, Error> {
        let Some(clock) = &self.movable else {
            return Err(Error::with_code("InvalidState", 409, "This clock cannot be moved."));
        };
        let what = Move::read(head)?;
        let wall = clock.wall();
        let commit = self.store.write(|tx| {
            let moved = what.apply(kept(tx)?, wall)?;
            let row = ClockRow { ahead_ms: moved.ahead_ms, stopped_at: moved.stopped_at };
            tx.put(&CLOCK, &Scope::Global, &ONLY, &row)?;
            self.guard.audit.record_with(tx, cx, what.parameters())
        });
        commit.await?;
        // Of two that move it at once, both end with what the last commit says.
        clock.set_shift(self.store.read(kept)?);
        Ok(self.clock_page())
    }
}
