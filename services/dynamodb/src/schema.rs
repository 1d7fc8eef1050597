//! What a request says of keys, indexes and capacity, held against DynamoDB's rules.

use crate::error::{bad_parameter, invalid};
use crate::names::check_index_name;
use crate::rows::{AttributeKind, IndexRow, ProjectionKind, ThroughputRow};
use api::Error;
use gen_dynamodb::{
    AttributeDefinition, KeySchemaElement, OnDemandThroughput, Projection, ProvisionedThroughput,
    WarmThroughput,
};
use std::collections::BTreeMap;

pub(crate) type Attributes = BTreeMap<String, AttributeKind>;

/// Attributes of the hash key and of the range key, in order.
pub(crate) struct Keys {
    pub hash: Vec<String>,
    pub range: Vec<String>,
}

const CAPACITY_MAX: i64 = 1_000_000_000_000;
const NON_KEY_MAX: usize = 20;
const NON_KEY_TOTAL_MAX: usize = 100;
const PARTS_MAX: usize = 4;

pub(crate) fn attributes(
    definitions: Option<&Vec<AttributeDefinition>>,
) -> Result<Attributes, Error> {
    let mut all = Attributes::new();
    for definition in definitions.into_iter().flatten() {
        let AttributeDefinition { attribute_name, attribute_type } = definition;
        let kind = AttributeKind::parse(attribute_type)
            .ok_or_else(|| bad_parameter(format!("Unknown AttributeType: {attribute_type}")))?;
        if all.insert(attribute_name.clone(), kind).is_some() {
            return Err(bad_parameter(format!(
                "Duplicate AttributeName in AttributeDefinitions, cannot be redefined: {attribute_name}"
            )));
        }
    }
    Ok(all)
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A key schema: hash attributes, then range attributes, all defined. `several` says whether there may
/// be more than one of each, as global indexes can have.
pub(crate) fn keys(
    schema: &[KeySchemaElement],
    attributes: &Attributes,
    several: bool,
) -> Result<Keys, Error> {
    let most = if several { 2 * PARTS_MAX } else { 2 };
    if schema.is_empty() {
        return Err(bad_parameter("KeySchema is empty: No Hash Key specified in schema"));
    }
    if schema.len() > most {
        let shown: Vec<String> = schema
            .iter()
            .map(|e| {
                format!(
                    "KeySchemaElement(attributeName={}, keyType={})",
                    e.attribute_name, e.key_type
                )
            })
            .collect();
        return Err(invalid(format!(
            "1 validation error detected: Value '[{}]' at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to {most}",
            shown.join(", ")
        )));
    }
    if schema[0].key_type != "HASH" {
        return Err(invalid(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ));
    }
    if !several && schema.get(1).is_some_and(|second| second.key_type != "RANGE") {
        return Err(invalid(
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ));
    }
    let names: Vec<&String> = schema.iter().map(|element| &element.attribute_name).collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(invalid(
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ));
        }
    }
    let mut keys = Keys { hash: Vec::new(), range: Vec::new() };
    for element in schema {
        match element.key_type.as_str() {
            "HASH" if keys.range.is_empty() => keys.hash.push(element.attribute_name.clone()),
            "HASH" => {
                return Err(invalid(
                    "Invalid KeySchema: HASH key elements must precede all RANGE key elements",
                ));
            }
            _ => keys.range.push(element.attribute_name.clone()),
        }
    }
    if keys.hash.len() > PARTS_MAX || keys.range.len() > PARTS_MAX {
        return Err(invalid(format!(
            "Invalid KeySchema: A key schema can have at most {PARTS_MAX} HASH and {PARTS_MAX} RANGE key elements"
        )));
    }
    if names.iter().any(|name| !attributes.contains_key(*name)) {
        return Err(bad_parameter(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
            list(names.into_iter()),
            list(attributes.keys())
        )));
    }
    Ok(keys)
}

/// What an index keeps beside the keys.
pub(crate) fn projection(projection: &Projection) -> Result<(ProjectionKind, Vec<String>), Error> {
    let Projection { projection_type, non_key_attributes } = projection;
    let kind = match projection_type.as_deref() {
        Some("ALL") => ProjectionKind::All,
        Some("KEYS_ONLY") => ProjectionKind::KeysOnly,
        Some("INCLUDE") => ProjectionKind::Include,
        other => {
            return Err(bad_parameter(format!(
                "Unknown ProjectionType: {}",
                other.unwrap_or("null")
            )));
        }
    };
    match (kind, non_key_attributes) {
        (ProjectionKind::Include, None) => {
            Err(bad_parameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified"))
        }
        (ProjectionKind::Include, Some(names)) if names.is_empty() => {
            Err(bad_parameter("NonKeyAttributes must not be empty"))
        }
        (ProjectionKind::Include, Some(names)) if names.len() > NON_KEY_MAX => Err(bad_parameter(
            format!("Too many NonKeyAttributes: at most {NON_KEY_MAX} are allowed for an index"),
        )),
        (ProjectionKind::Include, Some(names)) => {
            for (at, name) in names.iter().enumerate() {
                if names[..at].contains(name) {
                    return Err(bad_parameter(format!(
                        "Duplicate attribute name in NonKeyAttributes: Duplicate: {name}"
                    )));
                }
            }
            Ok((kind, names.clone()))
        }
        (_, Some(_)) => Err(bad_parameter(format!(
            "ProjectionType is {}, but NonKeyAttributes is specified",
            kind.name()
        ))),
        (_, None) => Ok((kind, Vec::new())),
    }
}

/// The parts that global and local indexes have in common.
pub(crate) struct NewIndex<'a> {
    pub name: &'a str,
    pub schema: &'a [KeySchemaElement],
    pub projection: &'a Projection,
    pub throughput: Option<&'a ProvisionedThroughput>,
    pub on_demand: Option<&'a OnDemandThroughput>,
    pub warm: Option<&'a WarmThroughput>,
}

