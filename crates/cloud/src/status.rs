//! `cumulet status`: is a cloud running, and where.

use crate::client::{Client, holder};
use crate::exit::{self, Failure};
use crate::settings::Config;

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
    if status == 200 {
        Ok(())
    } else {
        Err(Failure::new(exit::FAILED, format!("{} is not well", client.address())))
    }
}
