//! A container: what it is, what it says, and the switches.

use crate::call::{Ask, Refusal, Told, beginning, get, integer, text};
use crate::door::{Acted, Visit};
use crate::form::Form;
use crate::html::{El, Html, el, html, url, with};
use crate::layout::{self, CONTAINERS, Page};
use crate::live::{self, Events, Lines};
use crate::pages::containers::{ENGINE, labels, labels_of, state};
use crate::session::Session;
use api::ConsoleAnswer;
use smithy::Document;

/// Lines of the log that a page begins with.
const LINES: &str = "200";
const LOG_BYTES_MAX: usize = 1 << 20;

/// The path of a container's page of the engine. Only ids and names: nothing that leads elsewhere.
fn path(id: &str, what: &str) -> Told<String> {
    let ok = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    match ok && id != "." && id != ".." {
        true => Ok(format!("{ENGINE}/containers/{id}{what}")),
        false => Err(Refusal::new(404, "NoSuchContainer", "There is no such container.")),
    }
}

const QUERY: [(&str, &str); 4] =
    [("stderr", "1"), ("stdout", "1"), ("tail", LINES), ("timestamps", "1")];

/// Frames of a log: of which stream, how long, and the bytes. A terminal's log has none.
#[derive(Debug)]
pub(crate) struct Log {
    framed: bool,
    held: Vec<u8>,
    lines: [Lines; 2],
}

impl Log {
    pub fn new(framed: bool) -> Log {
        Log { framed, held: Vec::new(), lines: [Lines::default(), Lines::default()] }
    }

    /// Gives each line, and whether it was said on the error stream.
    pub fn take(&mut self, piece: &[u8], mut each: impl FnMut(bool, &[u8])) {
        if !self.framed {
            return self.lines[0].take(piece, |line| each(false, line));
        }
        self.held.extend_from_slice(piece);
        let mut at = 0;
        while let Some(head) = self.held.get(at..at + 8) {
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let is_error = head[0] == 2;
            let Some(body) = self.held.get(at + 8..at + 8 + length) else { break };
            self.lines[usize::from(is_error)].take(body, |line| each(is_error, line));
            at += 8 + length;
        }
        self.held.drain(..at);
        // No frame of ours is that long.
        if self.held.len() > LOG_BYTES_MAX {
            self.held.clear();
        }
    }

    fn end(&mut self, mut each: impl FnMut(bool, &[u8])) {
        let [out, error] = &mut self.lines;
        out.rest(|line| each(false, line));
        error.rest(|line| each(true, line));
    }
}

fn is_time(text: &str) -> bool {
    (20..40).contains(&text.len()) && text.ends_with('Z')
}

/// The time of a line, and what it says.
fn parts(text: &str) -> (&str, &str) {
    match text.split_once(' ') {
        Some((at, said)) if is_time(at) => (at, said),
        _ => ("", text),
    }
}

/// How far somebody has seen: the time of the last line, and how many lines of that time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Place {
    at: String,
    count: usize,
}

impl Place {
    /// `TIME/COUNT`, as a page or a browser gives it back.
    fn parse(text: &str) -> Option<Place> {
        let (at, count) = text.split_once('/')?;
        let plain = at.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.".contains(&b));
        (is_time(at) && plain).then_some(Place { at: at.to_owned(), count: count.parse().ok()? })
    }

    fn text(&self) -> String {
        match self.at.as_str() {
            "" => String::new(),
            at => format!("{at}/{}", self.count),
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match parts(&text).0 {
            "" => {}
            at if at == self.at => self.count += 1,
            at => *self = Place { at: at.to_owned(), count: 1 },
        }
    }
}

/// A line of a log: its time apart, colours and other controls taken out.
fn line(is_error: bool, bytes: &[u8]) -> El {
    let text = String::from_utf8_lossy(bytes);
    let (at, said) = parts(&text);
    let when =
        at.get(11..19).map(|short| el("time").attr("datetime", at).attr("title", at).put(short));
    let class = if is_error { "line error" } else { "line" };
    with("div", class, (when, el("span").put(plain(said))))
}

/// Without the sequences that colour a terminal.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            out.extend((c != '\r').then_some(c));
            continue;
        }
        if chars.next_if_eq(&'[').is_some() {
            while chars.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
            chars.next();
        }
    }
    out
}

pub(crate) struct Data {
    pub id: String,
    pub inspected: Document,
    pub log: Told<Vec<El>>,
    pub live: crate::html::Url,
}

/// The last lines, and how far they go.
async fn log(visit: &Visit<'_>, id: &str) -> Told<(Vec<El>, Place)> {
    let path = path(id, "/logs")?;
    let answer = visit.cloud.send(Ask::new("cumulet", "GET", &path).query(&QUERY)).await?;
    let mut log = Log::new(is_framed(&answer.headers));
    let (bytes, _) = beginning(answer.body, LOG_BYTES_MAX).await?;
    let (mut lines, mut place) = (Vec::new(), Place::default());
    let mut each = |is_error: bool, bytes: &[u8]| {
        lines.push(line(is_error, bytes));
        place.pass(bytes);
    };
    log.take(&bytes, &mut each);
    log.end(&mut each);
    Ok((lines, place))
}

