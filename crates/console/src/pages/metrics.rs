//! What is counted, as plots over the last half hour.

use crate::door::{Visit, loaded};
use crate::html::{Html, Url, html, with};
use crate::layout::{self, METRICS, Page};
use crate::plot::{Unit, plot};
use crate::samples::{Plots, STEP_SECONDS};
use api::{Body, ConsoleAnswer};
use bytes::Bytes;

pub(crate) fn show(visit: &Visit<'_>) -> Page {
    view(&visit.console.samples.lock().plots(), &visit.loads("/metrics/live"))
}

fn drawn(plots: &Plots) -> Html {
    let Plots { times, requests, errors, latency, store, written, open } = plots;
    html((
        plot("Requests a second, by service", times, requests, Unit::Plain),
        plot("How long they take", times, latency, Unit::Milliseconds),
        plot("Refused and failed a second", times, errors, Unit::Plain),
        plot("The store, a second", times, store, Unit::Plain),
        plot("Written to the log a second", times, written, Unit::Bytes),
        plot("Open now", times, open, Unit::Plain),
    ))
}

pub(crate) fn view(plots: &Plots, live: &Url) -> Page {
    let all = with("div", "plots", drawn(plots))
        .attr("data-refresh", live.as_str())
        .attr("data-every", STEP_SECONDS.to_string());
    Page::new(
        METRICS,
        "Metrics",
        (
            layout::title("Metrics", with("span", "live", "live")),
            with(
                "p",
                "hint",
                (
                    "Half an hour, a point every ten seconds. For longer, let Prometheus read ",
                    layout::code("/metrics"),
                    ".",
                ),
            ),
            all,
        ),
    )
}

/// The plots alone, for a page that has been open for a while.
pub(crate) fn live(visit: &Visit<'_>) -> ConsoleAnswer {
    let plots = drawn(&visit.console.samples.lock().plots());
    loaded("text/html; charset=utf-8", Body::Bytes(Bytes::from(plots.into_string())))
}
