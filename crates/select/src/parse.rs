//! Tokens as a query.
//!
//! What is read has bounds of its own: brackets nest only so deep, and so do the operators of an expression, so that
//! neither reading nor evaluating can run out of stack.

mod calls;

use crate::ast::*;
use crate::decimal::Decimal;
use crate::time::Time;
use crate::token::{At, Kind, Token, tokens};
use crate::value::Value;
use crate::{EXPRESSION_BYTES_MAX, Result, SelectError};

/// Brackets within brackets.
const NESTING_MAX: usize = 64;
/// Operators above each other.
const HEIGHT_MAX: usize = 96;

struct Parser {
    tokens: Vec<Token>,
    place: usize,
    nesting: usize,
    aggregates: Vec<Aggregate>,
    /// Whether an aggregate may stand here.
    aggregating: bool,
}

/// An expression, and how many operators stand above each other in it.
type Tall = (Expr, usize);

impl Query {
    pub fn parse(text: &str) -> Result<Query> {
        if text.len() > EXPRESSION_BYTES_MAX {
            let text = "The SQL expression is too long: The maximum byte-length for the SQL expression is 256 KB.";
            return Err(SelectError::new("ExpressionTooLong", text));
        }
        let tokens = tokens(text)?;
        let mut parser =
            Parser { tokens, place: 0, nesting: 0, aggregates: Vec::new(), aggregating: false };
        parser.query()
    }
}

fn too_complex() -> SelectError {
    let text = "Failed to parse SQL expression, try reducing complexity. For example, reduce number of operators used.";
    SelectError::new("MaxOperatorsExceeded", text)
}

fn structure() -> SelectError {
    let text = "Encountered an unsupported SQL structure. Check the SQL Reference.";
    SelectError::new("UnsupportedSqlStructure", text)
}

