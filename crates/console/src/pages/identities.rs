//! Who there is: users, roles and the account's own policies.

use crate::call::{Node, Refusal, Told};
use crate::door::Visit;
use crate::html::{El, Html, el, html, url, with};
use crate::layout::{self, IDENTITIES, Page, cell};

pub(crate) const VERSION: &str = "2010-05-08";
const ROWS: &str = "200";

pub(crate) async fn call(visit: &Visit<'_>, action: &str, input: &[(&str, &str)]) -> Told<Node> {
    visit.cloud.query("iam", VERSION, action, input).await
}

/// One row of any of the lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub name: String,
    pub arn: String,
    pub created: String,
    /// Roles: what may take them; policies: how many have them.
    pub note: String,
}

pub(crate) struct Data {
    pub users: Told<Vec<Row>>,
    pub roles: Told<Vec<Row>>,
    pub policies: Told<Vec<Row>>,
}

fn rows(answer: &Node, list: &str, name: &str, note: impl Fn(&Node) -> String) -> Vec<Row> {
    let row = |node: &Node| Row {
        name: node.text(name).to_owned(),
        arn: node.text("Arn").to_owned(),
        created: node.text("CreateDate").to_owned(),
        note: note(node),
    };
    answer.list(list).iter().map(row).collect()
}

pub(crate) async fn users(visit: &Visit<'_>) -> Told<Vec<Row>> {
    let answer = call(visit, "ListUsers", &[("MaxItems", ROWS)]).await?;
    Ok(rows(&answer, "Users", "UserName", |_| String::new()))
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let roles = call(visit, "ListRoles", &[("MaxItems", ROWS)]).await;
    let policies = [("MaxItems", ROWS), ("Scope", "Local")];
    let policies = call(visit, "ListPolicies", &policies).await;
    let data = Data {
        users: users(visit).await,
        roles: roles
            .map(|answer| rows(&answer, "Roles", "RoleName", |r| r.text("Description").to_owned())),
        policies: policies.map(|answer| {
            rows(&answer, "Policies", "PolicyName", |policy| match policy.text("AttachmentCount") {
                "" | "0" => "attached to nobody".to_owned(),
                count => format!("attached {count}×"),
            })
        }),
    };
    Ok(view(&data))
}

fn list(
    rows: &Told<Vec<Row>>,
    columns: &[&'static str],
    nothing: &'static str,
    hint: &'static str,
    row: impl Fn(&Row) -> El,
) -> Html {
    match rows {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(rows) if rows.is_empty() => html(layout::empty(nothing, hint)),
        Ok(rows) => html(layout::table(columns, rows.iter().map(row).collect())),
    }
}

fn count(rows: &Result<Vec<Row>, Refusal>) -> Option<El> {
    rows.as_ref().ok().map(|rows| with("span", "count", rows.len()))
}

pub(crate) fn view(data: &Data) -> Page {
    let users = list(
        &data.users,
        &["Name", "Made", "ARN"],
        "No users yet.",
        "Root can do everything, so make one for each program: aws iam create-user.",
        |row| {
            el("tr").put((
                cell(with("a", "row name", &row.name).href(&url("/user").with("name", &row.name))),
                cell(layout::time(&row.created)),
                cell(layout::code(&row.arn)),
            ))
        },
    );
    let roles = list(
        &data.roles,
        &["Name", "Made", "What it is for"],
        "No roles yet.",
        "A role is somebody that one can become for a while.",
        |row| {
            el("tr").put((
                cell(with("a", "row name", &row.name).href(&url("/role").with("name", &row.name))),
                cell(layout::time(&row.created)),
                cell(&row.note),
            ))
        },
    );
    let policies = list(
        &data.policies,
        &["Name", "Made", "Use"],
        "No policies of this account's own.",
        "Those that come with the cloud are not listed here.",
        |row| {
            el("tr").put((
                cell(with("a", "row name", &row.name).href(&url("/policy").with("arn", &row.arn))),
                cell(layout::time(&row.created)),
                cell(&row.note),
            ))
        },
    );
    Page::new(
        IDENTITIES,
        "Identities",
        (
            layout::title("Identities", ()),
            layout::panel(("Users ", count(&data.users)), users),
            layout::panel(("Roles ", count(&data.roles)), roles),
            layout::panel(("Policies ", count(&data.policies)), policies),
        ),
    )
}
