//! GetItem, PutItem, UpdateItem, DeleteItem.

use crate::capacity::{self, ReadUnits, Wanted, read_units};
use crate::error::invalid;
use crate::keyspace::check_key;
use crate::mutation::{Deed, Mutation, check_fault, check_name, check_new};
use crate::names::TableName;
use crate::params::{Params, attributes_to_get, check_projection};
use crate::throttle::{Use, Way};
use crate::write::{key_of, read_item};
use crate::{DynamoDb, collections, legacy};
use api::{Cx, Error, Tx};
use bytes::Bytes;
use gen_dynamodb::*;
use item::{Item, Map};
use std::collections::BTreeMap;

/// What an update expression says of an operand, and older parameters say otherwise.
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";

/// Whether the item of a failed condition is to be shown.
pub(crate) fn shows_old(text: Option<&String>) -> bool {
    text.is_some_and(|text| text == "ALL_OLD")
}

/// What PutItem and DeleteItem say alike.
struct Asked<'i> {
    table: &'i str,
    condition: Option<&'i String>,
    names: Option<&'i BTreeMap<String, String>>,
    values: Option<&'i Item>,
    expected: Option<&'i BTreeMap<String, ExpectedAttributeValue>>,
    operator: Option<&'i String>,
    returned: Option<&'i String>,
    on_failure: Option<&'i String>,
    consumed: Option<&'i String>,
}

macro_rules! asked {
    ($input:expr) => {
        Asked {
            table: &$input.table_name,
            condition: $input.condition_expression.as_ref(),
            names: $input.expression_attribute_names.as_ref(),
            values: $input.expression_attribute_values.as_ref(),
            expected: $input.expected.as_ref(),
            operator: $input.conditional_operator.as_ref(),
            returned: $input.return_values.as_ref(),
            on_failure: $input.return_values_on_condition_check_failure.as_ref(),
            consumed: $input.return_consumed_capacity.as_ref(),
        }
    };
}

