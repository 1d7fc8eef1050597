//! `cumulet status`: is a cloud running, where, and what of its background work is stuck.

use crate::client::{Client, holder, text};
use crate::exit::{self, Failure};
use crate::settings::Config;
use smithy::Document;

pub fn run(config: &Config) -> Result<(), Failure> {
    let data = config.data.display();
    let Some(holder) = holder(config) else {
        let text = format!("not running: nobody holds {data}; start it with `cumulet up`");
        return Err(Failure::new(exit::FAILED, text));
    };
    println!("{holder}");
    println!("data in {data}");
    let client = Client::new(config);
    let (status, body) = client.health()?;
    println!("{}", health(status, &body));
    show_jobs(&client);
    if status != 200 {
        return Err(Failure::new(exit::FAILED, format!("{} is not well", client.address())));
    }
    match unready(&client) {
        Some(why) => Err(Failure::new(exit::FAILED, format!("not ready yet: {why}"))),
        None => Ok(()),
    }
}

/// What fills a new cloud and has not ended.
fn unready(client: &Client) -> Option<String> {
    let (_, body) = client.page("/_localstack/init/ready").ok()?;
    let document = smithy::json::parse_document(&body).ok()?;
    let Document::Map(own) = &document else { return None };
    if !matches!(own.get("completed"), Some(Document::Bool(false))) {
        return None;
    }
    let Some(Document::List(scripts)) = own.get("scripts") else { return None };
    let running = scripts.iter().find(|script| text(script, "state") == Some("RUNNING"));
    let name = running.and_then(|script| text(script, "name"));
    Some(match name {
        Some(name) => format!("{name} of ready.d runs"),
        None => "it starts".to_owned(),
    })
}

/// What the cloud says of itself, in words.
fn health(status: u16, body: &[u8]) -> String {
    let Ok(document @ Document::Map(_)) = smithy::json::parse_document(body) else {
        return format!("health: {status}, and nothing that can be read");
    };
    let mut line = format!("health: {}", text(&document, "status").unwrap_or("unknown"));
    if let Some(why) = text(&document, "reason") {
        line.push_str(&format!(" ({why})"));
    }
    let Document::Map(own) = &document else { return line };
    if let Some(Document::Map(jobs)) = own.get("jobs") {
        let count = |name| match jobs.get(name) {
            Some(Document::Integer(count)) => *count,
            _ => 0,
        };
        let (waiting, parked) = (count("waiting"), count("parked"));
        line.push_str(&format!("; jobs: {waiting} waiting, {parked} parked"));
    }
    line
}

/// Jobs that failed too often, and why. Whoever may not see them is told of their number alone.
fn show_jobs(client: &Client) {
    let Ok(Document::Map(answer)) = client.ask("GET", "/_cumulet/jobs", "") else { return };
    let Some(Document::List(parked)) = answer.get("parked") else { return };
    for job in parked {
        let own = |name| text(job, name).unwrap_or("");
        println!(
            "parked {} {} since {}: {}",
            own("kind"),
            own("key"),
            own("enqueued"),
            own("error")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::health;

    #[test]
    fn health_in_words() {
        let well = br#"{"status":"ok","jobs":{"waiting":2,"parked":0}}"#;
        assert_eq!(health(200, well), "health: ok; jobs: 2 waiting, 0 parked");
        let ill = br#"{"status":"stopped","reason":"no disk"}"#;
        assert_eq!(health(503, ill), "health: stopped (no disk)");
        assert_eq!(health(502, b"<html>"), "health: 502, and nothing that can be read");
    }
}
