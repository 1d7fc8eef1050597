//! A user, a role or a policy, with the documents that say what it may do.

use crate::call::{Node, Refusal, Told};
use crate::door::Visit;
use crate::html::{El, Html, Url, el, html, link, url, with};
use crate::layout::{self, IDENTITIES, Page, cell};
use crate::pages::identities::call;

/// A policy that stands in a user or role itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inline {
    pub name: String,
    pub document: String,
}

/// What an identity may do.
pub(crate) struct Rights {
    /// Name and ARN.
    pub attached: Told<Vec<(String, String)>>,
    pub inline: Told<Vec<Inline>>,
}

/// Documents come encoded, and as somebody wrote them; their members stay in that order.
pub(crate) fn document(text: &str) -> String {
    let text = String::from_utf8_lossy(&base::percent::decode(text)).into_owned();
    match smithy::json::parse_document(text.as_bytes()) {
        Ok(_) => indented(&text),
        Err(_) => text,
    }
}

/// JSON that is known to be some, a member on each line.
fn indented(text: &str) -> String {
    let (mut out, mut depth, mut in_string) =
        (String::with_capacity(text.len() * 2), 0usize, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => in_string = !in_string,
            '\\' if in_string => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            _ if in_string => {}
            c if c.is_whitespace() => continue,
            '{' | '[' => {
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                out.push(c);
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
                continue;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
                continue;
            }
            ':' => {
                out.push_str(": ");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The operations that tell the rights of a user or a role.
struct Words {
    attached: &'static str,
    inline: &'static str,
    get: &'static str,
    name: &'static str,
}

const USER: Words = Words {
    attached: "ListAttachedUserPolicies",
    inline: "ListUserPolicies",
    get: "GetUserPolicy",
    name: "UserName",
};
const ROLE: Words = Words {
    attached: "ListAttachedRolePolicies",
    inline: "ListRolePolicies",
    get: "GetRolePolicy",
    name: "RoleName",
};

async fn inline(visit: &Visit<'_>, words: &Words, name: &str) -> Told<Vec<Inline>> {
    let answer = call(visit, words.inline, &[(words.name, name)]).await?;
    let mut all = Vec::new();
    for policy in answer.list("PolicyNames") {
        let input = [(words.name, name), ("PolicyName", policy.text.as_str())];
        let got = call(visit, words.get, &input).await?;
        let name = policy.text.clone();
        all.push(Inline { name, document: document(got.text("PolicyDocument")) });
    }
    Ok(all)
}

async fn rights(visit: &Visit<'_>, words: &Words, name: &str) -> Rights {
    let attached = call(visit, words.attached, &[(words.name, name)]).await.map(|answer| {
        let pair = |policy: &Node| {
            (policy.text("PolicyName").to_owned(), policy.text("PolicyArn").to_owned())
        };
        answer.list("AttachedPolicies").iter().map(pair).collect()
    });
    Rights { attached, inline: inline(visit, words, name).await }
}

/// What the page of a user or role shows.
pub(crate) struct Data {
    pub name: String,
    pub facts: Vec<(&'static str, Html)>,
    pub trust: Option<String>,
    pub rights: Rights,
    /// Of a user: key, status, made.
    pub keys: Option<Told<Vec<(String, String, String)>>>,
    pub groups: Vec<String>,
}

pub(crate) async fn user(visit: &Visit<'_>) -> Told<Page> {
    let name = visit.get("name");
    let answer = call(visit, "GetUser", &[("UserName", name)]).await?;
    let blank = Node::default();
    let own = answer.find("User").unwrap_or(&blank);
    let keys = call(visit, "ListAccessKeys", &[("UserName", name)]).await.map(|answer| {
        let key = |key: &Node| {
            let text = |name| key.text(name).to_owned();
            (text("AccessKeyId"), text("Status"), text("CreateDate"))
        };
        answer.list("AccessKeyMetadata").iter().map(key).collect()
    });
    let groups = call(visit, "ListGroupsForUser", &[("UserName", name)]).await;
    let groups = groups.map(|answer| {
        answer.list("Groups").iter().map(|group| group.text("GroupName").to_owned()).collect()
    });
    let data = Data {
        name: name.to_owned(),
        facts: vec![
            ("ARN", html(layout::code(own.text("Arn")))),
            ("Id", html(layout::code(own.text("UserId")))),
            ("Path", html(layout::code(own.text("Path")))),
            ("Made", html(layout::time(own.text("CreateDate")))),
        ],
        trust: None,
        rights: rights(visit, &USER, name).await,
        keys: Some(keys),
        groups: groups.unwrap_or_default(),
    };
    Ok(view(&data))
}

pub(crate) async fn role(visit: &Visit<'_>) -> Told<Page> {
    let name = visit.get("name");
    let answer = call(visit, "GetRole", &[("RoleName", name)]).await?;
    let blank = Node::default();
    let own = answer.find("Role").unwrap_or(&blank);
    let data = Data {
        name: name.to_owned(),
        facts: vec![
            ("ARN", html(layout::code(own.text("Arn")))),
            ("Id", html(layout::code(own.text("RoleId")))),
            ("What it is for", html(own.text("Description"))),
            ("Made", html(layout::time(own.text("CreateDate")))),
            ("Longest session", html((own.text("MaxSessionDuration"), " s"))),
        ],
        trust: Some(document(own.text("AssumeRolePolicyDocument"))),
        rights: rights(visit, &ROLE, name).await,
        keys: None,
        groups: Vec::new(),
    };
    Ok(view(&data))
}

fn json(document: &str) -> El {
    el("pre").class("code").attr("tabindex", "0").put(document)
}

fn to_policy(arn: &str) -> Url {
    url("/policy").with("arn", arn)
}

fn rights_panel(rights: &Rights) -> El {
    let attached: Html = match &rights.attached {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(all) if all.is_empty() => html(()),
        Ok(all) => {
            let items: Vec<El> = all
                .iter()
                .map(|(name, arn)| {
                    el("li").put((link(&to_policy(arn), name).class("row"), " ", layout::code(arn)))
                })
                .collect();
            html(with("ul", "plain", items))
        }
    };
    let inline: Html = match &rights.inline {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(all) => html(
            all.iter()
                .map(|one| (el("h3").put(&one.name), json(&one.document)))
                .collect::<Vec<_>>(),
        ),
    };
    let none = matches!((&rights.attached, &rights.inline), (Ok(a), Ok(b)) if a.is_empty() && b.is_empty());
    let nothing =
        none.then(|| layout::empty("Nothing.", "No policy of its own lets it do anything."));
    layout::panel("What it may do", (attached, inline, nothing))
}

pub(crate) fn view(data: &Data) -> Page {
    let keys = data.keys.as_ref().map(|keys| {
        let inner: Html = match keys {
            Err(refusal) => html(layout::refused(refusal)),
            Ok(keys) if keys.is_empty() => {
                html(layout::empty("No access keys.", "aws iam create-access-key makes one."))
            }
            Ok(keys) => {
                let row = |(id, status, made): &(String, String, String)| {
                    let class = if status == "Active" { "tag good" } else { "tag warn" };
                    el("tr").put((
                        cell(layout::code(id)),
                        cell(with("span", class, status.to_lowercase())),
                        cell(layout::time(made)),
                    ))
                };
                html(layout::table(&["Key", "Status", "Made"], keys.iter().map(row).collect()))
            }
        };
        layout::panel("Access keys", inner)
    });
    let mut facts = data.facts.clone();
    if !data.groups.is_empty() {
        facts.push(("Groups", html(data.groups.join(", "))));
    }
    let trust = data.trust.as_ref().map(|text| layout::panel("Who may become it", json(text)));
    let events = link(&url("/requests").with("who", &data.name), "Its requests");
    Page::new(
        IDENTITIES,
        &data.name,
        (
            layout::crumbs(vec![("Identities".into(), url("/identities"))], &data.name),
            layout::title(&data.name, events),
            layout::facts(facts),
            rights_panel(&data.rights),
            trust,
            keys,
        ),
    )
}

pub(crate) async fn policy(visit: &Visit<'_>) -> Told<Page> {
    let arn = visit.get("arn");
    let answer = call(visit, "GetPolicy", &[("PolicyArn", arn)]).await?;
    let gone = || Refusal::new(404, "NoSuchEntity", "There is no such policy.");
    let own = answer.find("Policy").ok_or_else(gone)?;
    let version = own.text("DefaultVersionId");
    let input = [("PolicyArn", arn), ("VersionId", version)];
    let text = call(visit, "GetPolicyVersion", &input).await.map(|answer| {
        answer.find("PolicyVersion").map(|v| document(v.text("Document"))).unwrap_or_default()
    });
    let text: Html = match &text {
        Ok(text) => html(json(text)),
        Err(refusal) => html(layout::refused(refusal)),
    };
    let name = own.text("PolicyName");
    Ok(Page::new(
        IDENTITIES,
        name,
        (
            layout::crumbs(vec![("Identities".into(), url("/identities"))], name),
            layout::title(name, ()),
            layout::facts(vec![
                ("ARN", html(layout::code(arn))),
                ("What it is for", html(own.text("Description"))),
                ("Attached", html((own.text("AttachmentCount"), "×"))),
                ("Changed", html(layout::time(own.text("UpdateDate")))),
            ]),
            layout::panel(("Document ", with("span", "count", version)), text),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_decoded_once() {
        assert_eq!(document("%7B%22a%22%3A%22%253Cb%22%7D"), "{\n  \"a\": \"%3Cb\"\n}");
        let text = r#"{ "Version":"2012-10-17", "Statement":[{"Action":"a\"{,"},[] , { }]}"#;
        let expected = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \
                        \"Action\": \"a\\\"{,\"\n    },\n    [],\n    {}\n  ]\n}";
        assert_eq!(document(text), expected);
        assert_eq!(document("not json"), "not json");
    }
}
