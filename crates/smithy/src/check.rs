//! Constraints of the model, checked while a request is decoded.
//!
//! A codec calls [`Check::finish`] when a structure is complete. Paths are put together from the
//! inside out and only for violations: a codec takes a mark before it goes down a step and has the
//! step put before whatever came up since. What holds costs nothing.

use crate::reject::{Constraint, Echo, Rejection, Step, VIOLATIONS_MAX, Violation};
use crate::shape::{LengthRules, Location, Member, Pattern, RangeRules, Shape, StringRules};
use crate::value::{List, Map, Struct, Value};
use base::Timestamp;

/// Longer values are not run against a pattern: its cost grows with the length, and what has no
/// length limit has no pattern that matters.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// What the items and entries of one request may take of memory, beside the text in them. `{}` is two
/// bytes in a body and can be a thousand as a structure.
const GROWN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which members were there.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Seen([u64; 4]);

impl Seen {
    /// Marks the member; false if it had been there already. Indexes beyond the width never repeat.
    pub fn insert(&mut self, index: usize) -> bool {
        let Some(word) = self.0.get_mut(index / 64) else { return true };
        let bit = 1 << (index % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_none_or(|word| word & (1 << (index % 64)) != 0)
    }
}

/// What services differ in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Settings {
    /// A member that is there twice in an object is an error; by default the last one counts.
    pub refuse_duplicates: bool,
    /// An XML element that the model does not have is an error; by default it is passed over.
    pub refuse_unknown_elements: bool,
}

pub(crate) struct Check {
    validate: bool,
    pub settings: Settings,
    violations: Vec<Violation>,
    grown_bytes: usize,
}

impl Check {
    pub fn new(validate: bool, settings: Settings) -> Check {
        Check { validate, settings, violations: Vec::new(), grown_bytes: 0 }
    }

