//! Statements: SELECT, INSERT, UPDATE, DELETE, EXISTS.

use super::token::{Kind, Token, tokens};
use super::words::{self, malformed};
use super::{
    Change, Column, Insert, Order, Returning, STATEMENT_BYTES_MAX, Select, Source, Statement,
};
use crate::ast::{Action, Condition, Operand, Path, SetValue, Step, Update};
use crate::{OPERATORS_MAX, Scope};
use bytes::Bytes;
use item::Value;
use std::collections::BTreeSet;

pub(super) type Result<T> = std::result::Result<T, String>;

/// Reads a statement. `parameters` are encoded values, one for each `?`.
pub fn parse(text: &str, parameters: &[Bytes]) -> Result<Statement> {
    if text.len() > STATEMENT_BYTES_MAX {
        return Err(format!(
            "Statement size has exceeded the maximum allowed size; statement size: {}",
            text.len()
        ));
    }
    let tokens = tokens(text).ok_or_else(|| malformed(""))?;
    let mut parser = Parser { text, tokens, at: 0, parameters, used: 0, depth: 0, operators: 0 };
    let statement = parser.statement()?;
    if parser.take(";") && parser.peek().kind != Kind::End {
        return Err(words::SEVERAL_STATEMENTS.into());
    }
    if parser.peek().kind != Kind::End {
        return Err(malformed("Unexpected token after expression"));
    }
    if parser.used != parameters.len() {
        return Err(words::PARAMETERS.into());
    }
    if parser.operators > OPERATORS_MAX {
        return Err(format!(
            "The expression contains too many operators; operator count: {}",
            parser.operators
        ));
    }
    checked(statement)
}

