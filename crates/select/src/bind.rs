//! The names of a query, held against what the object has.

use crate::ast::*;
use crate::evaluate::Work;
use crate::token::At;
use crate::{Result, SelectError, evaluate};

/// What names may mean.
pub(crate) enum Names<'a> {
    /// Fields by their place alone, `_1` and so on.
    Places,
    /// And by the header.
    Header(&'a [String], &'a Work),
    /// Members of trees.
    Tree,
}

/// `_12` is the eleventh after the first.
fn place(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('_')?;
    let plain = !digits.is_empty() && digits.len() < 10 && !digits.starts_with('0');
    (plain && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

impl Query {
    pub(crate) fn bind(&mut self, names: &Names<'_>) -> Result<()> {
        if !matches!(names, Names::Tree) && !self.from.is_empty() {
            return Err(invalid_path());
        }
        let (alias, no_path) = (self.alias.clone(), self.from.is_empty());
        let mut bind = |path: &mut Path| {
            let table = no_path && path.name.text.eq_ignore_ascii_case("s3object");
            bind_path(path, &alias, table, names)
        };
        if let Columns::Some(columns) = &mut self.columns {
            for column in columns {
                match column {
                    Column::One { expr, .. } => expr.each_path(&mut bind)?,
                    Column::Each(path) => bind_row(path, &alias, no_path, names)?,
                }
            }
        }
        for expr in self.aggregates.iter_mut().filter_map(|a| a.argument.as_mut()) {
            expr.each_path(&mut bind)?;
        }
        self.condition.iter_mut().try_for_each(|expr| expr.each_path(&mut bind))
    }
}

fn invalid_path() -> SelectError {
    SelectError::new("InvalidKeyPath", "Key path in the SQL expression is invalid.")
}

/// `alias.*`: of CSV the row alone has members.
fn bind_row(path: &mut Path, alias: &Name, no_path: bool, names: &Names<'_>) -> Result<()> {
    let table = no_path && path.name.text.eq_ignore_ascii_case("s3object");
    let row = table || path.name.fits(&alias.text);
    match names {
        Names::Tree => bind_path(path, alias, table, names),
        _ if row && path.steps.is_empty() => {
            path.root = Root::Row;
            Ok(())
        }
        _ => Err(alias_unknown()),
    }
}

fn alias_unknown() -> SelectError {
    SelectError::new("InvalidTableAlias", "The SQL expression contains an invalid table alias.")
}

fn bind_path(path: &mut Path, alias: &Name, table: bool, names: &Names<'_>) -> Result<()> {
    if path.steps.iter().any(|step| matches!(step, Step::Elements | Step::Members)) {
        let At { line, column } = path.at;
        let text = format!("Invalid use of * at line {line}, column {column}.");
        return Err(SelectError::new("ParseInvalidContextForWildcardInSelectList", text));
    }
    let row = table || path.name.fits(&alias.text);
    if let Names::Tree = names {
        path.root = if row { Root::Row } else { Root::Member };
        return Ok(());
    }
    // Fields have no parts, so after the row there is one name, and else none.
    let name = match (row, path.steps.as_slice()) {
        (true, [Step::Name(name)]) => name.clone(),
        (true, []) => return Err(invalid_path()),
        (false, []) => path.name.clone(),
        (true, _) => return Err(invalid_path()),
        (false, _) => return Err(alias_unknown()),
    };
    path.root = Root::Field(field(&name, path.at, names)?);
    path.steps.clear();
    Ok(())
}

fn field(name: &Name, at: At, names: &Names<'_>) -> Result<usize> {
    if let Names::Header(header, work) = names {
        work.spend(header.len() as u64)?;
        let mut found = header.iter().enumerate().filter(|(_, own)| name.fits(own));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => return Err(evaluate::ambiguous()),
            (Some((i, _)), None) => return Ok(i),
            (None, _) => {}
        }
    }
    match (place(&name.text), names) {
        (Some(place), _) => Ok(place - 1),
        (None, Names::Header(..)) => {
            let text = "Some headers in the query are missing from the file. Please check the file and try again.";
            Err(SelectError::new("MissingHeaders", text))
        }
        (None, _) => {
            let At { line, column } = at;
            let text = format!(
                "The column index at line {line}, column {column} is invalid. Please check the service documentation and try again."
            );
            Err(SelectError::new("InvalidColumnIndex", text))
        }
    }
}