/// A global index.
pub(crate) fn global(
    new: &NewIndex<'_>,
    attributes: &Attributes,
    on_demand: bool,
) -> Result<IndexRow, Error> {
    check_index_name(new.name)?;
    let keys = keys(new.schema, attributes, true)?;
    let (projection, non_key) = projection(new.projection)?;
    let throughput = match (on_demand, new.throughput) {
        (true, Some(_)) => {
            return Err(bad_parameter(format!(
                "ProvisionedThroughput should not be specified for index: {} when BillingMode is PAY_PER_REQUEST",
                new.name
            )));
        }
        (true, None) => ThroughputRow::default(),
        (false, None) => {
            return Err(bad_parameter(format!(
                "ProvisionedThroughput must be specified for index: {}",
                new.name
            )));
        }
        (false, Some(throughput)) => capacity(throughput)?,
    };
    Ok(row(new, keys, projection, non_key, throughput, false))
}

/// A local index of a table with these keys.
pub(crate) fn local(
    new: &NewIndex<'_>,
    attributes: &Attributes,
    table: &Keys,
) -> Result<IndexRow, Error> {
    check_index_name(new.name)?;
    let keys = keys(new.schema, attributes, false)?;
    if keys.range.is_empty() {
        return Err(bad_parameter(format!(
            "Index KeySchema does not have a range key for index: {}",
            new.name
        )));
    }
    if keys.hash != table.hash {
        return Err(bad_parameter(format!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {}. index hash key: {}, table hash key: {}",
            new.name, keys.hash[0], table.hash[0]
        )));
    }
    let (projection, non_key) = projection(new.projection)?;
    Ok(row(new, keys, projection, non_key, ThroughputRow::default(), true))
}

fn row(
    new: &NewIndex<'_>,
    keys: Keys,
    projection: ProjectionKind,
    non_key: Vec<String>,
    throughput: ThroughputRow,
    local: bool,
) -> IndexRow {
    IndexRow {
        number: 0,
        name: new.name.to_owned(),
        hash: keys.hash,
        range: keys.range,
        projection,
        non_key,
        local,
        throughput,
        filling: false,
        max_reads: new.on_demand.and_then(|limits| limits.max_read_request_units),
        max_writes: new.on_demand.and_then(|limits| limits.max_write_request_units),
        warm_reads: new.warm.and_then(|warm| warm.read_units_per_second),
        warm_writes: new.warm.and_then(|warm| warm.write_units_per_second),
    }
}

/// Gives an index the limits and the warm throughput that a request names.
pub(crate) fn change_limits(
    index: &mut IndexRow,
    limits: Option<&OnDemandThroughput>,
    warm: Option<&WarmThroughput>,
) {
    if let Some(limits) = limits {
        index.max_reads = limits.max_read_request_units.or(index.max_reads);
        index.max_writes = limits.max_write_request_units.or(index.max_writes);
    }
    if let Some(warm) = warm {
        index.warm_reads = warm.read_units_per_second.or(index.warm_reads);
        index.warm_writes = warm.write_units_per_second.or(index.warm_writes);
    }
}

/// Whether all global indexes of a table that is provisioned from now on are so too.
pub(crate) fn check_provisioned(indexes: &[IndexRow]) -> Result<(), Error> {
    let mut global = indexes.iter().filter(|index| !index.local);
    match global.find(|index| index.throughput.reads == 0) {
        None => Ok(()),
        Some(index) => Err(bad_parameter(format!(
            "ProvisionedThroughput must be specified for index: {}",
            index.name
        ))),
    }
}

/// Attributes that all indexes of a table together keep beside keys.
pub(crate) fn check_non_key<'i>(
    indexes: impl IntoIterator<Item = &'i IndexRow>,
) -> Result<(), Error> {
    if indexes.into_iter().map(|index| index.non_key.len()).sum::<usize>() <= NON_KEY_TOTAL_MAX {
        return Ok(());
    }
    Err(bad_parameter(format!(
        "Total number of NonKeyAttributes exceeds the per-table limit of {NON_KEY_TOTAL_MAX}"
    )))
}

pub(crate) fn capacity(throughput: &ProvisionedThroughput) -> Result<ThroughputRow, Error> {
    let units = [
        ("ReadCapacityUnits", throughput.read_capacity_units),
        ("WriteCapacityUnits", throughput.write_capacity_units),
    ];
    for (name, value) in units {
        if value > CAPACITY_MAX {
            return Err(invalid(format!("Given value {value} for {name} is out of bounds")));
        }
    }
    Ok(ThroughputRow {
        reads: throughput.read_capacity_units,
        writes: throughput.write_capacity_units,
        ..ThroughputRow::default()
    })
}

/// Refuses definitions that no key uses.
pub(crate) fn check_used<'a>(
    attributes: &Attributes,
    used: impl Iterator<Item = &'a str>,
    has_indexes: bool,
) -> Result<(), Error> {
    let used: Vec<&str> = used.collect();
    if attributes.keys().all(|name| used.contains(&name.as_str())) {
        return Ok(());
    }
    if !has_indexes {
        return Err(bad_parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ));
    }
    let mut keys = used;
    keys.sort_unstable();
    keys.dedup();
    Err(bad_parameter(format!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
        list(attributes.keys()),
        keys.join(", ")
    )))
}
