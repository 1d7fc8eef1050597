//! All buckets of the account.

use crate::call::{Ask, Cloud, Node, Told};
use crate::door::{Acted, Visit};
use crate::form::Form;
use crate::html::{El, el, url, with};
use crate::layout::{self, BUCKETS, Page, cell};
use crate::session::Session;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bucket {
    pub name: String,
    pub created: String,
    pub region: String,
}

pub(crate) async fn list(cloud: &Cloud) -> Told<Vec<Bucket>> {
    // Asked for page by page, it says where each bucket is; one page holds all that may be.
    let query = [("max-buckets", "10000")];
    let answer = cloud.s3(Ask::new("s3", "GET", "/").query(&query)).await?;
    let bucket = |node: &Node| Bucket {
        name: node.text("Name").to_owned(),
        created: node.text("CreationDate").to_owned(),
        region: node.text("BucketRegion").to_owned(),
    };
    Ok(answer.list("Buckets").iter().map(bucket).collect())
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    Ok(view(&list(&visit.cloud).await?, &visit.session))
}

pub(crate) fn view(buckets: &[Bucket], session: &Session) -> Page {
    let row = |bucket: &Bucket| {
        let to = url("/bucket").with("name", &bucket.name);
        el("tr").put((
            cell(with("a", "row", &bucket.name).href(&to)),
            cell(layout::time(&bucket.created)),
            cell(&bucket.region),
        ))
    };
    let list = match buckets.is_empty() {
        true => layout::empty("No buckets yet.", "Make one here, or with aws s3 mb s3://photos."),
        false => layout::table(&["Name", "Made", "Region"], buckets.iter().map(row).collect()),
    };
    let count = with("span", "count", buckets.len());
    Page::new(BUCKETS, "Buckets", (layout::title(("Buckets ", count), create_form(session)), list))
}

fn create_form(session: &Session) -> El {
    layout::form(
        &url("/bucket/create"),
        session,
        (
            el("input")
                .attr("name", "name")
                .attr("placeholder", "name-of-a-bucket")
                .attr("aria-label", "Name of the new bucket")
                .attr("autocomplete", "off")
                .attr("spellcheck", "false")
                .flag("required", true),
            el("button").class("main").put("Make a bucket"),
        ),
    )
    .class("inline")
}

pub(crate) async fn create(visit: &Visit<'_>, form: &Form) -> Acted {
    let name = form.get("name").trim();
    let path = super::bucket::path(name, "");
    let region = &visit.cloud.region;
    let body = match region.as_str() {
        "us-east-1" => String::new(),
        region => format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        ),
    };
    match visit.cloud.s3(Ask::new("s3", "PUT", &path).body(body)).await {
        Ok(_) => Ok((url("/bucket").with("name", name), format!("The bucket {name} is there."))),
        Err(refusal) => Err((url("/buckets"), refusal)),
    }
}