fn is_framed(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, value)| name == "content-type" && value.contains("multiplexed"))
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let id = visit.get("id");
    let inspected = visit.cloud.own("GET", &path(id, "/json")?, &[]).await?;
    let (log, place) = match log(visit, id).await {
        Ok((lines, place)) => (Ok(lines), place.text()),
        Err(refusal) => (Err(refusal), String::new()),
    };
    let live = visit.loads("/container/live").with("id", id).given("since", &place);
    let data = Data { id: id.to_owned(), inspected, log, live };
    Ok(view(data, &visit.session))
}

/// The lines as they are said, from where the page ended or the browser was cut off.
pub(crate) async fn live(visit: &Visit<'_>) -> Told<ConsoleAnswer> {
    let path = path(visit.get("id"), "/logs")?;
    let place = Place::parse(&visit.last_event).or_else(|| Place::parse(visit.get("since")));
    let place = place.unwrap_or_default();
    let mut query = vec![("follow", "1"), ("stderr", "1"), ("stdout", "1"), ("timestamps", "1")];
    match place.at.is_empty() {
        // The page could not say how far it went.
        true => query.push(("tail", LINES)),
        false => query.push(("since", &place.at)),
    }
    let answer = visit.cloud.send(Ask::new("cumulet", "GET", &path).query(&query)).await?;
    let log = Log::new(is_framed(&answer.headers));
    Ok(live::answer(
        answer.body,
        Said { log, seen: place.clone(), place: Place { count: 0, ..place } },
    ))
}

struct Said {
    log: Log,
    /// What the browser has; lines of its time come once more.
    seen: Place,
    place: Place,
}

impl Events for Said {
    fn take(&mut self, piece: &[u8], out: &mut String) {
        let Said { log, seen, place } = self;
        log.take(piece, |is_error, bytes| {
            place.pass(bytes);
            if place.at != seen.at || place.count > seen.count {
                live::event_at("row", &place.text(), &html(line(is_error, bytes)), out);
            }
        });
    }
}

/// The switches that make sense in that state.
pub(crate) fn actions(id: &str, state: &str, back: &'static str, session: &Session) -> Vec<El> {
    let button = |act: &'static str, label: &'static str| {
        layout::form(
            &url("/container/act"),
            session,
            (
                layout::hidden("id", id),
                layout::hidden("act", act),
                layout::hidden("back", back),
                el("button").class("small").put(label),
            ),
        )
        .class("inline")
    };
    match state {
        "running" => vec![button("stop", "Stop"), button("restart", "Restart")],
        "paused" => vec![button("unpause", "Go on")],
        "restarting" => vec![button("stop", "Stop")],
        _ => vec![button("start", "Start")],
    }
}