/// Types of operands and overlapping paths, by the rules that expressions have too.
fn checked(mut statement: Statement) -> Result<Statement> {
    let mut scope = Scope::new(None, None)?;
    let condition = match &mut statement {
        Statement::Select(select) | Statement::Exists(select) => &mut select.condition,
        Statement::Change(change) => {
            if let Some(update) = &mut change.update {
                scope.update(update)?;
            }
            &mut change.condition
        }
        Statement::Insert(_) => &mut None,
    };
    if let Some(condition) = condition {
        scope.condition(condition)?;
    }
    Ok(statement)
}

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    parameters: &'a [Bytes],
    used: usize,
    pub(super) depth: usize,
    pub(super) operators: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> &Token<'a> {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, more: usize) -> &Token<'a> {
        &self.tokens[(self.at + more).min(self.tokens.len() - 1)]
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = self.peek().is(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, symbol: &str, words: &str) -> Result<()> {
        if self.take(symbol) { Ok(()) } else { Err(malformed(words)) }
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.take_word(word) { Ok(()) } else { Err(malformed(&format!("Expected {word}"))) }
    }

    /// `line:column:length`, as messages tell where something is.
    pub(super) fn place(&self, token: &Token<'_>) -> String {
        let before = &self.text[..token.start.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let length = self.text[token.start..token.end].chars().count();
        format!("{line}:{column}:{length}")
    }

    /// The parameter of the `?` that was taken.
    pub(super) fn parameter(&mut self) -> Result<Bytes> {
        let value = self.parameters.get(self.used).ok_or(words::PARAMETERS)?;
        self.used += 1;
        Ok(value.clone())
    }

    fn statement(&mut self) -> Result<Statement> {
        let token = self.next();
        if token.kind == Kind::Word {
            match token.text.to_ascii_uppercase().as_str() {
                "SELECT" => return self.select().map(Statement::Select),
                "INSERT" => return self.insert().map(Statement::Insert),
                "UPDATE" => return self.update().map(Statement::Change),
                "DELETE" => return self.delete().map(Statement::Change),
                "FROM" => return self.update_from().map(Statement::Change),
                "EXISTS" if self.take("(") => {
                    self.expect_word("SELECT")?;
                    let select = self.select()?;
                    self.expect(")", "Expected RIGHT_PAREN")?;
                    return Ok(Statement::Exists(select));
                }
                "REPLACE" | "UPSERT" | "CREATE" | "DROP" | "UNDROP" | "WITH" | "EXEC" => {
                    return Err(format!("Unsupported operation: {}", token.text.to_uppercase()));
                }
                _ => {}
            }
        }
        Err(malformed("Expected data manipulation"))
    }

    fn select(&mut self) -> Result<Select> {
        let columns = self.columns()?;
        self.expect_word("FROM")?;
        let source = self.source()?;
        if self.peek().is(",") {
            return Err(words::SEVERAL_SOURCES.into());
        }
        self.no_alias()?;
        let condition = self.where_clause()?;
        let order = self.order()?;
        self.no_further_clause()?;
        Ok(Select { columns, source, condition, order })
    }

    fn columns(&mut self) -> Result<Vec<Column>> {
        for word in ["VALUE", "PIVOT"] {
            if self.peek().is_word(word) && !self.ahead(1).is(",") && !self.ahead(1).is_word("FROM")
            {
                return Err(words::VALUE_OR_PIVOT.into());
            }
        }
        if self.peek().is_word("DISTINCT") && !self.ahead(1).is(",") {
            return Err(format!("Unsupported clause: DISTINCT at {}", self.place(self.peek())));
        }
        let mut columns: Vec<Column> = Vec::new();
        let mut star = false;
        loop {
            if self.take("*") {
                star = true;
            } else {
                let function = self.peek().kind == Kind::Word && self.ahead(1).is("(");
                if function || self.at_value() {
                    let place = self.place(self.peek());
                    return Err(format!("Unexpected path component at {place}"));
                }
                let path = self.path()?;
                let name = column_name(&path);
                if columns.iter().any(|other| other.name == name) {
                    return Err(format!("Duplicate identifiers in select clause: {name}"));
                }
                columns.push(Column { name, path });
            }
            self.no_alias()?;
            if !self.take(",") {
                break;
            }
        }
        if star && !columns.is_empty() {
            return Err(words::STAR_AND_MORE.into());
        }
        Ok(columns)
    }

    /// A name after a column or a source would be another name for it.
    fn no_alias(&self) -> Result<()> {
        const CLAUSES: [&str; 14] = [
            "FROM",
            "WHERE",
            "ORDER",
            "GROUP",
            "HAVING",
            "LIMIT",
            "OFFSET",
            "SET",
            "REMOVE",
            "RETURNING",
            "VALUE",
            "VALUES",
            "ON",
            "UNION",
        ];
        let token = self.peek();
        let clause = CLAUSES.iter().any(|word| token.is_word(word));
        match token.kind {
            Kind::Name => Err(words::ALIAS.into()),
            Kind::Word if !clause => Err(words::ALIAS.into()),
            _ => Ok(()),
        }
    }

    fn no_further_clause(&self) -> Result<()> {
        for clause in ["LIMIT", "OFFSET", "GROUP", "HAVING", "UNION", "INTERSECT", "EXCEPT"] {
            if self.peek().is_word(clause) {
                // The place is that of what the clause is about.
                let about = self.ahead(if self.ahead(1).is_word("BY") { 2 } else { 1 });
                return Err(format!("Unsupported clause: {clause} at {}", self.place(about)));
            }
        }
        Ok(())
    }

    fn source(&mut self) -> Result<Source> {
        let mut parts: Vec<String> = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Name | Kind::Word => parts.push(token.text.into_owned()),
                _ if token.is("(") => return Err("Unexpected from source".into()),
                _ => return Err(malformed("Expected identifier for table name")),
            }
            if self.peek().is("[") {
                return Err(words::LIST_SOURCE.into());
            }
            if !self.take(".") {
                break;
            }
        }
        if parts.len() > 2 {
            return Err(words::DEEP_SOURCE.into());
        }
        if parts.iter().any(String::is_empty) {
            return Err(words::EMPTY_SOURCE.into());
        }
        let index = (parts.len() == 2).then(|| parts.pop()).flatten();
        Ok(Source { table: parts.pop().unwrap_or_default(), index })
    }

    fn where_clause(&mut self) -> Result<Option<Condition>> {
        if !self.take_word("WHERE") {
            return Ok(None);
        }
        self.condition().map(Some)
    }

    fn order(&mut self) -> Result<Vec<Order>> {
        let mut all = Vec::new();
        if !self.take_word("ORDER") {
            return Ok(all);
        }
        self.expect_word("BY")?;
        loop {
            let token = self.next();
            let name = match token.kind {
                Kind::Name | Kind::Word => token.text.into_owned(),
                _ => {
                    let kind = format!("{:?}", token.kind);
                    return Err(format!(
                        "Argument to ORDER BY must be of type VariableReference. Type: {kind}"
                    ));
                }
            };
            if self.peek().is(".") || self.peek().is("[") {
                return Err(
                    "Argument to ORDER BY must be of type VariableReference. Type: Path".into()
                );
            }
            let descending = self.take_word("DESC");
            if !descending {
                self.take_word("ASC");
            }
            all.push(Order { name, descending });
            if !self.take(",") {
                return Ok(all);
            }
        }
    }

    fn insert(&mut self) -> Result<Insert> {
        self.expect_word("INTO")?;
        let source = self.source()?;
        self.no_alias()?;
        if self.take_word("VALUES") || !self.take_word("VALUE") {
            return Err(words::SEVERAL_ITEMS.into());
        }
        let value = match self.peek() {
            token if token.is("{") || token.is("?") => self.value("root", 0)?,
            token if token.is("<<") => return Err(words::SEVERAL_ITEMS.into()),
            _ => return Err(words::NO_STRUCT.into()),
        };
        let item = Value::of(&value).filter(|value| value.kind() == item::Kind::M);
        let entries = item.map(|item| Bytes::copy_from_slice(item.map().bytes()));
        let item = entries.ok_or(words::NO_STRUCT)?;
        if self.peek().is_word("RETURNING") {
            return Err(words::RETURNING_INSERT.into());
        }
        let keeps_old = self.take_word("ON");
        if keeps_old {
            self.expect_word("CONFLICT")?;
            if !(self.take_word("DO") && self.take_word("NOTHING")) {
                return Err(words::CONFLICT.into());
            }
        }
        Ok(Insert { source, item, keeps_old })
    }

    fn delete(&mut self) -> Result<Change> {
        self.expect_word("FROM")?;
        let source = self.source()?;
        self.no_alias()?;
        let condition = self.where_clause()?;
        let returning = self.returning()?;
        if let Some(Returning { all, new }) = returning
            && (new || !all)
        {
            let (all, new) =
                (if all { "ALL" } else { "MODIFIED" }, if new { "NEW" } else { "OLD" });
            return Err(format!(
                "Invalid returning clause: RETURNING {all} {new} *. Only RETURNING ALL OLD * is allowed in DELETE statements."
            ));
        }
        Ok(Change { source, update: None, condition, returning })
    }

    fn update(&mut self) -> Result<Change> {
        let source = self.source()?;
        let update = Some(self.actions()?);
        let condition = self.where_clause()?;
        let returning = self.returning()?;
        Ok(Change { source, update, condition, returning })
    }

    /// `FROM table WHERE … SET …`.
    fn update_from(&mut self) -> Result<Change> {
        let source = self.source()?;
        let condition = self.where_clause()?;
        let update = Some(self.actions()?);
        let returning = self.returning()?;
        Ok(Change { source, update, condition, returning })
    }

    fn actions(&mut self) -> Result<Update> {
        let mut update = Update::default();
        loop {
            if self.take_word("SET") {
                loop {
                    update.actions.push(self.set()?);
                    if !self.take(",") {
                        break;
                    }
                }
            } else if self.take_word("REMOVE") {
                loop {
                    update.actions.push(Action::Remove(self.path()?));
                    if !self.take(",") {
                        break;
                    }
                }
            } else if self.peek().is_word("INSERT") || self.peek().is_word("DELETE") {
                return Err(words::UPDATE_ACTION.into());
            } else if update.actions.is_empty() {
                return Err(malformed("Expected data manipulation"));
            } else {
                return Ok(update);
            }
        }
    }

    /// `path = value`.
    fn set(&mut self) -> Result<Action> {
        if self.at_value() {
            return Err(format!("Unrecognized assignment target: {}", self.peek().text));
        }
        let path = self.path()?;
        self.expect("=", "Expected EQ in assignment")?;
        let token = self.peek().clone();
        if token.kind == Kind::Word && self.ahead(1).is("(") {
            match token.text.to_ascii_lowercase().as_str() {
                "set_add" | "set_delete" => return self.set_function(path, &token),
                _ => {}
            }
        }
        let first = self.set_operand()?;
        let value = if self.take("+") {
            SetValue::Plus(first, self.set_operand()?)
        } else if self.take("-") {
            SetValue::Minus(first, self.set_operand()?)
        } else {
            SetValue::Operand(first)
        };
        for operator in ["*", "/", "%"] {
            if self.peek().is(operator) {
                return Err(format!(
                    "Unsupported operator in Update Expression. Operator: {operator}"
                ));
            }
        }
        Ok(Action::Set(path, value))
    }

    /// `set_add(path, set)`, where the path is the one that is assigned to.
    fn set_function(&mut self, path: Path, function: &Token<'_>) -> Result<Action> {
        let name = function.text.to_ascii_uppercase();
        let place = self.place(function);
        self.next();
        self.next();
        let first = self.peek().clone();
        let mut arguments = Vec::new();
        while !self.peek().is(")") {
            arguments.push(self.set_operand()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")", "Expected RIGHT_PAREN")?;
        let [target, Operand::Value(value)] = arguments.as_slice() else {
            if arguments.len() == 2 {
                return Err(format!(
                    "The second argument to {name} must be a value with type SET at {}",
                    self.place(&first)
                ));
            }
            return Err(format!("{name} must have exactly two arguments at {place}"));
        };
        if *target != Operand::Path(path.clone()) {
            return Err(format!(
                "The first argument to {name} must equal the assignment value at {place}"
            ));
        }
        if !Value::of(value).is_some_and(|value| value.kind().is_set()) {
            return Err(format!(
                "The second argument to {name} must be a value with type SET at {}",
                self.place(&first)
            ));
        }
        let operand = Operand::Value(value.clone());
        Ok(match name.as_str() {
            "SET_ADD" => Action::Add(path, operand),
            _ => Action::Delete(path, operand),
        })
    }

    fn returning(&mut self) -> Result<Option<Returning>> {
        if !self.take_word("RETURNING") {
            return Ok(None);
        }
        let all = self.take_word("ALL");
        if !all && !self.take_word("MODIFIED") {
            return Err(malformed("Expected ALL or MODIFIED in RETURNING clause"));
        }
        let new = self.take_word("NEW");
        if !new && !self.take_word("OLD") {
            return Err(malformed("Expected NEW or OLD in RETURNING clause"));
        }
        if !self.take("*") {
            return Err(words::RETURNING_STAR.into());
        }
        if self.peek().is(",") {
            return Err(words::RETURNING_SEVERAL.into());
        }
        Ok(Some(Returning { all, new }))
    }
}

/// Columns are named after the last attribute of their path, with the indexes behind it.
fn column_name(path: &Path) -> String {
    let mut name = String::new();
    for step in &path.0 {
        match step {
            Step::Name(text) | Step::Alias(text) => name = text.clone(),
            Step::Index(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}

/// Attributes that a statement names, at the heads of their paths.
impl Statement {
    pub fn attributes(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let condition = match self {
            Statement::Select(select) | Statement::Exists(select) => {
                names.extend(select.columns.iter().map(|column| column.path.head()));
                select.condition.as_ref()
            }
            Statement::Insert(insert) => {
                names.extend(item::Map::of(&insert.item).iter().map(|(name, _)| name));
                None
            }
            Statement::Change(change) => {
                if let Some(update) = &change.update {
                    update.each_path(&mut |path| {
                        names.insert(path.head());
                    });
                }
                change.condition.as_ref()
            }
        };
        if let Some(condition) = condition {
            condition.each_path(&mut |path| {
                names.insert(path.head());
            });
        }
        names
    }
}
