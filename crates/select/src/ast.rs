//! A query as it was read.

use crate::time::Part;
use crate::token::At;
use crate::value::Value;

/// A query, parsed and checked.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) columns: Columns,
    /// Where rows are found in a value of the object.
    pub(crate) from: Vec<Step>,
    /// What a row goes by.
    pub(crate) alias: Name,
    pub(crate) condition: Option<Expr>,
    pub(crate) limit: Option<u64>,
    /// Not empty where all rows make one.
    pub(crate) aggregates: Vec<Aggregate>,
}

#[derive(Clone, Debug)]
pub(crate) enum Columns {
    /// `*`
    All,
    Some(Vec<Column>),
}

#[derive(Clone, Debug)]
pub(crate) enum Column {
    One {
        name: String,
        expr: Expr,
    },
    /// `path.*`
    Each(Path),
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub function: AggregateFunction,
    /// `None` for `COUNT(*)`.
    pub argument: Option<Expr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AggregateFunction {
    Avg,
    Count,
    Max,
    Min,
    Sum,
}

/// A name is meant as it is written if it is quoted, and without regard to case otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub text: String,
    pub quoted: bool,
}

impl Name {
    pub fn fits(&self, other: &str) -> bool {
        match self.quoted {
            true => self.text == other,
            false => {
                self.text == other
                    || self.text.eq_ignore_ascii_case(other)
                    || (!other.is_ascii() && self.text.to_lowercase() == other.to_lowercase())
            }
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Name(Name),
    Index(usize),
    /// `[*]`
    Elements,
    /// `.*`
    Members,
}

/// Where a path begins, once it is known what the object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Root {
    /// Not known yet.
    Unbound,
    /// The row; the path's own name is no step.
    Row,
    /// A member of the row, named by the path's own name.
    Member,
    /// A field of the row, counted from 0.
    Field(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub name: Name,
    pub steps: Vec<Step>,
    pub root: Root,
    pub at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Concatenate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Function {
    CharLength,
    Coalesce,
    DateAdd(Part),
    DateDiff(Part),
    Extract(Part),
    Lower,
    NullIf,
    Substring,
    ToString,
    ToTimestamp,
    Trim(Ends),
    Upper,
    UtcNow,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub leading: bool,
    pub trailing: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Literal(Value),
    Path(Path),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Like {
        negated: bool,
        value: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
    },
    Between {
        negated: bool,
        value: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
    },
    In {
        negated: bool,
        value: Box<Expr>,
        list: Vec<Expr>,
    },
    /// `IS [NOT] NULL`, which what is missing is too.
    IsNull {
        negated: bool,
        value: Box<Expr>,
    },
    IsMissing {
        negated: bool,
        value: Box<Expr>,
    },
    Case {
        operand: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast(Box<Expr>, Type),
    Call(Function, Vec<Expr>),
    /// What an aggregate of the query gave.
    Aggregate(usize),
}

impl Expr {
    /// Shows every path in it, those in aggregates excepted.
    pub fn each_path<E>(
        &mut self,
        see: &mut dyn FnMut(&mut Path) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Expr::Literal(_) | Expr::Aggregate(_) => Ok(()),
            Expr::Path(path) => see(path),
            Expr::And(all) | Expr::Or(all) | Expr::Call(_, all) => {
                all.iter_mut().try_for_each(|expr| expr.each_path(see))
            }
            Expr::Not(a) | Expr::Negate(a) | Expr::Cast(a, _) => a.each_path(see),
            Expr::IsNull { value, .. } | Expr::IsMissing { value, .. } => value.each_path(see),
            Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
                a.each_path(see)?;
                b.each_path(see)
            }
            Expr::Like { value, pattern, escape, .. } => {
                value.each_path(see)?;
                pattern.each_path(see)?;
                escape.iter_mut().try_for_each(|expr| expr.each_path(see))
            }
            Expr::Between { value, low, high, .. } => {
                value.each_path(see)?;
                low.each_path(see)?;
                high.each_path(see)
            }
            Expr::In { value, list, .. } => {
                value.each_path(see)?;
                list.iter_mut().try_for_each(|expr| expr.each_path(see))
            }
            Expr::Case { operand, whens, otherwise } => {
                operand.iter_mut().try_for_each(|expr| expr.each_path(see))?;
                for (when, then) in whens {
                    when.each_path(see)?;
                    then.each_path(see)?;
                }
                otherwise.iter_mut().try_for_each(|expr| expr.each_path(see))
            }
        }
    }
}

impl Query {
    /// Whether what is not a value of every row stands in the list beside aggregates.
    pub(crate) fn mixes(&mut self) -> bool {
        let Columns::Some(columns) = &mut self.columns else { return false };
        columns.iter_mut().any(|column| match column {
            Column::Each(_) => true,
            Column::One { expr, .. } => expr.each_path(&mut |_| Err(())).is_err(),
        })
    }
}
