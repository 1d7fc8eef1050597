//! Text to what it says: one pass, then the first complaint in DynamoDB's order of questions.

use crate::ast::{
    Action, Call, Comparator, Condition, Function, Operand, Path, Projection, SetValue, Step,
    Update,
};
use crate::joined::{Joins, Term, deeper, joined};
use crate::reserved::is_reserved;
use crate::token::{Kind, Token, tokens};
use crate::{EXPRESSION_BYTES_MAX, OPERATORS_MAX};

type Result<T> = std::result::Result<T, String>;

/// Parses a condition, filter or key condition.
pub fn condition(text: &str) -> Result<Condition> {
    let mut parser = Parser::new(text)?;
    let term = parser.or()?;
    let condition = parser.as_condition(term)?;
    parser.end()?;
    parser.complaint()?;
    Ok(condition)
}

/// Parses the paths of a projection.
pub fn projection(text: &str) -> Result<Projection> {
    let mut parser = Parser::new(text)?;
    let mut paths = vec![parser.path()?];
    while parser.take(",") {
        paths.push(parser.path()?);
    }
    parser.end()?;
    parser.complaint()?;
    Ok(Projection { paths })
}

/// Parses the sections of an update.
pub fn update(text: &str) -> Result<Update> {
    let mut parser = Parser::new(text)?;
    parser.in_update = true;
    let mut update = Update::default();
    let mut sections: Vec<&str> = Vec::new();
    loop {
        let words = ["SET", "REMOVE", "ADD", "DELETE"];
        let token = parser.peek();
        let Some(word) = words.into_iter().find(|word| token.is_word(word)) else {
            return Err(parser.syntax());
        };
        if sections.contains(&word) {
            parser.note(
                2,
                format!("The \"{word}\" section can only be used once in an update expression;"),
            );
        }
        sections.push(word);
        parser.at += 1;
        loop {
            update.actions.push(parser.action(word)?);
            if !parser.take(",") {
                break;
            }
        }
        if parser.peek().kind == Kind::End {
            break;
        }
    }
    parser.complaint()?;
    Ok(update)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
    operators: usize,
    in_update: bool,
    /// What is wrong beyond syntax: the least number is told.
    complaint: Option<(u8, String)>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Parser<'a>> {
        if text.is_empty() {
            return Err("The expression can not be empty;".to_owned());
        }
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!(
                "Expression size has exceeded the maximum allowed size; expression size: {}",
                text.len()
            ));
        }
        Ok(Parser {
            text,
            tokens: tokens(text),
            at: 0,
            depth: 0,
            operators: 0,
            in_update: false,
            complaint: None,
        })
    }

    fn peek(&self) -> Token<'a> {
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn after(&self, more: usize) -> Token<'a> {
        self.tokens[(self.at + more).min(self.tokens.len() - 1)]
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.peek().is(symbol);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.syntax()) }
    }

    fn end(&mut self) -> Result<()> {
        if self.peek().kind == Kind::End { Ok(()) } else { Err(self.syntax()) }
    }

    /// The complaint about the token at hand, with its neighbours.
    fn syntax(&self) -> String {
        let token = self.peek();
        let first = self.tokens[self.at.min(self.tokens.len() - 1).saturating_sub(1)];
        let last = self.after(1);
        let near = &self.text[first.start..last.end().min(self.text.len()).max(first.start)];
        format!("Syntax error; token: \"{}\", near: \"{near}\"", token.text)
    }

    fn note(&mut self, rank: u8, text: impl Into<String>) {
        if self.complaint.as_ref().is_none_or(|(known, _)| rank < *known) {
            self.complaint = Some((rank, text.into()));
        }
    }

    fn complaint(&mut self) -> Result<()> {
        if self.operators > OPERATORS_MAX {
            return Err(format!(
                "The expression contains too many operators; operator count: {}",
                self.operators
            ));
        }
        self.complaint.take().map_or(Ok(()), |(_, text)| Err(text))
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
        let inner = self.as_condition(inner)?;
        Ok(Term::Condition(match count % 2 {
            0 => inner,
            _ => Condition::Not(Box::new(inner)),
        }))
    }

    fn comparison(&mut self) -> Result<Term> {
        let left = match self.primary()? {
            Term::Operand(operand) => operand,
            condition => return Ok(condition),
        };
        let token = self.peek();
        let comparator = (token.kind == Kind::Symbol).then(|| comparator(token.text)).flatten();
        if let Some(comparator) = comparator {
            self.at += 1;
            self.operators += 1;
            let right = self.operand_in_parentheses()?;
            self.check_nested(&left);
            self.check_nested(&right);
            return Ok(Term::Condition(Condition::Compare(comparator, left, right)));
        }
        if self.take_word("BETWEEN") {
            self.operators += 1;
            let low = self.operand_in_parentheses()?;
            if !self.take_word("AND") {
                return Err(self.syntax());
            }
            let high = self.operand_in_parentheses()?;
            [&left, &low, &high].into_iter().for_each(|operand| self.check_nested(operand));
            return Ok(Term::Condition(Condition::Between(left, low, high)));
        }
        if self.take_word("IN") {
            self.operators += 1;
            self.expect("(")?;
            let all = self.arguments()?;
            self.check_nested(&left);
            all.iter().for_each(|operand| self.check_nested(operand));
            if all.len() > 100 {
                self.note(
                    6,
                    format!("Incorrect number of operands for operator or function; operator or function: IN, number of operands: {}", all.len() + 1),
                );
            }
            return Ok(Term::Condition(Condition::In(left, all)));
        }
        Ok(Term::Operand(left))
    }

    fn primary(&mut self) -> Result<Term> {
        if !self.take("(") {
            return self.operand().map(Term::Operand);
        }
        let doubled = self.peek().is("(");
        deeper(&mut self.depth)?;
        let start = self.at;
        let inner = self.or()?;
        self.expect(")")?;
        self.depth -= 1;
        // Two pairs around the same thing.
        if doubled && self.closes_where_it_ended(start) {
            self.note(0, "The expression has redundant parentheses;");
        }
        Ok(inner)
    }

    /// Whether the parenthesis at `start` closes just before the one that was taken last.
    fn closes_where_it_ended(&self, start: usize) -> bool {
        let mut depth = 0;
        for at in start..self.at {
            if self.tokens[at].is("(") {
                depth += 1;
            } else if self.tokens[at].is(")") {
                depth -= 1;
                if depth == 0 {
                    return at + 2 == self.at;
                }
            }
        }
        false
    }

    fn operand_in_parentheses(&mut self) -> Result<Operand> {
        if !self.take("(") {
            return self.operand();
        }
        let doubled = self.peek().is("(");
        deeper(&mut self.depth)?;
        let operand = self.operand_in_parentheses()?;
        self.expect(")")?;
        self.depth -= 1;
        if doubled {
            self.note(0, "The expression has redundant parentheses;");
        }
        Ok(operand)
    }

    fn operand(&mut self) -> Result<Operand> {
        let token = self.peek();
        match token.kind {
            Kind::Variable => {
                self.at += 1;
                Ok(Operand::Variable(token.text.to_owned()))
            }
            Kind::Word if self.after(1).is("(") && !self.is_keyword(token) => {
                self.at += 2;
                self.call(token.text)
            }
            _ => self.path().map(Operand::Path),
        }
    }

    fn call(&mut self, name: &str) -> Result<Operand> {
        self.operators += 1;
        deeper(&mut self.depth)?;
        let operands = self.arguments()?;
        self.depth -= 1;
        if !self.in_update {
            operands.iter().for_each(|operand| self.check_nested(operand));
        }
        let Some(function) = Function::by_name(name) else {
            self.note(1, format!("Invalid function name; function: {name}"));
            return Ok(Operand::Variable(String::new()));
        };
        if self.in_update && !function.is_for_updates() {
            self.note(
                1,
                format!("The function is not allowed in an update expression; function: {name}"),
            );
        }
        if !self.in_update && function.is_for_updates() {
            self.note(
                1,
                format!("The function is not allowed in a condition expression; function: {name}"),
            );
        }
        Ok(Operand::Call(Box::new(Call { function, operands })))
    }

    /// Up to the closing parenthesis.
    fn arguments(&mut self) -> Result<Vec<Operand>> {
        let mut all = vec![self.operand_in_parentheses()?];
        while self.take(",") {
            all.push(self.operand_in_parentheses()?);
        }
        self.expect(")")?;
        Ok(all)
    }

    /// Of all functions only `size` has a value that something else can use.
    fn check_nested(&mut self, operand: &Operand) {
        if let Operand::Call(call) = operand
            && call.function != Function::Size
        {
            self.misused(call.function);
        }
    }

    fn misused(&mut self, function: Function) {
        self.note(2, misused(function));
    }

    fn as_condition(&mut self, term: Term) -> Result<Condition> {
        match term {
            Term::Condition(condition) => Ok(condition),
            Term::Operand(Operand::Call(call)) => {
                if call.function == Function::Size {
                    self.misused(Function::Size);
                }
                Ok(Condition::Call(*call))
            }
            // Only a call that nobody knows leaves this behind, and it has complained already.
            Term::Operand(Operand::Variable(name)) if name.is_empty() => {
                Ok(Condition::Or(Vec::new()))
            }
            Term::Operand(_) => Err(self.syntax()),
        }
    }

    fn is_keyword(&self, token: Token<'_>) -> bool {
        let words: &[&str] = match self.in_update {
            true => &["SET", "REMOVE", "ADD", "DELETE"],
            false => &["AND", "OR", "NOT", "BETWEEN", "IN"],
        };
        words.iter().any(|word| token.is_word(word))
    }

    fn path(&mut self) -> Result<Path> {
        let mut steps = vec![self.name()?];
        loop {
            if self.take(".") {
                steps.push(self.name()?);
            } else if self.take("[") {
                let token = self.peek();
                if token.kind != Kind::Digits {
                    return Err(self.syntax());
                }
                let Ok(index) = token.text.parse::<u32>() else {
                    return Err(format!(
                        "List index is not within the allowable range; index: [{}]",
                        token.text
                    ));
                };
                if index > i32::MAX as u32 {
                    return Err(format!(
                        "List index is not within the allowable range; index: [{index}]"
                    ));
                }
                self.at += 1;
                self.expect("]")?;
                steps.push(Step::Index(index));
            } else {
                break;
            }
        }
        if steps.len() > 32 {
            return Err("The document path has too many nesting elements; nesting levels: "
                .to_owned()
                + &steps.len().to_string());
        }
        Ok(Path(steps))
    }

    fn name(&mut self) -> Result<Step> {
        let token = self.peek();
        match token.kind {
            Kind::Alias => {
                self.at += 1;
                Ok(Step::Alias(token.text.to_owned()))
            }
            Kind::Word if !self.is_keyword(token) => {
                self.at += 1;
                if is_reserved(token.text) {
                    self.note(
                        3,
                        format!(
                            "Attribute name is a reserved keyword; reserved keyword: {}",
                            token.text
                        ),
                    );
                }
                Ok(Step::Name(token.text.to_owned()))
            }
            _ => Err(self.syntax()),
        }
    }

    fn action(&mut self, section: &str) -> Result<Action> {
        let path = self.path()?;
        Ok(match section {
            "SET" => {
                self.expect("=")?;
                Action::Set(path, self.set_value()?)
            }
            "REMOVE" => Action::Remove(path),
            _ => {
                let token = self.peek();
                if token.kind != Kind::Variable {
                    return Err(self.syntax());
                }
                self.at += 1;
                let operand = Operand::Variable(token.text.to_owned());
                match section {
                    "ADD" => Action::Add(path, operand),
                    _ => Action::Delete(path, operand),
                }
            }
        })
    }

    fn set_value(&mut self) -> Result<SetValue> {
        // A pair of parentheses may be around the whole sum, or around its first operand.
        if self.peek().is("(") {
            self.at += 1;
            deeper(&mut self.depth)?;
            let inner = self.set_value()?;
            self.expect(")")?;
            self.depth -= 1;
            match inner {
                SetValue::Operand(operand) => return self.sum(operand),
                sum if !self.peek().is("+") && !self.peek().is("-") => return Ok(sum),
                _ => return Err(self.syntax()),
            }
        }
        let first = self.operand()?;
        self.sum(first)
    }

    fn sum(&mut self, first: Operand) -> Result<SetValue> {
        if self.take("+") {
            self.operators += 1;
            return Ok(SetValue::Plus(first, self.operand_in_parentheses()?));
        }
        if self.take("-") {
            self.operators += 1;
            return Ok(SetValue::Minus(first, self.operand_in_parentheses()?));
        }
        Ok(SetValue::Operand(first))
    }
}

impl Joins for Parser<'_> {
    fn take_joint(&mut self, word: &str) -> bool {
        let found = self.take_word(word);
        self.operators += usize::from(found);
        found
    }

    fn part(&mut self, term: Term) -> Result<Condition> {
        self.as_condition(term)
    }
}

pub(crate) fn misused(function: Function) -> String {
    format!(
        "The function is not allowed to be used this way in an expression; function: {}",
        function.name()
    )
}

fn comparator(symbol: &str) -> Option<Comparator> {
    Some(match symbol {
        "=" => Comparator::Eq,
        "<>" => Comparator::Ne,
        "<" => Comparator::Lt,
        "<=" => Comparator::Le,
        ">" => Comparator::Gt,
        ">=" => Comparator::Ge,
        _ => return None,
    })
}
