//! The engine of containers behind `/_cumulet/docker/`: a few endpoints of the Docker API for whoever
//! signs, with the permission `cumulet:ReadContainers` or `cumulet:ManageContainers`.
//!
//! The Docker API itself asks nobody: whoever can open its socket is root on the machine. So only what
//! cannot make anybody root is relayed: looking, and starting, stopping and removing what is there.

use crate::encode::{Response, ResponseStream};
use crate::follow::UntilClosing;
use crate::gateway::Gateway;
use crate::head::Head;
use api::{Body, EngineDoor, Error, InsideAnswer};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use std::sync::Arc;

pub(crate) const PREFIX: &str = "/_cumulet/docker/";

/// The admin operation that an endpoint is, and whether there is such an endpoint.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.strip_prefix(PREFIX)?.split('/').collect();
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    match (method, parts.as_slice()) {
        ("GET", ["containers" | "images", "json"] | ["version"]) => Some("ReadContainers"),
        ("GET", ["containers", id, "json" | "logs"]) if is_name(id) => Some("ReadContainers"),
        (
            "POST",
            ["containers", id, "start" | "stop" | "restart" | "kill" | "pause" | "unpause"],
        ) if is_name(id) => Some("ManageContainers"),
        ("DELETE", ["containers", id]) if is_name(id) => Some("ManageContainers"),
        _ => None,
    }
}

impl Gateway {
    /// Opens the pages in front of the engine, once it runs.
    pub fn open_engine(&self, engine: Arc<dyn EngineDoor>) {
        let _ = self.engine.set(engine);
    }

    /// Relays what was authorised before.
    pub(crate) async fn engine_page(&self, head: &Head<'_>) -> Result<Response, Error> {
        let none = || Error::with_code("NotFound", 404, "There is no engine of containers here.");
        let engine = self.engine.get().ok_or_else(none)?;
        let path = head.path.strip_prefix("/_cumulet/docker").unwrap_or_default();
        let target = match head.raw_query {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let InsideAnswer { status, headers, body } = engine.ask(head.method, &target).await;
        let body = match body {
            Body::Stream(length, inner) => {
                let own = self.own.upgrade().ok_or_else(none)?;
                Body::Stream(length, Box::pin(UntilClosing::new(&own, inner)?))
            }
            other => other,
        };
        let mut response = Response::new(ResponseStream::from(body));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = headers.iter().find(|(name, _)| name == "content-type");
        if let Some(kind) = kind.and_then(|(_, value)| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_an_operation() {
        for name in ["ManageContainers", "ReadContainers", "UseRegistry", "DeleteSnapshot"] {
            assert!(crate::admin::known(name).is_some(), "{name}");
        }
    }

    #[test]
    fn only_what_makes_nobody_root() {
        let check = |method: &str, path: &str, expected: Option<&str>| {
            assert_eq!(operation(method, &format!("/_cumulet/docker/{path}")), expected, "{path}");
        };
        check("GET", "containers/json", Some("ReadContainers"));
        check("GET", "containers/web_1/logs", Some("ReadContainers"));
        check("POST", "containers/web/start", Some("ManageContainers"));
        check("DELETE", "containers/web", Some("ManageContainers"));
        check("POST", "containers/create", None);
        check("POST", "containers/web/exec", None);
        check("POST", "containers/web/attach", None);
        check("PUT", "containers/web/archive", None);
        check("GET", "containers/web/archive", None);
        check("POST", "containers/../start", None);
        check("POST", "containers/a%2f..%2fcreate/start", None);
        check("POST", "build", None);
        check("GET", "", None);
    }
}
