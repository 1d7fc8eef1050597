//! Who `--user` means: names are looked up in the container's own `/etc/passwd` and `/etc/group`.

/// Numbers to run as, and where home is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

/// `user` is empty, a name or number, or two of them joined by a colon.
pub fn resolve(
    user: &str,
    additional: &[String],
    passwd: &str,
    group: &str,
) -> Result<User, String> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let entry = lines(passwd).find(|entry| entry[0] == name).or_else(|| {
        let number = name.parse::<u32>().ok()?;
        lines(passwd).find(|e| e.get(2).and_then(|uid| uid.parse().ok()) == Some(number))
    });
    let uid = match &entry {
        Some(entry) => entry.get(2).and_then(|uid| uid.parse().ok()),
        None => number(name),
    };
    let Some(uid) = uid else {
        return Err(format!("unable to find user {name}: no matching entries in passwd file"));
    };
    let login = entry.as_ref().map(|entry| entry[0].to_owned());
    let mut groups = Vec::new();
    let gid = match group_name.filter(|name| !name.is_empty()) {
        Some(name) => group_number(name, group)?,
        None => {
            if let Some(login) = &login {
                groups.extend(groups_of(login, group));
            }
            entry.as_ref().and_then(|e| e.get(3)?.parse().ok()).unwrap_or(0)
        }
    };
    for name in additional {
        groups.push(group_number(name, group)?);
    }
    groups.sort_unstable();
    groups.dedup();
    let home = entry.and_then(|e| e.get(5).map(|home| (*home).to_owned()));
    let home = home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned());
    Ok(User { uid, gid, groups, home })
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| *n <= i32::MAX as u32)
}

fn lines(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().split(':').collect())
}

fn group_number(name: &str, group: &str) -> Result<u32, String> {
    let named = lines(group).find(|entry| entry[0] == name);
    match named.and_then(|entry| entry.get(2)?.parse().ok()).or_else(|| number(name)) {
        Some(gid) => Ok(gid),
        None => Err(format!("unable to find group {name}: no matching entries in group file")),
    }
}

fn groups_of(login: &str, group: &str) -> Vec<u32> {
    lines(group)
        .filter(|entry| entry.get(3).is_some_and(|list| list.split(',').any(|one| one == login)))
        .filter_map(|entry| entry.get(2)?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\nbad\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nstaff:x:50:web,other\nlogs:x:51:web\n";

    #[track_caller]
    fn check(user: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let found = resolve(user, &[], PASSWD, GROUP).unwrap();
        let expected = User { uid, gid, groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(found, expected, "{user}");
    }

    #[test]
    fn names_and_numbers() {
        check("", 0, 0, &[], "/root");
        check("web", 33, 34, &[50, 51], "/var/www");
        check("33", 33, 34, &[50, 51], "/var/www");
        check("1000", 1000, 0, &[], "/");
        check("web:staff", 33, 50, &[], "/var/www");
        check("1000:1000", 1000, 1000, &[], "/");
        check("web:", 33, 34, &[50, 51], "/var/www");
    }

    #[test]
    fn strangers() {
        let error = |user: &str| resolve(user, &[], PASSWD, GROUP).unwrap_err();
        assert_eq!(
            error("nobody"),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert!(error("web:nogroup").contains("unable to find group nogroup"));
        assert!(error("4294967295").contains("unable to find user"));
        assert!(error("-1").contains("unable to find user"));
        let more = resolve("web", &["logs".into(), "77".into()], PASSWD, GROUP).unwrap();
        assert_eq!(more.groups, [50, 51, 77]);
    }
}