    /// To be called before a list or map grows by so much.
    #[inline]
    pub fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.grown_bytes += bytes;
        match self.grown_bytes > GROWN_BYTES_MAX {
            true => Err(Rejection::TooLarge("members")),
            false => Ok(()),
        }
    }

    #[inline]
    pub fn mark(&self) -> usize {
        self.violations.len()
    }

    /// Puts a step before the path of all violations since the mark.
    #[inline]
    pub fn prefix(&mut self, mark: usize, step: impl Fn() -> Step) {
        if self.violations.len() == mark {
            return;
        }
        for violation in &mut self.violations[mark..] {
            violation.path.push(step());
        }
    }

    /// [`Check::prefix`] by a member of the input.
    #[inline]
    pub fn prefix_member(&mut self, mark: usize, member: &Member) {
        if self.violations.len() == mark {
            return;
        }
        for violation in &mut self.violations[mark..] {
            violation.path.push(Step::Member(member.name));
            violation.location = member.location;
        }
    }

    /// To be called once a structure is complete, with the members that were there.
    pub fn finish(&mut self, value: &dyn Struct, seen: &Seen) {
        let shape = value.shape();
        let bindings = shape.bindings();
        for &index in &bindings.required {
            let index = usize::from(index);
            if !seen.contains(index) {
                self.report(&shape.members[index], Echo::Null, Constraint::NotNull);
            }
        }
        if !self.validate {
            return;
        }
        for &index in &bindings.constrained {
            let index = usize::from(index);
            if seen.contains(index) {
                let member = &shape.members[index];
                let mark = self.mark();
                self.value(&member.shape, value.field(index).value(), is_hidden(member));
                self.prefix_member(mark, member);
            }
        }
    }

    /// A null where the model has none.
    pub fn null_item(&mut self) {
        self.push(Echo::Null, Constraint::NotNull);
    }

    /// A union with none or several of its members set.
    pub fn union(&mut self, set: usize) {
        self.push(Echo::Hidden, Constraint::OneMember(set));
    }

    /// A member of an object that is there twice.
    pub fn duplicate(&self) -> Result<(), Rejection> {
        match self.settings.refuse_duplicates {
            true => Err(Rejection::malformed("Duplicate field found")),
            false => Ok(()),
        }
    }

    pub fn into_result(self) -> Result<(), Rejection> {
        let mut violations = self.violations;
        if violations.is_empty() {
            return Ok(());
        }
        for violation in &mut violations {
            violation.path.reverse();
        }
        Err(Rejection::Invalid(violations))
    }

    fn report(&mut self, member: &Member, value: Echo, constraint: Constraint) {
        let mark = self.mark();
        self.push(value, constraint);
        self.prefix_member(mark, member);
    }

    fn push(&mut self, value: Echo, constraint: Constraint) {
        if self.violations.len() < VIOLATIONS_MAX {
            let location = Location::Body;
            self.violations.push(Violation { path: Vec::new(), location, value, constraint });
        }
    }

    fn value(&mut self, shape: &Shape, value: Value<'_>, hidden: bool) {
        match (shape, value) {
            (Shape::List(rules), Value::List(list)) => {
                self.all(hidden || rules.sensitive, value, length(list.len(), &rules.length));
                self.items(&rules.item, list, hidden || rules.sensitive);
            }
            (Shape::Map(rules), Value::Map(map)) => {
                let hidden = hidden || rules.sensitive;
                self.all(hidden, value, length(map.len(), &rules.length));
                let keys =
                    map.entries().any(|(k, _)| !broken(&rules.key, Value::Str(k)).is_empty());
                if keys {
                    self.all(hidden, value, vec![Constraint::Keys(all_rules(&rules.key))]);
                }
                self.map_values(&rules.value, map, hidden);
            }
            _ => self.all(hidden, value, broken(shape, value)),
        }
    }

    fn items(&mut self, shape: &Shape, list: &dyn List, hidden: bool) {
        if let Shape::Struct(_) = shape {
            return;
        }
        for index in 0..list.len() {
            let Some(item) = list.get(index) else { continue };
            if matches!(shape, Shape::List(_) | Shape::Map(_)) {
                let mark = self.mark();
                self.value(shape, item.value(), hidden);
                self.prefix(mark, || Step::Item(index));
            } else if !broken(shape, item.value()).is_empty() {
                let rules = vec![Constraint::Items(all_rules(shape))];
                return self.all(hidden, Value::List(list), rules);
            }
        }
    }

    fn map_values(&mut self, shape: &Shape, map: &dyn Map, hidden: bool) {
        if let Shape::Struct(_) = shape {
            return;
        }
        // A list as the value of a map is reported as a whole where its length is wrong, and by its
        // path for what is wrong inside.
        for (key, item) in map.entries() {
            if !broken(shape, item.value()).is_empty() {
                let rules = vec![Constraint::Values(all_rules(shape))];
                return self.all(hidden, Value::Map(map), rules);
            }
            if let (Shape::List(rules), Value::List(list)) = (shape, item.value()) {
                let mark = self.mark();
                self.items(&rules.item, list, hidden || rules.sensitive);
                self.prefix(mark, || Step::Key(key.to_owned()));
            }
        }
    }

    fn all(&mut self, hidden: bool, value: Value<'_>, constraints: Vec<Constraint>) {
        for constraint in constraints {
            let echo = if hidden { Echo::Hidden } else { echo(value) };
            self.push(echo, constraint);
        }
    }
}

fn is_hidden(member: &Member) -> bool {
    crate::value::is_sensitive(member)
}

fn echo(value: Value<'_>) -> Echo {
    match text(value, 0) {
        Some(text) => Echo::text(&text),
        None => Echo::Hidden,
    }
}

