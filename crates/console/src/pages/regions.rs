//! In which region one looks: the selector of every page, and which regions have what this one has not.

use crate::call::{Cloud, Refusal, list, map};
use crate::door::{Acted, Visit};
use crate::form::Form;
use crate::html::{El, Html, el, html, url, with};
use crate::layout::{self, Place};
use crate::pages::tables;
use crate::session::Session;
use base::Region;
use smithy::Document;

/// Chooses a region, and stays in the same section.
pub(crate) fn selector(session: &Session, regions: &[&'static str], place: Place) -> El {
    let now = session.region();
    let option = |name: &str| el("option").flag("selected", name == now).put(name.to_owned());
    let other = (!regions.contains(&&*now)).then(|| option(&now));
    let all: Vec<El> = regions.iter().map(|name| option(name)).collect();
    let choice = el("select")
        .attr("name", "region")
        .attr("aria-label", "Region")
        .attr("data-sends", "")
        .put((other, all));
    let go = el("button").class("quiet").put("Go");
    let back = layout::hidden("back", place.1);
    layout::form(&url("/region"), session, (back, choice, go)).class("region")
}

/// Looks in another region from now on.
pub(crate) fn choose(visit: &Visit<'_>, form: &Form) -> Acted {
    let back = url(layout::place_of(form.get("back")).1);
    let Some(region) = Region::parse(form.get("region").trim()) else {
        return Err((back, Refusal::new(400, "NoSuchRegion", "This is not the name of a region.")));
    };
    visit.session.look_in(region.as_str());
    Ok((back, format!("You are looking at {} now.", region.as_str())))
}

/// Other regions where there are tables.
pub(crate) async fn with_tables(visit: &Visit<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let input = map([("Limit", Document::Integer(1))]);
    for region in visit.console.parts.regions.iter().filter(|own| **own != visit.cloud.region) {
        let cloud = Cloud { region: (*region).to_owned(), ..visit.cloud.clone() };
        // Some may be closed to this person.
        let answer = tables::call_in(&cloud, "ListTables", &input).await;
        if answer.is_ok_and(|answer| !list(&answer, "TableNames").is_empty()) {
            found.push((*region).to_owned());
        }
    }
    found
}

/// A button for each of these regions.
pub(crate) fn buttons(session: &Session, regions: &[String], place: Place) -> Html {
    let button = |region: &String| {
        let inner = (
            layout::hidden("back", place.1),
            layout::hidden("region", region),
            el("button").class("small").put(region),
        );
        layout::form(&url("/region"), session, inner).class("inline")
    };
    html(with("div", "elsewhere", regions.iter().map(button).collect::<Vec<_>>()))
}