fn texts(list: Option<&Document>) -> String {
    let Some(Document::List(list)) = list else { return String::new() };
    let words = list.iter().filter_map(|word| match word {
        Document::String(word) => Some(word.as_str()),
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

pub(crate) fn view(data: Data, session: &Session) -> Page {
    let blank = Document::Null;
    let own = &data.inspected;
    let part = |name| get(own, name).unwrap_or(&blank);
    let (now, config, network) = (part("State"), part("Config"), part("NetworkSettings"));
    let name = text(own, "Name").unwrap_or(&data.id).trim_start_matches('/').to_owned();
    let status = text(now, "Status").unwrap_or_default();
    let ended = (status == "exited").then(|| html(("with ", integer(now, "ExitCode"))));
    let networks = match get(network, "Networks") {
        Some(Document::Map(map)) => map
            .iter()
            .map(|(name, own)| match text(own, "IPAddress") {
                Some(address) if !address.is_empty() => format!("{name} ({address})"),
                _ => name.clone(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        _ => String::new(),
    };
    let command = [text(own, "Path").unwrap_or_default(), &texts(get(own, "Args"))].join(" ");
    let said: Html = match data.log {
        Err(refusal) => html(layout::refused(&refusal)),
        Ok(lines) => {
            let quiet =
                lines.is_empty().then(|| with("p", "hint none", "Nothing has been logged yet."));
            let box_ = with("div", "log", lines)
                .attr("tabindex", "0")
                .attr("role", "log")
                .attr("aria-label", "Log")
                .attr("data-live", data.live.as_str())
                .attr("data-at", "end");
            html((quiet, box_))
        }
    };
    let question = "Its files are lost with it.";
    let remove = layout::form(
        &url("/container/act"),
        session,
        (
            layout::hidden("id", &data.id),
            layout::hidden("act", "remove"),
            el("button").class("bad").put("Remove it"),
        ),
    );
    Page::new(
        CONTAINERS,
        &name,
        (
            layout::crumbs(vec![("Containers".into(), url("/containers"))], &name),
            layout::title(
                (&name, " ", state(status)),
                actions(&data.id, status, "/container", session),
            ),
            layout::facts(vec![
                ("Image", html(text(config, "Image").unwrap_or_default())),
                ("Command", html(layout::code(command))),
                ("Started", html(layout::time(text(now, "StartedAt").unwrap_or_default()))),
                ("Ended", ended.unwrap_or_default()),
                ("Networks", html(networks)),
                ("Labels", labels(&labels_of(config))),
                ("Id", html(layout::code(text(own, "Id").unwrap_or(&data.id)))),
            ]),
            layout::panel(("Log ", with("span", "live", "live")), said),
            layout::danger("Remove the container", question, remove),
        ),
    )
}

pub(crate) async fn act(visit: &Visit<'_>, form: &Form) -> Acted {
    let (id, act) = (form.get("id"), form.get("act"));
    let back = match form.get("back") {
        "/containers" => url("/containers"),
        _ => url("/container").with("id", id),
    };
    let (method, what, said) = match act {
        "start" => ("POST", "/start", "It runs."),
        "stop" => ("POST", "/stop", "It has stopped."),
        "restart" => ("POST", "/restart", "It runs again."),
        "unpause" => ("POST", "/unpause", "It goes on."),
        "remove" => ("DELETE", "", "It is removed."),
        _ => return Err((back, Refusal::new(400, "NoSuchAct", "Containers cannot do that."))),
    };
    let query: &[(&str, &str)] = match act {
        "stop" | "restart" => &[("t", "5")],
        _ => &[],
    };
    let path = path(id, what).map_err(|refusal| (back.clone(), refusal))?;
    match visit.cloud.own(method, &path, query).await {
        Ok(_) if act == "remove" => Ok((url("/containers"), said.into())),
        Ok(_) => Ok((back, said.into())),
        Err(refusal) => Err((back, refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend((text.len() as u32).to_be_bytes());
        out.extend(text.as_bytes());
        out
    }

    #[test]
    fn frames_in_any_pieces() {
        let all = [frame(1, "out 1\nou"), frame(2, "err\n"), frame(1, "t 2\nend")].concat();
        for size in 1..all.len() {
            let (mut log, mut seen) = (Log::new(true), Vec::new());
            let mut each = |error: bool, line: &[u8]| {
                seen.push((error, String::from_utf8_lossy(line).into_owned()))
            };
            all.chunks(size).for_each(|piece| log.take(piece, &mut each));
            log.end(each);
            let expected = [(false, "out 1"), (true, "err"), (false, "out 2"), (false, "end")];
            let expected = expected.map(|(error, line)| (error, line.to_owned()));
            assert_eq!(seen, expected, "{size}");
        }
    }

    #[test]
    fn nobody_sees_a_line_twice_or_misses_one() {
        let at = |second: u8| format!("2026-11-26T14:00:0{second}.000000000Z");
        let lines: Vec<String> = [(1, "a"), (2, "b"), (2, "c"), (2, "d"), (3, "e")]
            .map(|(s, t)| format!("{} {t}\n", at(s)))
            .into();
        let follow = |seen: &str| {
            let seen = Place::parse(seen).unwrap_or_default();
            let place = Place { count: 0, ..seen.clone() };
            let mut said = Said { log: Log::new(false), seen: seen.clone(), place };
            let mut out = String::new();
            for line in lines.iter().filter(|line| *line.split(' ').next().unwrap() >= *seen.at) {
                said.take(line.as_bytes(), &mut out);
            }
            let ids: Vec<String> = out
                .lines()
                .filter_map(|line| Some(line.strip_prefix("id: ")?.to_owned()))
                .collect();
            ids
        };
        let all = follow("");
        assert_eq!(all.len(), 5);
        assert_eq!(all[2], format!("{}/2", at(2)));
        for (position, id) in all.iter().enumerate() {
            assert_eq!(follow(id), all[position + 1..], "{id}");
        }
        for bad in ["", "x/1", "2026-11-26T14:00:01&tail=Z/1", &format!("{}/x", at(1))] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_is_text() {
        let text = "2026-11-26T14:00:00.123456789Z \x1b[31m<script>alert(1)</script>\x1b[0m\r";
        let shown = html(line(true, text.as_bytes()));
        assert!(shown.as_str().contains(">14:00:00</time>"));
        assert!(shown.as_str().contains("<span>&lt;script&gt;alert(1)&lt;/script&gt;</span>"));
    }

    #[test]
    fn ids_lead_nowhere_else() {
        for bad in ["", "..", ".", "a/b", "a?b", "a%2fb", "ü"] {
            assert!(path(bad, "").is_err(), "{bad}");
        }
        assert_eq!(path("web_1", "/json").unwrap(), "/_cumulet/docker/containers/web_1/json");
    }

    #[test]
    fn noise() {
        let seed = frame(1, "text\n");
        base::noise::run(11, 5_000, &[&seed], &[b"\0\0\0\0", b"\xff\xff\xff\xff"], |data| {
            Log::new(true).take(data, |_, _| {});
        });
    }
}