/// As Java prints it; structures are left out, their text there is an address.
fn text(value: Value<'_>, depth: usize) -> Option<String> {
    const ITEMS_MAX: usize = 100;
    if depth > 4 {
        return None;
    }
    Some(match value {
        Value::Str(s) => s.to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::Long(n) => n.to_string(),
        Value::Float(n) => format!("{n:?}"),
        Value::Double(n) => format!("{n:?}"),
        Value::Timestamp(t) => Timestamp::iso8601_secs(t),
        Value::List(list) => {
            let items: Option<Vec<_>> = (0..list.len().min(ITEMS_MAX))
                .filter_map(|i| list.get(i))
                .map(|item| text(item.value(), depth + 1))
                .collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(map) => {
            let items: Option<Vec<_>> = map
                .entries()
                .take(ITEMS_MAX)
                .map(|(k, v)| Some(format!("{k}={}", text(v.value(), depth + 1)?)))
                .collect();
            format!("{{{}}}", items?.join(", "))
        }
        _ => return None,
    })
}

/// The rules that this value breaks, not looking at what it holds.
fn broken(shape: &Shape, value: Value<'_>) -> Vec<Constraint> {
    match (shape, value) {
        (Shape::String(rules), Value::Str(text)) => string(text, rules),
        (Shape::Integer(rules), Value::Integer(n)) => range(i64::from(n), rules),
        (Shape::Long(rules), Value::Long(n)) => range(n, rules),
        (Shape::Blob(rules), Value::Blob(bytes)) => length(bytes.len(), rules),
        (Shape::List(rules), Value::List(list)) => length(list.len(), &rules.length),
        (Shape::Map(rules), Value::Map(map)) => length(map.len(), &rules.length),
        _ => Vec::new(),
    }
}

/// All rules of a shape, in the order in which AWS lists them.
fn all_rules(shape: &Shape) -> Vec<Constraint> {
    let of_length = |rules: &LengthRules| {
        let max = rules.max.map(Constraint::LengthMax);
        max.into_iter().chain(rules.min.map(Constraint::LengthMin)).collect::<Vec<_>>()
    };
    match shape {
        Shape::String(rules) => {
            let mut all = of_length(&rules.length);
            all.extend(rules.pattern.as_ref().map(|p: &Pattern| Constraint::Pattern(p.text)));
            if !rules.values.is_empty() {
                all.push(Constraint::Enum(rules.values));
            }
            all
        }
        Shape::Integer(rules) | Shape::Long(rules) => {
            let max = rules.max.map(Constraint::RangeMax);
            max.into_iter().chain(rules.min.map(Constraint::RangeMin)).collect()
        }
        Shape::Blob(rules) => of_length(rules),
        Shape::List(rules) => of_length(&rules.length),
        Shape::Map(rules) => of_length(&rules.length),
        _ => Vec::new(),
    }
}

fn string(text: &str, rules: &StringRules) -> Vec<Constraint> {
    let mut out = Vec::new();
    if !rules.values.is_empty() && !rules.values.contains(&text) {
        out.push(Constraint::Enum(rules.values));
    }
    // The number of characters is at most that of bytes and at least a quarter of it.
    let too_long = rules.length.max.is_some_and(|max| {
        text.len() as u64 > max && text.chars().take(max as usize + 1).count() as u64 > max
    });
    if too_long {
        out.extend(rules.length.max.map(Constraint::LengthMax));
    }
    let too_short = rules.length.min.is_some_and(|min| {
        (text.len() as u64) < min.saturating_mul(4) && (text.chars().count() as u64) < min
    });
    if too_short {
        out.extend(rules.length.min.map(Constraint::LengthMin));
    }
    if let Some(pattern) = &rules.pattern
        && text.len() <= PATTERN_BYTES_MAX
        && !(too_long && text.len() > 4096)
        && !pattern.matches(text)
    {
        out.push(Constraint::Pattern(pattern.text));
    }
    out
}

fn range(n: i64, rules: &RangeRules) -> Vec<Constraint> {
    let above = rules.max.filter(|max| n > *max).map(Constraint::RangeMax);
    let below = rules.min.filter(|min| n < *min).map(Constraint::RangeMin);
    above.into_iter().chain(below).collect()
}

fn length(len: usize, rules: &LengthRules) -> Vec<Constraint> {
    let len = len as u64;
    let above = rules.max.filter(|max| len > *max).map(Constraint::LengthMax);
    let below = rules.min.filter(|min| len < *min).map(Constraint::LengthMin);
    above.into_iter().chain(below).collect()
}