impl DynamoDb {
    pub(crate) fn get_item(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetItemInput,
    ) -> Result<GetItemOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let mut params = Params::new(
            &self.parsed,
            input.expression_attribute_names.as_ref(),
            None,
            &[("ProjectionExpression", input.projection_expression.is_some())],
            &[("AttributesToGet", input.attributes_to_get.is_some())],
        )?;
        check_fault(&input.key)?;
        let projection = match attributes_to_get(input.attributes_to_get.as_ref())? {
            Some(projection) => Some(projection),
            None => params.projection(input.projection_expression.as_ref())?,
        };
        params.finish()?;
        let table = self.tables.get(tx, &name)?;
        check_key(&table, input.key.map())?;
        check_projection(&table, projection.as_ref())?;
        let key = key_of(&table, input.key.map());
        let reads = Use::new(&table, None, Way::Read).at(&key.0);
        reads.admit(tx)?;
        let row = read_item(tx, &table, &key)?;
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let size = row.as_ref().map_or(0, |row| row.size_bytes as usize);
        let units = read_units(size, input.consistent_read == Some(true));
        reads.take(tx, units);
        let units = ReadUnits { table: units, index: None };
        Ok(GetItemOutput {
            consumed_capacity: capacity::of_reads(&table, wanted, &units),
            item: row.map(|row| match &projection {
                Some(projection) => Item::from_bytes(projection.apply(Map::of(&row.item))),
                None => Item::from_bytes(row.item),
            }),
        })
    }

    pub(crate) fn put_item(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutItemInput,
    ) -> Result<PutItemOutput, Error> {
        let mutation = self.put_mutation(cx, input)?;
        let table = self.tables.get(tx, &mutation.table)?;
        let outcome = mutation.run(tx, cx, &table)?;
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let metrics = input.return_item_collection_metrics.as_ref();
        let shown = shows_old(input.return_values.as_ref());
        Ok(PutItemOutput {
            attributes: outcome.old.filter(|_| shown).map(|row| Item::from_bytes(row.item)),
            consumed_capacity: capacity::of_writes(&table, wanted, &outcome.units),
            item_collection_metrics: collections::metrics(tx, &table, metrics, input.item.map())?,
        })
    }

    pub(crate) fn put_mutation(&self, cx: &Cx, input: &PutItemInput) -> Result<Mutation, Error> {
        self.mutation_of(cx, asked!(input), Deed::Put(input.item.clone()))
    }

    pub(crate) fn delete_item(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteItemInput,
    ) -> Result<DeleteItemOutput, Error> {
        let mutation = self.delete_mutation(cx, input)?;
        let table = self.tables.get(tx, &mutation.table)?;
        let outcome = mutation.run(tx, cx, &table)?;
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let metrics = input.return_item_collection_metrics.as_ref();
        let shown = shows_old(input.return_values.as_ref());
        Ok(DeleteItemOutput {
            attributes: outcome.old.filter(|_| shown).map(|row| Item::from_bytes(row.item)),
            consumed_capacity: capacity::of_writes(&table, wanted, &outcome.units),
            item_collection_metrics: collections::metrics(tx, &table, metrics, input.key.map())?,
        })
    }

    fn delete_mutation(&self, cx: &Cx, input: &DeleteItemInput) -> Result<Mutation, Error> {
        self.mutation_of(cx, asked!(input), Deed::Delete(input.key.clone()))
    }

    fn mutation_of(&self, cx: &Cx, asked: Asked<'_>, deed: Deed) -> Result<Mutation, Error> {
        let table = TableName::parse(cx, asked.table)?;
        let mut params = Params::new(
            &self.parsed,
            asked.names,
            asked.values,
            &[("ConditionExpression", asked.condition.is_some())],
            &[
                ("Expected", asked.expected.is_some()),
                ("ConditionalOperator", asked.operator.is_some()),
            ],
        )?;
        match &deed {
            Deed::Put(item) => check_new(item)?,
            Deed::Delete(key) => check_fault(key)?,
            _ => return Err(Error::internal("a put or a delete")),
        }
        let returned = old_or_none(asked.returned)?;
        let expected = legacy::expected(asked.expected, asked.operator)?;
        let condition = params.condition("ConditionExpression", asked.condition)?;
        params.finish()?;
        Ok(Mutation {
            table,
            deed,
            condition: condition.or(expected),
            show_old: shows_old(asked.on_failure),
            wants_old: returned || Wanted::of(asked.consumed) != Wanted::Nothing,
        })
    }

    pub(crate) fn update_item(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &UpdateItemInput,
    ) -> Result<UpdateItemOutput, Error> {
        let mutation = self.update_mutation(cx, input)?;
        let table = self.tables.get(tx, &mutation.table)?;
        let outcome = mutation.run(tx, cx, &table).map_err(Error::from).map_err(|error| {
            let older = input.attribute_updates.is_some();
            match older && error.message() == WRONG_TYPE {
                true => error.with_message("Type mismatch for attribute to update"),
                false => error,
            }
        })?;
        let touched = match &mutation.deed {
            Deed::Update(_, update) => update.touched(),
            _ => return Err(Error::internal("an update is an update")),
        };
        let part = |item: Option<&Bytes>| {
            let part = touched.apply(Map::of(item?));
            (!part.is_empty()).then_some(part)
        };
        let old = outcome.old.as_ref().map(|row| &row.item);
        let attributes = match input.return_values.as_deref() {
            Some("ALL_OLD") => old.cloned(),
            Some("ALL_NEW") => outcome.new.clone(),
            Some("UPDATED_OLD") => part(old),
            Some("UPDATED_NEW") => part(outcome.new.as_ref()),
            _ => None,
        };
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let metrics = input.return_item_collection_metrics.as_ref();
        Ok(UpdateItemOutput {
            attributes: attributes.map(Item::from_bytes),
            consumed_capacity: capacity::of_writes(&table, wanted, &outcome.units),
            item_collection_metrics: collections::metrics(tx, &table, metrics, input.key.map())?,
        })
    }

    fn update_mutation(&self, cx: &Cx, input: &UpdateItemInput) -> Result<Mutation, Error> {
        let table = TableName::parse(cx, &input.table_name)?;
        let mut params = Params::new(
            &self.parsed,
            input.expression_attribute_names.as_ref(),
            input.expression_attribute_values.as_ref(),
            &[
                ("UpdateExpression", input.update_expression.is_some()),
                ("ConditionExpression", input.condition_expression.is_some()),
            ],
            &[
                ("AttributeUpdates", input.attribute_updates.is_some()),
                ("Expected", input.expected.is_some()),
                ("ConditionalOperator", input.conditional_operator.is_some()),
            ],
        )?;
        check_fault(&input.key)?;
        let updates = input.attribute_updates.as_ref();
        updates.into_iter().flat_map(|all| all.keys()).try_for_each(|name| check_name(name))?;
        let older = updates.map(legacy::updates).transpose()?;
        let expected =
            legacy::expected(input.expected.as_ref(), input.conditional_operator.as_ref())?;
        let update = params.update(input.update_expression.as_ref())?;
        let condition =
            params.condition("ConditionExpression", input.condition_expression.as_ref())?;
        params.finish()?;
        let update = update.or(older).unwrap_or_default();
        Ok(Mutation {
            table,
            deed: Deed::Update(input.key.clone(), update),
            condition: condition.or(expected),
            show_old: shows_old(input.return_values_on_condition_check_failure.as_ref()),
            wants_old: true,
        })
    }
}

fn old_or_none(text: Option<&String>) -> Result<bool, Error> {
    match text.map(String::as_str) {
        None | Some("NONE") => Ok(false),
        Some("ALL_OLD") => Ok(true),
        Some(_) => Err(invalid("ReturnValues can only be ALL_OLD or NONE")),
    }
}
