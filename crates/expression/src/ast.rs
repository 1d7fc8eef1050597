//! What an expression says. Placeholders stand in it until a [`crate::Scope`] has put in what they
//! mean; evaluation passes over any that are left.

use bytes::Bytes;
use std::fmt;

/// One step of a document path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    Name(String),
    /// `#name`.
    Alias(String),
    Index(u32),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Path(pub Vec<Step>);

impl Path {
    pub fn of(name: &str) -> Path {
        Path(vec![Step::Name(name.to_owned())])
    }

    /// The attribute that it begins with.
    pub fn head(&self) -> &str {
        match self.0.first() {
            Some(Step::Name(name) | Step::Alias(name)) => name,
            _ => "",
        }
    }

    pub fn is_nested(&self) -> bool {
        self.0.len() > 1
    }
}

impl fmt::Display for Path {
    /// `[a, [1], b]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, step) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match step {
                Step::Name(name) | Step::Alias(name) => f.write_str(name)?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        f.write_str("]")
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    Path(Path),
    /// `:value`.
    Variable(String),
    /// An encoded value.
    Value(Bytes),
    Call(Box<Call>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    AttributeExists,
    AttributeNotExists,
    AttributeType,
    BeginsWith,
    Contains,
    Size,
    IfNotExists,
    ListAppend,
}

impl Function {
    pub fn by_name(name: &str) -> Option<Function> {
        Some(match name {
            "attribute_exists" => Function::AttributeExists,
            "attribute_not_exists" => Function::AttributeNotExists,
            "attribute_type" => Function::AttributeType,
            "begins_with" => Function::BeginsWith,
            "contains" => Function::Contains,
            "size" => Function::Size,
            "if_not_exists" => Function::IfNotExists,
            "list_append" => Function::ListAppend,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Function::AttributeExists => "attribute_exists",
            Function::AttributeNotExists => "attribute_not_exists",
            Function::AttributeType => "attribute_type",
            Function::BeginsWith => "begins_with",
            Function::Contains => "contains",
            Function::Size => "size",
            Function::IfNotExists => "if_not_exists",
            Function::ListAppend => "list_append",
        }
    }

    pub fn is_for_updates(self) -> bool {
        matches!(self, Function::IfNotExists | Function::ListAppend)
    }

    pub(crate) fn operands(self) -> usize {
        match self {
            Function::AttributeExists | Function::AttributeNotExists | Function::Size => 1,
            _ => 2,
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    pub function: Function,
    pub operands: Vec<Operand>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparator {
    pub fn symbol(self) -> &'static str {
        match self {
            Comparator::Eq => "=",
            Comparator::Ne => "<>",
            Comparator::Lt => "<",
            Comparator::Le => "<=",
            Comparator::Gt => ">",
            Comparator::Ge => ">=",
        }
    }

    /// Whether it needs an order.
    pub fn is_ordering(self) -> bool {
        !matches!(self, Comparator::Eq | Comparator::Ne)
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Comparator, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Call(Call),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Projection {
    pub paths: Vec<Path>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum SetValue {
    Operand(Operand),
    Plus(Operand, Operand),
    Minus(Operand, Operand),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    Set(Path, SetValue),
    Remove(Path),
    Add(Path, Operand),
    Delete(Path, Operand),
}

impl Action {
    pub fn path(&self) -> &Path {
        match self {
            Action::Set(path, _)
            | Action::Remove(path)
            | Action::Add(path, _)
            | Action::Delete(path, _) => path,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Update {
    pub actions: Vec<Action>,
}

impl Condition {
    /// Calls `see` for each path in it.
    pub fn each_path<'a>(&'a self, see: &mut impl FnMut(&'a Path)) {
        match self {
            Condition::And(all) | Condition::Or(all) => all.iter().for_each(|c| c.each_path(see)),
            Condition::Not(inner) => inner.each_path(see),
            Condition::Compare(_, a, b) => [a, b].into_iter().for_each(|o| o.each_path(see)),
            Condition::Between(a, b, c) => [a, b, c].into_iter().for_each(|o| o.each_path(see)),
            Condition::In(a, all) => {
                a.each_path(see);
                all.iter().for_each(|o| o.each_path(see));
            }
            Condition::Call(call) => call.operands.iter().for_each(|o| o.each_path(see)),
        }
    }
}

impl Operand {
    pub fn each_path<'a>(&'a self, see: &mut impl FnMut(&'a Path)) {
        match self {
            Operand::Path(path) => see(path),
            Operand::Call(call) => call.operands.iter().for_each(|o| o.each_path(see)),
            Operand::Variable(_) | Operand::Value(_) => {}
        }
    }

    fn value_bytes(&self) -> usize {
        match self {
            Operand::Value(bytes) => bytes.len(),
            Operand::Call(call) => call.operands.iter().map(Operand::value_bytes).sum(),
            Operand::Path(_) | Operand::Variable(_) => 0,
        }
    }
}

impl Update {
    /// The size of the values that it brings, encoded.
    pub fn value_bytes(&self) -> usize {
        let of = |action: &Action| match action {
            Action::Set(_, SetValue::Operand(a)) => a.value_bytes(),
            Action::Set(_, SetValue::Plus(a, b) | SetValue::Minus(a, b)) => {
                a.value_bytes() + b.value_bytes()
            }
            Action::Add(_, operand) | Action::Delete(_, operand) => operand.value_bytes(),
            Action::Remove(_) => 0,
        };
        self.actions.iter().map(of).sum()
    }

    /// Calls `see` for each path that is read or written.
    pub fn each_path<'a>(&'a self, see: &mut impl FnMut(&'a Path)) {
        for action in &self.actions {
            see(action.path());
            match action {
                Action::Set(_, SetValue::Operand(a)) => a.each_path(see),
                Action::Set(_, SetValue::Plus(a, b) | SetValue::Minus(a, b)) => {
                    a.each_path(see);
                    b.each_path(see);
                }
                Action::Add(_, operand) | Action::Delete(_, operand) => operand.each_path(see),
                Action::Remove(_) => {}
            }
        }
    }
}