fn failed(code: &'static str, what: &str, at: At) -> SelectError {
    let At { line, column } = at;
    SelectError::new(code, format!("{what} at line {line}, column {column}."))
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.place.min(self.tokens.len() - 1)]
    }

    fn peek_second(&self) -> &Token {
        &self.tokens[(self.place + 1).min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.place += 1;
        token
    }

    fn at(&self) -> At {
        self.peek().at
    }

    fn skip(&mut self, symbol: &str) -> bool {
        let is = self.peek().is(symbol);
        self.place += usize::from(is);
        is
    }

    fn skip_keyword(&mut self, word: &str) -> bool {
        let is = self.peek().is_keyword(word);
        self.place += usize::from(is);
        is
    }

    fn unexpected(&self) -> SelectError {
        let token = self.peek();
        let text = format!("Unexpected token found {}", token.shown());
        failed("ParseUnexpectedToken", &text, token.at)
    }

    fn expect(&mut self, symbol: &str, code: &'static str, what: &str) -> Result<()> {
        if self.skip(symbol) { Ok(()) } else { Err(failed(code, what, self.at())) }
    }

    fn expect_keyword(&mut self, word: &str) -> Result<()> {
        if self.skip_keyword(word) {
            return Ok(());
        }
        let text = format!("Expected keyword {}", word.to_ascii_uppercase());
        Err(failed("ParseExpectedKeyword", &text, self.at()))
    }

    fn over(below: &[usize]) -> Result<usize> {
        let height = below.iter().max().copied().unwrap_or_default() + 1;
        if height > HEIGHT_MAX { Err(too_complex()) } else { Ok(height) }
    }

    fn query(&mut self) -> Result<Query> {
        self.expect_keyword("select")?;
        let columns = self.columns()?;
        if !self.skip_keyword("from") {
            return Err(failed(
                "ParseSelectMissingFrom",
                "Missing FROM after SELECT list",
                self.at(),
            ));
        }
        let (from, alias) = self.from()?;
        let condition = match self.skip_keyword("where") {
            true => Some(self.expression(0)?.0),
            false => None,
        };
        let limit = match self.skip_keyword("limit") {
            true => Some(self.limit()?),
            false => None,
        };
        self.skip(";");
        let end = self.peek();
        match (end.kind, end.text.as_str()) {
            (Kind::End, _) => {}
            (Kind::Keyword, "group") => {
                let what = "GROUP BY is not supported";
                return Err(failed("ParseUnsupportedLiteralsGroupBy", what, end.at));
            }
            _ => return Err(self.unexpected()),
        }
        let aggregates = std::mem::take(&mut self.aggregates);
        let mut query = Query { columns, from, alias, condition, limit, aggregates };
        let all = matches!(query.columns, Columns::All);
        if !query.aggregates.is_empty() && (all || query.mixes()) {
            return Err(structure());
        }
        Ok(query)
    }

    fn columns(&mut self) -> Result<Columns> {
        if self.peek().is_keyword("distinct") || self.peek().is_keyword("all") {
            return Err(failed("ParseUnsupportedSelect", "Unsupported SELECT", self.at()));
        }
        if self.peek().is_keyword("from") {
            return Err(failed("ParseEmptySelect", "Found empty SELECT list", self.at()));
        }
        let mut columns = Vec::new();
        let (mut star, at) = (false, self.at());
        loop {
            if self.skip("*") {
                star = true;
                columns.push(None);
            } else {
                let column = self.column(columns.len() + 1)?;
                columns.push(Some(column));
            }
            if !self.skip(",") {
                break;
            }
        }
        match (star, columns.len()) {
            (true, 1) => Ok(Columns::All),
            (true, _) => {
                let what = "Other expressions are not allowed in the SELECT list when '*' is used without dot notation";
                Err(failed("ParseAsteriskIsNotAloneInSelectList", what, at))
            }
            (false, _) => Ok(Columns::Some(columns.into_iter().flatten().collect())),
        }
    }

    fn column(&mut self, place: usize) -> Result<Column> {
        self.aggregating = true;
        let expr = self.expression(0);
        self.aggregating = false;
        let (expr, _) = expr?;
        let alias = self.alias()?;
        if let Expr::Path(path) = &expr
            && let Some((Step::Members, before)) = path.steps.split_last()
        {
            let wild = before.iter().any(|s| matches!(s, Step::Members | Step::Elements));
            if wild || alias.is_some() {
                let what = "Invalid use of * in SELECT list";
                return Err(failed("ParseInvalidContextForWildcardInSelectList", what, path.at));
            }
            return Ok(Column::Each(Path { steps: before.to_vec(), ..path.clone() }));
        }
        let name = match (alias, &expr) {
            (Some(alias), _) => alias.text,
            (None, Expr::Path(path)) => match path.steps.last() {
                None => path.name.text.clone(),
                Some(Step::Name(name)) => name.text.clone(),
                Some(_) => format!("_{place}"),
            },
            _ => format!("_{place}"),
        };
        Ok(Column::One { name, expr })
    }

    /// `AS name`, or the name alone.
    fn alias(&mut self) -> Result<Option<Name>> {
        let said = self.skip_keyword("as");
        let token = self.peek();
        let name = match token.kind {
            Kind::Identifier | Kind::Quoted => {
                Name { text: token.text.clone(), quoted: token.kind == Kind::Quoted }
            }
            _ if said => {
                let what = "Expected identifier for alias";
                return Err(failed("ParseExpectedIdentForAlias", what, token.at));
            }
            _ => return Ok(None),
        };
        self.place += 1;
        Ok(Some(name))
    }

    fn from(&mut self) -> Result<(Vec<Step>, Name)> {
        let table = self.take();
        let known = match table.kind {
            Kind::Identifier => table.text.eq_ignore_ascii_case("s3object"),
            Kind::Quoted => table.text == "S3Object",
            _ => {
                self.place -= 1;
                return Err(self.unexpected());
            }
        };
        if !known {
            let text = "A column name or a path provided does not exist in the SQL expression.";
            return Err(SelectError::new("EvaluatorBindingDoesNotExist", text));
        }
        let mut steps = self.steps()?;
        match steps.first() {
            Some(Step::Elements) => drop(steps.remove(0)),
            Some(_) => {
                let text = "Key path in the SQL expression is invalid.";
                return Err(SelectError::new("InvalidKeyPath", text));
            }
            None => {}
        }
        let alias = self.alias()?;
        if self.peek().is_keyword("at") {
            return Err(failed("ParseUnsupportedSyntax", "Unsupported syntax", self.at()));
        }
        if self.peek().is(",") {
            let text = "Multiple data sources are not supported.";
            return Err(SelectError::new("MultipleDataSourcesUnsupported", text));
        }
        if ["join", "inner", "left", "right", "full", "cross"]
            .iter()
            .any(|w| self.peek().is_keyword(w))
        {
            return Err(failed("ParseMalformedJoin", "JOIN is not supported", self.at()));
        }
        let alias = alias.unwrap_or_else(|| match steps.last() {
            Some(Step::Name(name)) => name.clone(),
            // A row that ends in a wildcard goes by `_1` alone.
            Some(_) => Name { text: "_1".into(), quoted: false },
            None => Name { text: "S3Object".into(), quoted: false },
        });
        Ok((steps, alias))
    }

    fn limit(&mut self) -> Result<u64> {
        let negative = self.skip("-");
        let token = self.take();
        let number = (token.kind == Kind::Number).then(|| token.text.parse::<u64>().ok()).flatten();
        match number {
            Some(0) => Ok(0),
            Some(_) if negative => {
                Err(SelectError::new("EvaluatorNegativeLimit", "LIMIT must not be negative."))
            }
            Some(number) => Ok(number),
            None => Err(failed("ParseExpectedNumber", "Expected number", token.at)),
        }
    }

    /// What follows a name: `.name`, `[0]`, `['name']`, `.*`, `[*]`.
    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.skip(".") {
                let token = self.take();
                steps.push(match token.kind {
                    Kind::Identifier => Step::Name(Name { text: token.text, quoted: false }),
                    Kind::Quoted => Step::Name(Name { text: token.text, quoted: true }),
                    Kind::Symbol if token.text == "*" => Step::Members,
                    _ => return Err(path_component(&token)),
                });
            } else if self.skip("[") {
                let token = self.take();
                steps.push(match token.kind {
                    Kind::Literal => Step::Name(Name { text: token.text, quoted: true }),
                    Kind::Symbol if token.text == "*" => Step::Elements,
                    Kind::Number => match token.text.parse() {
                        Ok(index) => Step::Index(index),
                        Err(_) => return Err(path_component(&token)),
                    },
                    _ => return Err(path_component(&token)),
                });
                self.expect("]", "ParseExpectedTokenType", "Expected token RIGHT_BRACKET")?;
            } else {
                return Ok(steps);
            }
            if steps.len() > NESTING_MAX {
                return Err(too_complex());
            }
        }
    }

    /// What binds at least so tightly: `OR` 0, `AND` 1, `NOT` 2, comparisons 3, sums 4, products 5.
    fn expression(&mut self, tightness: u8) -> Result<Tall> {
        if self.nesting >= NESTING_MAX {
            return Err(too_complex());
        }
        self.nesting += 1;
        let result = self.operators(tightness);
        self.nesting -= 1;
        result
    }

    fn operators(&mut self, tightness: u8) -> Result<Tall> {
        let mut left = match self.skip_keyword("not") {
            true => {
                let (expr, height) = self.expression(2)?;
                (Expr::Not(Box::new(expr)), Parser::over(&[height])?)
            }
            false => self.unary()?,
        };
        loop {
            let token = self.peek();
            let (binds, symbol) = match (token.kind, token.text.as_str()) {
                (Kind::Keyword, "or") => (0, "or"),
                (Kind::Keyword, "and") => (1, "and"),
                (Kind::Keyword, "is" | "like" | "between" | "in" | "not") => (3, "predicate"),
                (Kind::Symbol, "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=") => (3, "comparison"),
                (Kind::Symbol, "+" | "-" | "||") => (4, "operator"),
                (Kind::Symbol, "*" | "/" | "%") => (5, "operator"),
                _ => return Ok(left),
            };
            if binds < tightness {
                return Ok(left);
            }
            left = match symbol {
                "or" | "and" => self.logical(left, symbol == "and")?,
                "predicate" => self.predicate(left)?,
                _ => self.binary(left, binds + 1)?,
            };
        }
    }

    /// All of a chain at once, however long it is.
    fn logical(&mut self, first: Tall, and: bool) -> Result<Tall> {
        let (mut all, mut height) = (vec![first.0], first.1);
        while self.skip_keyword(if and { "and" } else { "or" }) {
            let (next, own) = self.expression(if and { 2 } else { 1 })?;
            all.push(next);
            height = height.max(own);
        }
        Ok((if and { Expr::And(all) } else { Expr::Or(all) }, Parser::over(&[height])?))
    }

    fn binary(&mut self, left: Tall, tightness: u8) -> Result<Tall> {
        let token = self.take();
        let right = self.expression(tightness)?;
        let height = Parser::over(&[left.1, right.1])?;
        let (a, b) = (Box::new(left.0), Box::new(right.0));
        Ok((
            match token.text.as_str() {
                "+" => Expr::Binary(Operator::Add, a, b),
                "-" => Expr::Binary(Operator::Subtract, a, b),
                "*" => Expr::Binary(Operator::Multiply, a, b),
                "/" => Expr::Binary(Operator::Divide, a, b),
                "%" => Expr::Binary(Operator::Modulo, a, b),
                "||" => Expr::Binary(Operator::Concatenate, a, b),
                "=" => Expr::Compare(Comparison::Equal, a, b),
                "<" => Expr::Compare(Comparison::Less, a, b),
                "<=" => Expr::Compare(Comparison::LessOrEqual, a, b),
                ">" => Expr::Compare(Comparison::Greater, a, b),
                ">=" => Expr::Compare(Comparison::GreaterOrEqual, a, b),
                _ => Expr::Compare(Comparison::NotEqual, a, b),
            },
            height,
        ))
    }

    fn predicate(&mut self, left: Tall) -> Result<Tall> {
        if self.skip_keyword("is") {
            return self.is(left);
        }
        let negated = self.skip_keyword("not");
        let (value, mut height) = (Box::new(left.0), left.1);
        let mut operand = |parser: &mut Parser, tightness| -> Result<Expr> {
            let (expr, own) = parser.expression(tightness)?;
            height = height.max(own);
            Ok(expr)
        };
        let expr = if self.skip_keyword("like") {
            let pattern = Box::new(operand(self, 4)?);
            let escape = match self.skip_keyword("escape") {
                true => Some(Box::new(operand(self, 4)?)),
                false => None,
            };
            Expr::Like { negated, value, pattern, escape }
        } else if self.skip_keyword("between") {
            let low = Box::new(operand(self, 4)?);
            self.expect_keyword("and")?;
            let high = Box::new(operand(self, 4)?);
            Expr::Between { negated, value, low, high }
        } else if self.skip_keyword("in") {
            let what = "Expected left parenthesis";
            self.expect("(", "ParseExpectedLeftParenValueConstructor", what)?;
            let mut list = Vec::new();
            loop {
                list.push(operand(self, 0)?);
                if !self.skip(",") {
                    break;
                }
            }
            self.expect(")", "ParseExpectedTokenType", "Expected token RIGHT_PAREN")?;
            Expr::In { negated, value, list }
        } else {
            return Err(self.unexpected());
        };
        Ok((expr, Parser::over(&[height])?))
    }

    fn is(&mut self, (value, height): Tall) -> Result<Tall> {
        let height = Parser::over(&[height])?;
        let value = Box::new(value);
        let negated = self.skip_keyword("not");
        if self.skip_keyword("null") || self.skip_keyword("unknown") {
            return Ok((Expr::IsNull { negated, value }, height));
        }
        if self.skip_keyword("missing") {
            return Ok((Expr::IsMissing { negated, value }, height));
        }
        Err(self.unexpected())
    }

    fn unary(&mut self) -> Result<Tall> {
        if self.skip("+") {
            return self.expression(6);
        }
        if !self.skip("-") {
            return self.primary();
        }
        let (expr, height) = self.expression(6)?;
        let expr = match expr {
            Expr::Literal(Value::Int(n)) if n >= 0 => Expr::Literal(Value::Int(-n)),
            Expr::Literal(Value::Decimal(n)) => Expr::Literal(Value::Decimal(n.negated())),
            other => Expr::Negate(Box::new(other)),
        };
        Ok((expr, Parser::over(&[height])?))
    }

    fn primary(&mut self) -> Result<Tall> {
        let token = self.peek().clone();
        match token.kind {
            Kind::Literal => {
                self.place += 1;
                Ok((Expr::Literal(Value::Text(token.text)), 1))
            }
            Kind::Number => {
                self.place += 1;
                Ok((Expr::Literal(number(&token)?), 1))
            }
            Kind::Ion => {
                self.place += 1;
                Ok((Expr::Literal(ion(&token)?), 1))
            }
            Kind::Symbol if token.text == "(" => {
                self.place += 1;
                let inner = self.expression(0)?;
                self.expect(")", "ParseExpectedTokenType", "Expected token RIGHT_PAREN")?;
                Ok(inner)
            }
            Kind::Identifier if self.peek_second().is("(") => {
                let word = token.text.to_ascii_lowercase();
                self.place += 1;
                self.function(&word, token.at)
            }
            Kind::Identifier | Kind::Quoted => {
                self.place += 1;
                let name = Name { text: token.text, quoted: token.kind == Kind::Quoted };
                let steps = self.steps()?;
                Ok((Expr::Path(Path { name, steps, root: Root::Unbound, at: token.at }), 1))
            }
            Kind::Keyword => self.keyword(&token),
            Kind::End => Err(failed("ParseExpectedExpression", "Expected expression", token.at)),
            Kind::Symbol => Err(self.unexpected()),
        }
    }

    fn keyword(&mut self, token: &Token) -> Result<Tall> {
        let literal = match token.text.as_str() {
            "null" => Value::Null,
            "missing" => Value::Missing,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "case" => {
                self.place += 1;
                return self.case(token.at);
            }
            "cast" => {
                self.place += 1;
                return self.cast();
            }
            word if self.peek_second().is("(") => {
                self.place += 1;
                return self.function(word, token.at);
            }
            _ => return Err(self.unexpected()),
        };
        self.place += 1;
        Ok((Expr::Literal(literal), 1))
    }

    fn case(&mut self, at: At) -> Result<Tall> {
        let mut heights = vec![0];
        let mut operand = None;
        if !self.peek().is_keyword("when") {
            let (expr, height) = self.expression(0)?;
            heights.push(height);
            operand = Some(Box::new(expr));
        }
        let mut whens = Vec::new();
        while self.skip_keyword("when") {
            let (when, own) = self.expression(0)?;
            self.expect_keyword("then")?;
            let (then, other) = self.expression(0)?;
            heights.extend([own, other]);
            whens.push((when, then));
        }
        if whens.is_empty() {
            return Err(failed("ParseExpectedWhenClause", "Expected WHEN clause in CASE", at));
        }
        let mut otherwise = None;
        if self.skip_keyword("else") {
            let (expr, height) = self.expression(0)?;
            heights.push(height);
            otherwise = Some(Box::new(expr));
        }
        self.expect_keyword("end")?;
        Ok((Expr::Case { operand, whens, otherwise }, Parser::over(&heights)?))
    }
}

fn path_component(token: &Token) -> SelectError {
    let what = format!(
        "Invalid Path component, expecting either an IDENTIFIER or STAR, got: {}",
        token.shown()
    );
    failed("ParseInvalidPathComponent", &what, token.at)
}

fn number(token: &Token) -> Result<Value> {
    let whole = token.text.bytes().all(|b| b.is_ascii_digit());
    let value = match whole {
        true => token.text.parse().ok().map(Value::Int),
        false => Decimal::parse(&token.text).map(Value::Decimal),
    };
    value.ok_or_else(|| {
        let text =
            "Error parsing a number. This can be caused by underflow or overflow of integers.";
        SelectError::new("NumberFormatError", text)
    })
}

/// Of Ion's literals the scalars.
fn ion(token: &Token) -> Result<Value> {
    let text = token.text.trim();
    let value = match text {
        "null" => Some(Value::Null),
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        text => {
            let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match quoted.filter(|inner| !inner.contains(['"', '\\'])) {
                Some(inner) => Some(Value::Text(inner.to_owned())),
                None => Time::parse(text).map(Value::Time).or_else(|| crate::value::number(text)),
            }
        }
    };
    value.ok_or_else(|| failed("LexerInvalidIONLiteral", "Invalid ION literal", token.at))
}
