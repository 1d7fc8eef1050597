//! Names of the model in Rust's spelling.

const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "union",
];

/// `SSECustomerKeyMD5` becomes `sse_customer_key_md5`.
pub fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            if !out.ends_with('_') && !out.is_empty() {
                out.push('_');
            }
            continue;
        }
        let after_lower = i > 0 && chars[i - 1].is_ascii_lowercase();
        let before_lower = chars.get(i + 1).is_some_and(|n| n.is_ascii_lowercase());
        let plural = chars.get(i + 1) == Some(&'s')
            && chars.get(i + 2).is_none_or(|n| !n.is_ascii_lowercase());
        let after_upper =
            i > 0 && (chars[i - 1].is_ascii_uppercase() || chars[i - 1].is_ascii_digit());
        let starts =
            c.is_ascii_uppercase() && (after_lower || (after_upper && before_lower && !plural));
        if starts && !out.ends_with('_') {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// A field or function name.
pub fn field(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "self" | "super" | "crate" => format!("{name}_"),
        n if KEYWORDS.contains(&n) => format!("r#{n}"),
        _ => name,
    }
}

/// A type or variant name.
pub fn type_name(name: &str) -> String {
    let mut out: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if let Some(first) = out.get(..1) {
        let first = first.to_ascii_uppercase();
        out.replace_range(..1, &first);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if out == "Self" { "Self_".into() } else { out }
}

/// The name of a static.
pub fn constant(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// A string literal.
pub fn literal(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling() {
        let cases = [
            ("SSECustomerKeyMD5", "sse_customer_key_md5"),
            ("CreateBucket", "create_bucket"),
            ("ETag", "e_tag"),
            ("KMSMasterKeyID", "kms_master_key_id"),
            ("VersionIdMarker", "version_id_marker"),
            ("ChecksumCRC32C", "checksum_crc32c"),
            ("ListObjectsV2", "list_objects_v2"),
            ("CacheClusterARNs", "cache_cluster_arns"),
            ("x-amz-id", "x_amz_id"),
            ("AWSAccountId", "aws_account_id"),
        ];
        for (name, expected) in cases {
            assert_eq!(snake(name), expected, "{name}");
        }
        assert_eq!(field("Type"), "r#type");
        assert_eq!(type_name("tagKey"), "TagKey");
    }
}
