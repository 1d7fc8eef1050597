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
    println!("health {status} {}", String::from_utf8_lossy(&body));
    show_jobs(&client);
    if status == 200 {
        Ok(())
    } else {
        Err(Failure::new(exit::FAILED, format!("{} is not well", client.address())))
    }
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
