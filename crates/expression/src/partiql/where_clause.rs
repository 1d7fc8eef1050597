//! Conditions, operands and paths.

use super::parse::{Parser, Result};
use super::token::Kind;
use super::words::{self, malformed};
use crate::ast::{Call, Comparator, Condition, Function, Operand, Path, Step};
use crate::joined::{Joins, Term, deeper, joined};
use item::string;

const INDEX_MAX: u32 = 99_999;

fn condition_of(term: Term, words: &str) -> Result<Condition> {
    match term {
        Term::Condition(condition) => Ok(condition),
        Term::Operand(_) => Err(words.into()),
    }
}

fn negated(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        other => Condition::Not(Box::new(other)),
    }
}

impl Joins for Parser<'_> {
    fn take_joint(&mut self, word: &str) -> bool {
        let found = self.take_word(word);
        self.operators += usize::from(found);
        found
    }

    fn part(&mut self, term: Term) -> Result<Condition> {
        condition_of(term, words::AND_OR_OPERAND)
    }
}

impl Parser<'_> {
    pub(super) fn condition(&mut self) -> Result<Condition> {
        let term = self.or()?;
        condition_of(term, words::NOT_BOOLEAN)
    }

    fn or(&mut self) -> Result<Term> {
        joined(self, "OR", Parser::and, Condition::Or)
    }

    fn and(&mut self) -> Result<Term> {
        joined(self, "AND", Parser::not, Condition::And)
    }

    fn not(&mut self) -> Result<Term> {
        let mut count = 0;
        while self.take_word("NOT") {
            count += 1;
        }
        self.operators += count;
        let inner = self.comparison()?;
        if count == 0 {
            return Ok(inner);
        }
        let inner = condition_of(inner, words::NOT_OPERAND)?;
        Ok(Term::Condition(if count % 2 == 0 { inner } else { negated(inner) }))
    }

    fn comparison(&mut self) -> Result<Term> {
        let left = self.primary()?;
        if let Some(comparator) = self.comparator() {
            self.operators += 1;
            let right = self.primary()?;
            return compared(comparator, left, right).map(Term::Condition);
        }
        let token = self.peek();
        let not = token.is_word("NOT");
        let word = if not { self.ahead(1) } else { token };
        let known = ["BETWEEN", "IN", "LIKE"].into_iter().find(|known| word.is_word(known));
        if let Some(word) = known {
            self.at_word(not);
            self.operators += 1;
            let condition = match word {
                "BETWEEN" => self.between(left)?,
                "IN" => self.within(left)?,
                _ => {
                    return Err(
                        "Unsupported operator in Condition Expression. Operator: LIKE".into()
                    );
                }
            };
            return Ok(Term::Condition(if not { negated(condition) } else { condition }));
        }
        if self.take_word("IS") {
            self.operators += 1;
            let not = self.take_word("NOT");
            let condition = self.kind_test(left)?;
            return Ok(Term::Condition(if not { negated(condition) } else { condition }));
        }
        for operator in ["+", "-", "*", "/", "%"] {
            if self.peek().is(operator) {
                return Err(format!(
                    "Unsupported operator in Condition Expression. Operator: {operator}"
                ));
            }
        }
        Ok(left)
    }

    /// Passes over an operator that may have NOT before it.
    fn at_word(&mut self, not: bool) {
        (0..=usize::from(not)).for_each(|_| {
            self.next();
        });
    }

    fn comparator(&mut self) -> Option<Comparator> {
        const ALL: [(&str, Comparator); 7] = [
            ("=", Comparator::Eq),
            ("<>", Comparator::Ne),
            ("!=", Comparator::Ne),
            ("<", Comparator::Lt),
            ("<=", Comparator::Le),
            (">", Comparator::Gt),
            (">=", Comparator::Ge),
        ];
        let (_, comparator) = ALL.into_iter().find(|(symbol, _)| self.peek().is(symbol))?;
        self.next();
        Some(comparator)
    }

    fn operand(&mut self) -> Result<Operand> {
        match self.primary()? {
            Term::Operand(operand) => Ok(operand),
            Term::Condition(_) => Err(malformed("Unexpected expression")),
        }
    }

    fn between(&mut self, left: Term) -> Result<Condition> {
        let Term::Operand(left) = left else { return Err(malformed("Unexpected expression")) };
        let low = self.operand()?;
        if !self.take_word("AND") {
            return Err(malformed("Expected AND after BETWEEN"));
        }
        let high = self.operand()?;
        Ok(Condition::Between(left, low, high))
    }

    fn within(&mut self, left: Term) -> Result<Condition> {
        let Term::Operand(left @ Operand::Path(_)) = left else { return Err(words::BAD_IN.into()) };
        let token = self.next();
        let (end, expected) = match &*token.text {
            "[" => ("]", "Expected RIGHT_BRACKET"),
            "(" => (")", "Expected RIGHT_PAREN"),
            "<<" => (">>", "Expected DOUBLE_RIGHT_ANGLE"),
            _ => return Err(words::BAD_IN.into()),
        };
        if token.kind != Kind::Symbol {
            return Err(words::BAD_IN.into());
        }
        let all = self.values("root", 0, end, expected)?;
        if all.is_empty() {
            return Err(words::BAD_IN.into());
        }
        if all.len() > 100 {
            return Err(format!(
                "Incorrect number of operands for operator or function; operator or function: IN, number of operands: {}",
                all.len() + 1
            ));
        }
        Ok(Condition::In(left, all.into_iter().map(Operand::Value).collect()))
    }

    /// What stands behind IS.
    fn kind_test(&mut self, left: Term) -> Result<Condition> {
        let Term::Operand(left) = left else { return Err(words::BAD_IS.into()) };
        let token = self.next();
        let kind = match token.text.to_ascii_uppercase().as_str() {
            _ if token.kind != Kind::Word => return Err(malformed("Expected type name")),
            "MISSING" => {
                let function = Function::AttributeNotExists;
                return Ok(Condition::Call(Call { function, operands: vec![left] }));
            }
            "NULL" => "NULL",
            "BOOL" | "BOOLEAN" => "BOOL",
            "BLOB" => "B",
            "STRING" => "S",
            "NUMERIC" => "N",
            "STRUCT" | "TUPLE" => "M",
            "LIST" => "L",
            other => {
                return Err(format!(
                    "Unsupported data type for IS operator: {other}. Supported data types are [MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]"
                ));
            }
        };
        let operands = vec![left, Operand::Value(string(kind).into())];
        Ok(Condition::Call(Call { function: Function::AttributeType, operands }))
    }

    fn primary(&mut self) -> Result<Term> {
        if self.take("(") {
            deeper(&mut self.depth)?;
            let inner = self.or()?;
            self.depth -= 1;
            self.expect(")", "Expected RIGHT_PAREN")?;
            return Ok(inner);
        }
        if self.at_value() {
            return Ok(Term::Operand(Operand::Value(self.value("root", 0)?)));
        }
        let token = self.peek();
        if token.is_word("MISSING") && !self.ahead(1).is(".") {
            return Err(words::BARE_MISSING.into());
        }
        if token.kind == Kind::Word && self.ahead(1).is("(") {
            return self.function();
        }
        self.path().map(|path| Term::Operand(Operand::Path(path)))
    }

    fn function(&mut self) -> Result<Term> {
        let token = self.next();
        let name = token.text.to_ascii_lowercase();
        let found = Function::by_name(&name).filter(|function| !function.is_for_updates());
        let Some(function) = found else {
            if name == "exists" && self.ahead(1).is_word("SELECT") {
                return Err("EXISTS can only be used in ExecuteTransaction write requests.".into());
            }
            return Err(format!("Unrecognized function: {name} at {}", self.place(&token)));
        };
        deeper(&mut self.depth)?;
        let operands = self.arguments()?;
        self.depth -= 1;
        let call = Call { function, operands };
        Ok(match function {
            Function::Size => Term::Operand(Operand::Call(Box::new(call))),
            _ => Term::Condition(Condition::Call(call)),
        })
    }

    fn arguments(&mut self) -> Result<Vec<Operand>> {
        self.next();
        self.operators += 1;
        let mut all = Vec::new();
        if self.take(")") {
            return Ok(all);
        }
        loop {
            all.push(self.operand()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")", "Expected RIGHT_PAREN")?;
        Ok(all)
    }

    /// What an assignment may have on its right.
    pub(super) fn set_operand(&mut self) -> Result<Operand> {
        if self.at_value() {
            return self.value("root", 0).map(Operand::Value);
        }
        let token = self.peek().clone();
        if token.kind != Kind::Word || !self.ahead(1).is("(") {
            return self.path().map(Operand::Path);
        }
        let name = token.text.to_ascii_lowercase();
        let found = Function::by_name(&name).filter(|function| function.is_for_updates());
        let Some(function) = found else {
            return Err(format!("Unrecognized function: {name} at {}", self.place(&token)));
        };
        self.next();
        self.next();
        deeper(&mut self.depth)?;
        let mut operands = Vec::new();
        while !self.peek().is(")") {
            operands.push(self.set_operand()?);
            if !self.take(",") {
                break;
            }
        }
        self.depth -= 1;
        self.expect(")", "Expected RIGHT_PAREN")?;
        Ok(Operand::Call(Box::new(Call { function, operands })))
    }

    pub(super) fn path(&mut self) -> Result<Path> {
        const NOT_NAMES: [&str; 19] = [
            "SELECT",
            "FROM",
            "WHERE",
            "AND",
            "OR",
            "NOT",
            "IN",
            "IS",
            "BETWEEN",
            "SET",
            "REMOVE",
            "INSERT",
            "UPDATE",
            "DELETE",
            "ORDER",
            "BY",
            "RETURNING",
            "INNER",
            "AS",
        ];
        let mut steps = Vec::new();
        let name = |parser: &mut Self, words: &str| {
            let token = parser.next();
            let keyword = NOT_NAMES.iter().any(|word| token.is_word(word));
            match token.kind {
                Kind::Name if token.text.is_empty() => Err(words::EMPTY_SOURCE.to_owned()),
                Kind::Name => Ok(Step::Name(token.text.into_owned())),
                Kind::Word if !keyword => Ok(Step::Name(token.text.into_owned())),
                _ if token.is("*") => Err(words::STAR_IN_PATH.to_owned()),
                _ => Err(malformed(words)),
            }
        };
        if self.peek().is("[") {
            return Err(words::LIST_FIRST.into());
        }
        steps.push(name(self, "Unexpected term")?);
        loop {
            if self.take(".") {
                steps.push(name(self, "Invalid path dot component")?);
            } else if self.take("[") {
                let token = self.next();
                steps.push(match token.kind {
                    Kind::Number => {
                        let index = token.text.parse().ok().filter(|index| *index <= INDEX_MAX);
                        let bad = || format!("{}[{}]", words::LIST_INDEX, token.text);
                        Step::Index(index.ok_or_else(bad)?)
                    }
                    Kind::Text => Step::Name(token.text.into_owned()),
                    _ if token.is("*") => return Err(words::STAR_IN_LIST.into()),
                    _ if token.is("-") => {
                        let index = self.next().text;
                        return Err(format!("{}[-{index}]", words::LIST_INDEX));
                    }
                    _ => return Err(malformed("Unexpected path component")),
                });
                self.expect("]", "Expected RIGHT_BRACKET")?;
            } else {
                return Ok(Path(steps));
            }
        }
    }
}

/// Two operands; or a condition that is compared with true or false.
fn compared(comparator: Comparator, left: Term, right: Term) -> Result<Condition> {
    let truth = |operand: &Operand| match operand {
        Operand::Value(bytes) => item::Value::of(bytes)
            .filter(|value| value.kind() == item::Kind::Bool)
            .map(item::Value::is_true),
        _ => None,
    };
    match (left, right) {
        (Term::Operand(a), Term::Operand(b)) => Ok(Condition::Compare(comparator, a, b)),
        (Term::Condition(condition), Term::Operand(other))
        | (Term::Operand(other), Term::Condition(condition)) => {
            let wanted = truth(&other).ok_or_else(|| malformed("Unexpected expression"))?;
            match comparator {
                Comparator::Eq if wanted => Ok(condition),
                Comparator::Ne if !wanted => Ok(condition),
                Comparator::Eq | Comparator::Ne => Ok(negated(condition)),
                _ => Err(malformed("Unexpected expression")),
            }
        }
        _ => Err(malformed("Unexpected expression")),
    }
}
