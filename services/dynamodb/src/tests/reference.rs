//! What DynamoDB's documentation says of conditions and updates, as plainly as it can be put, on values
//! that are trees; and expressions made at random, as their text and as what it means.

use base::{Entropy, SeededEntropy};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum V {
    S(String),
    N(i64),
    Bool(bool),
    Null,
    L(Vec<V>),
    M(Tree),
    SS(BTreeSet<String>),
    NS(BTreeSet<i64>),
}

pub type Tree = BTreeMap<String, V>;

fn quoted<T: std::fmt::Display>(all: impl Iterator<Item = T>) -> String {
    all.map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(",")
}

impl V {
    pub fn json(&self) -> String {
        match self {
            V::S(text) => format!(r#"{{"S":"{text}"}}"#),
            V::N(number) => format!(r#"{{"N":"{number}"}}"#),
            V::Bool(yes) => format!(r#"{{"BOOL":{yes}}}"#),
            V::Null => r#"{"NULL":true}"#.to_owned(),
            V::L(items) => {
                let items: Vec<String> = items.iter().map(V::json).collect();
                format!(r#"{{"L":[{}]}}"#, items.join(","))
            }
            V::M(tree) => format!(r#"{{"M":{}}}"#, json(tree)),
            V::SS(members) => format!(r#"{{"SS":[{}]}}"#, quoted(members.iter())),
            V::NS(members) => format!(r#"{{"NS":[{}]}}"#, quoted(members.iter())),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            V::S(_) => "S",
            V::N(_) => "N",
            V::Bool(_) => "BOOL",
            V::Null => "NULL",
            V::L(_) => "L",
            V::M(_) => "M",
            V::SS(_) => "SS",
            V::NS(_) => "NS",
        }
    }

    fn order(&self, other: &V) -> Option<Ordering> {
        match (self, other) {
            (V::S(a), V::S(b)) => Some(a.cmp(b)),
            (V::N(a), V::N(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn size(&self) -> Option<V> {
        Some(V::N(match self {
            V::S(text) => text.len(),
            V::L(items) => items.len(),
            V::M(tree) => tree.len(),
            V::SS(members) => members.len(),
            V::NS(members) => members.len(),
            V::N(_) | V::Bool(_) | V::Null => return None,
        } as i64))
    }
}

pub fn json(tree: &Tree) -> String {
    let members: Vec<String> =
        tree.iter().map(|(name, value)| format!("\"{name}\":{}", value.json())).collect();
    format!("{{{}}}", members.join(","))
}

#[derive(Clone, Debug)]
enum Step {
    Name(&'static str),
    Index(usize),
}

#[derive(Clone, Debug)]
pub struct Path(&'static str, Vec<Step>);

impl Path {
    fn text(&self) -> String {
        self.1.iter().fold(self.0.to_owned(), |text, step| match step {
            Step::Name(name) => format!("{text}.{name}"),
            Step::Index(index) => format!("{text}[{index}]"),
        })
    }

    fn look<'t>(&self, tree: &'t Tree) -> Option<&'t V> {
        self.1.iter().try_fold(tree.get(self.0)?, |value, step| match (step, value) {
            (Step::Name(name), V::M(tree)) => tree.get(*name),
            (Step::Index(index), V::L(items)) => items.get(*index),
            _ => None,
        })
    }

    /// Puts a value there, or takes it away; an error where there is no such place.
    fn change(&self, tree: &mut Tree, new: Option<V>) -> Result<(), ()> {
        let Some((last, parents)) = self.1.split_last() else {
            match new {
                Some(new) => tree.insert(self.0.to_owned(), new),
                None => tree.remove(self.0),
            };
            return Ok(());
        };
        let mut at = tree.get_mut(self.0).ok_or(())?;
        for step in parents {
            at = match (step, at) {
                (Step::Name(name), V::M(tree)) => tree.get_mut(*name),
                (Step::Index(index), V::L(items)) => items.get_mut(*index),
                _ => None,
            }
            .ok_or(())?;
        }
        match (last, at, new) {
            (Step::Name(name), V::M(tree), Some(new)) => drop(tree.insert((*name).to_owned(), new)),
            (Step::Name(name), V::M(tree), None) => drop(tree.remove(*name)),
            (Step::Index(index), V::L(items), Some(new)) if *index < items.len() => {
                items[*index] = new;
            }
            (Step::Index(_), V::L(items), Some(new)) => items.push(new),
            (Step::Index(index), V::L(items), None) if *index < items.len() => {
                items.remove(*index);
            }
            (Step::Index(_), V::L(_), None) => {}
            _ => return Err(()),
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub enum Operand {
    Path(Path),
    Value(V),
    Size(Path),
}

impl Operand {
    fn find(&self, tree: &Tree) -> Option<V> {
        match self {
            Operand::Path(path) => path.look(tree).cloned(),
            Operand::Value(value) => Some(value.clone()),
            Operand::Size(path) => path.look(tree).and_then(V::size),
        }
    }

    fn text(&self, values: &mut Vec<V>) -> String {
        match self {
            Operand::Path(path) => path.text(),
            Operand::Size(path) => format!("size({})", path.text()),
            Operand::Value(value) => {
                values.push(value.clone());
                format!(":v{}", values.len() - 1)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(&'static str, Operand, Operand),
    Between(Path, V, V),
    In(Path, Vec<V>),
    Exists(Path, bool),
    Type(Path, &'static str),
    Begins(Path, String),
    Contains(Path, V),
}

impl Condition {
    pub fn holds(&self, tree: &Tree) -> bool {
        match self {
            Condition::And(a, b) => a.holds(tree) && b.holds(tree),
            Condition::Or(a, b) => a.holds(tree) || b.holds(tree),
            Condition::Not(inner) => !inner.holds(tree),
            Condition::Compare(symbol, a, b) => {
                let (Some(a), Some(b)) = (a.find(tree), b.find(tree)) else {
                    return *symbol == "<>";
                };
                match (*symbol, a.order(&b)) {
                    ("=", _) => a == b,
                    ("<>", _) => a != b,
                    (_, None) => false,
                    ("<", Some(order)) => order.is_lt(),
                    ("<=", Some(order)) => order.is_le(),
                    (">", Some(order)) => order.is_gt(),
                    (_, Some(order)) => order.is_ge(),
                }
            }
            Condition::Between(path, low, high) => path.look(tree).is_some_and(|value| {
                value.order(low).is_some_and(Ordering::is_ge)
                    && value.order(high).is_some_and(Ordering::is_le)
            }),
            Condition::In(path, all) => path.look(tree).is_some_and(|value| all.contains(value)),
            Condition::Exists(path, there) => path.look(tree).is_some() == *there,
            Condition::Type(path, kind) => path.look(tree).is_some_and(|v| v.kind() == *kind),
            Condition::Begins(path, start) => {
                matches!(path.look(tree), Some(V::S(text)) if text.starts_with(start))
            }
            Condition::Contains(path, value) => match (path.look(tree), value) {
                (Some(V::S(text)), V::S(part)) => text.contains(part),
                (Some(V::SS(members)), V::S(one)) => members.contains(one),
                (Some(V::NS(members)), V::N(one)) => members.contains(one),
                (Some(V::L(items)), one) => items.contains(one),
                _ => false,
            },
        }
    }

    /// Its text; values go to the list that `:v0`, `:v1`, … stand for.
    pub fn text(&self, values: &mut Vec<V>) -> String {
        let nested = |inner: &Condition, values: &mut Vec<V>| match inner {
            Condition::And(..) | Condition::Or(..) => format!("({})", inner.text(values)),
            _ => inner.text(values),
        };
        let value = |value: &V, values: &mut Vec<V>| Operand::Value(value.clone()).text(values);
        match self {
            Condition::And(a, b) => format!("{} AND {}", nested(a, values), nested(b, values)),
            Condition::Or(a, b) => format!("{} or {}", nested(a, values), nested(b, values)),
            Condition::Not(inner) => format!("NOT {}", nested(inner, values)),
            Condition::Compare(symbol, a, b) => {
                format!("{} {symbol} {}", a.text(values), b.text(values))
            }
            Condition::Between(path, low, high) => {
                let low = value(low, values);
                format!("{} BETWEEN {low} AND {}", path.text(), value(high, values))
            }
            Condition::In(path, all) => {
                let all: Vec<String> = all.iter().map(|one| value(one, values)).collect();
                format!("{} IN ({})", path.text(), all.join(", "))
            }
            Condition::Exists(path, true) => format!("attribute_exists({})", path.text()),
            Condition::Exists(path, false) => format!("attribute_not_exists({})", path.text()),
            Condition::Type(path, kind) => {
                format!("attribute_type({}, {})", path.text(), value(&V::S((*kind).into()), values))
            }
            Condition::Begins(path, start) => {
                format!("begins_with({}, {})", path.text(), value(&V::S(start.clone()), values))
            }
            Condition::Contains(path, one) => {
                format!("contains({}, {})", path.text(), value(one, values))
            }
        }
    }
}

#[derive(Clone, Debug)]
pub enum Action {
    Set(Path, Operand),
    Plus(Path, Path, i64),
    Default(Path, Path, V),
    Append(Path, Path, Vec<V>),
    Remove(Path),
    Add(&'static str, V),
    Delete(&'static str, V),
}

fn join<T: Ord + Clone>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> BTreeSet<T> {
    a.union(b).cloned().collect()
}

fn less<T: Ord + Clone>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> Option<BTreeSet<T>> {
    let left: BTreeSet<T> = a.difference(b).cloned().collect();
    (!left.is_empty()).then_some(left)
}

impl Action {
    /// The place that it changes.
    fn path(&self) -> Path {
        match self {
            Action::Set(path, _)
            | Action::Plus(path, ..)
            | Action::Default(path, ..)
            | Action::Append(path, ..)
            | Action::Remove(path) => path.clone(),
            Action::Add(name, _) | Action::Delete(name, _) => Path(name, Vec::new()),
        }
    }

    pub fn head(&self) -> &'static str {
        self.path().0
    }

    pub fn removes(&self) -> bool {
        matches!(self, Action::Remove(_) | Action::Delete(..))
    }

    /// What is to be there, worked out on the item as it was.
    fn result(&self, tree: &Tree) -> Result<Option<V>, ()> {
        Ok(match self {
            Action::Set(_, operand) => Some(operand.find(tree).ok_or(())?),
            Action::Plus(_, path, more) => match path.look(tree) {
                Some(V::N(number)) => Some(V::N(number + more)),
                _ => return Err(()),
            },
            Action::Default(_, path, value) => Some(path.look(tree).unwrap_or(value).clone()),
            Action::Append(_, path, more) => match path.look(tree) {
                Some(V::L(items)) => Some(V::L(items.iter().chain(more).cloned().collect())),
                _ => return Err(()),
            },
            Action::Remove(_) => None,
            Action::Add(name, value) => Some(match (tree.get(*name), value) {
                (None, value) => value.clone(),
                (Some(V::N(a)), V::N(b)) => V::N(a + b),
                (Some(V::SS(a)), V::SS(b)) => V::SS(join(a, b)),
                (Some(V::NS(a)), V::NS(b)) => V::NS(join(a, b)),
                _ => return Err(()),
            }),
            Action::Delete(name, value) => match (tree.get(*name), value) {
                (None, _) => None,
                (Some(V::SS(a)), V::SS(b)) => less(a, b).map(V::SS),
                (Some(V::NS(a)), V::NS(b)) => less(a, b).map(V::NS),
                _ => return Err(()),
            },
        })
    }

    fn clause(&self) -> &'static str {
        match self {
            Action::Remove(_) => "REMOVE",
            Action::Add(..) => "ADD",
            Action::Delete(..) => "DELETE",
            _ => "SET",
        }
    }

    fn text(&self, values: &mut Vec<V>) -> String {
        let mut value = |value: V| Operand::Value(value).text(values);
        match self {
            Action::Set(path, operand) => format!("{} = {}", path.text(), operand.text(values)),
            Action::Plus(path, other, more) => {
                format!("{} = {} + {}", path.text(), other.text(), value(V::N(*more)))
            }
            Action::Default(path, other, one) => {
                let one = value(one.clone());
                format!("{} = if_not_exists({}, {one})", path.text(), other.text())
            }
            Action::Append(path, other, more) => {
                let more = value(V::L(more.clone()));
                format!("{} = list_append({}, {more})", path.text(), other.text())
            }
            Action::Remove(path) => path.text(),
            Action::Add(name, one) | Action::Delete(name, one) => {
                format!("{name} {}", value(one.clone()))
            }
        }
    }
}

/// The item after all of them, whose places lie in different attributes.
pub fn update(tree: &Tree, actions: &[Action]) -> Result<Tree, ()> {
    let mut new = tree.clone();
    for action in actions {
        let result = action.result(tree)?;
        action.path().change(&mut new, result)?;
    }
    Ok(new)
}

pub fn update_text(actions: &[Action], values: &mut Vec<V>) -> String {
    let mut text = String::new();
    for clause in ["SET", "REMOVE", "ADD", "DELETE"] {
        let own = actions.iter().filter(|action| action.clause() == clause);
        let all: Vec<String> = own.map(|action| action.text(values)).collect();
        if !all.is_empty() {
            text.push_str(&format!("{clause} {} ", all.join(", ")));
        }
    }
    text
}

const NAMES: [&str; 5] = ["a", "b", "d", "e", "f"];

/// All that is made at random.
pub struct Dice(pub SeededEntropy);

impl Dice {
    pub fn below(&self, end: u64) -> u64 {
        self.0.below(end)
    }

    fn one<T: Copy>(&self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn word(&self) -> String {
        self.one(&["", "a", "ab", "b", "ba", "aab"]).to_owned()
    }

    fn scalar(&self) -> V {
        match self.below(2) {
            0 => V::S(self.word()),
            _ => V::N(self.below(5) as i64 - 2),
        }
    }

    fn set(&self) -> V {
        let count = 1 + self.below(2);
        match self.below(2) {
            0 => V::SS((0..count).map(|_| self.one(&["a", "b", "ab"]).to_owned()).collect()),
            _ => V::NS((0..count).map(|_| self.below(4) as i64).collect()),
        }
    }

    pub fn value(&self, depth: u64) -> V {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0..=2 => self.scalar(),
            3 => V::Bool(self.below(2) == 0),
            4 => V::Null,
            5 => self.set(),
            6 | 7 => V::L((0..self.below(3)).map(|_| self.value(depth - 1)).collect()),
            _ => V::M(self.tree(depth - 1)),
        }
    }

    pub fn tree(&self, depth: u64) -> Tree {
        (0..self.below(4)).map(|_| (self.one(&NAMES).to_owned(), self.value(depth))).collect()
    }

    fn path(&self) -> Path {
        let steps = (0..self.below(5).saturating_sub(2)).map(|_| match self.below(2) {
            0 => Step::Name(self.one(&NAMES)),
            _ => Step::Index(self.below(3) as usize),
        });
        Path(self.one(&NAMES), steps.collect())
    }

    pub fn condition(&self, depth: u64) -> Condition {
        let inner = || Box::new(self.condition(depth - 1));
        match self.below(if depth == 0 { 8 } else { 11 }) {
            0 => Condition::Exists(self.path(), self.below(2) == 0),
            1 => {
                let symbol = self.one(&["=", "<>", "<", "<=", ">", ">="]);
                Condition::Compare(
                    symbol,
                    Operand::Path(self.path()),
                    Operand::Value(self.scalar()),
                )
            }
            2 => {
                let (symbol, value) = (self.one(&["=", "<>"]), self.value(2));
                Condition::Compare(symbol, Operand::Path(self.path()), Operand::Value(value))
            }
            3 => {
                let (symbol, size) = (self.one(&["=", "<", ">="]), V::N(self.below(3) as i64));
                Condition::Compare(symbol, Operand::Size(self.path()), Operand::Value(size))
            }
            4 => match (self.scalar(), self.below(3) as i64) {
                (V::N(low), more) => Condition::Between(self.path(), V::N(low), V::N(low + more)),
                (low, _) => Condition::Between(self.path(), low, V::S("c".into())),
            },
            5 => Condition::In(self.path(), (0..=self.below(3)).map(|_| self.value(1)).collect()),
            6 => match self.below(2) {
                0 => Condition::Begins(self.path(), self.word()),
                _ => Condition::Type(self.path(), self.one(&["S", "N", "L", "M", "SS", "NULL"])),
            },
            7 => Condition::Contains(self.path(), self.scalar()),
            8 => Condition::And(inner(), inner()),
            9 => Condition::Or(inner(), inner()),
            _ => Condition::Not(inner()),
        }
    }

    pub fn actions(&self) -> Vec<Action> {
        let mut all: Vec<Action> = Vec::new();
        for _ in 0..=self.below(3) {
            let action = match self.below(9) {
                0 | 1 => Action::Set(self.path(), Operand::Value(self.value(2))),
                2 => Action::Set(self.path(), Operand::Path(self.path())),
                3 => Action::Plus(self.path(), self.path(), self.below(5) as i64),
                4 => Action::Default(self.path(), self.path(), self.value(1)),
                5 => Action::Append(self.path(), self.path(), vec![self.value(1)]),
                6 => Action::Remove(self.path()),
                7 => match self.below(2) {
                    0 => Action::Add(self.one(&NAMES), V::N(self.below(5) as i64)),
                    _ => Action::Add(self.one(&NAMES), self.set()),
                },
                _ => Action::Delete(self.one(&NAMES), self.set()),
            };
            if all.iter().all(|other| other.head() != action.head()) {
                all.push(action);
            }
        }
        all
    }
}
