//! What is set on tables beside their keys: expiry of items, recovery, insights; limits and endpoints.

use crate::DynamoDb;
use crate::error::invalid;
use crate::jobs::PROGRESS;
use crate::keyspace::{TTL_SPACE, space};
use crate::names::TableName;
use crate::rows::ITEMS;
use crate::table::{Table, save};
use crate::{jobs, mutation};
use api::{Cx, Error, Tx};
use gen_dynamodb::*;
use store::Scope;

/// Of one page of ListContributorInsights.
const INSIGHTS_MAX: usize = 100;
/// Between two changes of the expiry of items.
const TTL_PAUSE_MS: i64 = 3_600_000;

/// It can be changed once an hour, and when nothing is left of what it was: times that are still to be removed
/// and those that are made anew stand in one place.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>
fn too_soon(tx: &Tx, table: &Table) -> Result<bool, Error> {
    let since = table.ttl_changed.map(|changed| tx.now().millis_since(changed));
    if since.is_some_and(|since| since < TTL_PAUSE_MS) {
        return Ok(true);
    }
    let left = tx.scan(&ITEMS, &table.scope).prefix(&space(table.number, TTL_SPACE));
    Ok(table.ttl.is_none() && left.keys().next().transpose()?.is_some())
}

impl DynamoDb {
    pub(crate) fn update_time_to_live(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &UpdateTimeToLiveInput,
    ) -> Result<UpdateTimeToLiveOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let TimeToLiveSpecification { enabled, attribute_name } = &input.time_to_live_specification;
        if attribute_name.is_empty() || attribute_name.len() > 255 {
            return Err(invalid(format!(
                "1 validation error detected: Value '{attribute_name}' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have length between 1 and 255"
            )));
        }
        mutation::check_name(attribute_name)?;
        let table = self.tables.settled(tx, &name)?;
        let mut row = table.row.clone();
        match (enabled, &row.ttl) {
            (true, Some(_)) => return Err(invalid("TimeToLive is already enabled")),
            (false, None) => return Err(invalid("TimeToLive is already disabled")),
            (false, Some(current)) if current != attribute_name => {
                return Err(invalid(format!(
                    "TimeToLive is active on a different AttributeName: current AttributeName is {current}"
                )));
            }
            _ if too_soon(tx, &table)? => {
                return Err(invalid(
                    "Time to live has been modified multiple times within a fixed interval",
                ));
            }
            (true, None) => {
                row.ttl = Some(attribute_name.clone());
                // What an earlier filling had come to is no beginning for this one.
                tx.delete(&PROGRESS, &table.scope, &(row.number, u32::from(TTL_SPACE)))?;
                jobs::fill(tx, &row, TTL_SPACE)?;
                jobs::expire(tx, &row)?;
            }
            (false, Some(_)) => {
                row.ttl = None;
                jobs::purge(tx, &row, Some(TTL_SPACE))?;
            }
        }
        row.ttl_changed = Some(tx.now());
        save(tx, &row)?;
        Ok(UpdateTimeToLiveOutput {
            time_to_live_specification: Some(input.time_to_live_specification.clone()),
        })
    }

    pub(crate) fn describe_time_to_live(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &DescribeTimeToLiveInput,
    ) -> Result<DescribeTimeToLiveOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.describe(tx, &name)?;
        let status = if table.ttl.is_some() { "ENABLED" } else { "DISABLED" };
        Ok(DescribeTimeToLiveOutput {
            time_to_live_description: Some(TimeToLiveDescription {
                time_to_live_status: Some(status.to_owned()),
                attribute_name: table.ttl.clone(),
            }),
        })
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
    pub(crate) fn describe_limits(
        &self,
        _: &Tx,
        _: &Cx,
        _: &DescribeLimitsInput,
    ) -> Result<DescribeLimitsOutput, Error> {
        Ok(DescribeLimitsOutput {
            account_max_read_capacity_units: Some(80_000),
            account_max_write_capacity_units: Some(80_000),
            table_max_read_capacity_units: Some(40_000),
            table_max_write_capacity_units: Some(40_000),
        })
    }

    /// The host that was asked, since there is no other.
    pub(crate) fn describe_endpoints(
        &self,
        _: &Tx,
        cx: &Cx,
        _: &DescribeEndpointsInput,
    ) -> Result<DescribeEndpointsOutput, Error> {
        let port = cx.http.port.map_or(String::new(), |port| format!(":{port}"));
        let address = format!("{}{port}", cx.http.host);
        Ok(DescribeEndpointsOutput {
            endpoints: vec![Endpoint { address, cache_period_in_minutes: 1440 }],
        })
    }

    pub(crate) fn update_contributor_insights(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &UpdateContributorInsightsInput,
    ) -> Result<UpdateContributorInsightsOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.describe(tx, &name)?;
        let index = self.insight_index(&table, input.index_name.as_ref())?;
        let mut row = table.row.clone();
        let mode = input.contributor_insights_mode.clone();
        let status = match input.contributor_insights_action.as_str() {
            "ENABLE" => {
                let mode = mode.clone().unwrap_or_else(|| "ACCESSED_AND_THROTTLED_KEYS".into());
                row.insights.insert(index, mode);
                "ENABLING"
            }
            _ => {
                row.insights.remove(&index);
                "DISABLING"
            }
        };
        save(tx, &row)?;
        Ok(UpdateContributorInsightsOutput {
            table_name: Some(row.name),
            index_name: input.index_name.clone(),
            contributor_insights_status: Some(status.into()),
            contributor_insights_mode: mode,
        })
    }

    fn insight_index(
        &self,
        table: &crate::table::Table,
        index: Option<&String>,
    ) -> Result<String, Error> {
        let Some(name) = index else { return Ok(String::new()) };
        match table.index(name) {
            Some(_) => Ok(name.clone()),
            None => Err(Error::new(
                &gen_dynamodb::errors::RESOURCE_NOT_FOUND_EXCEPTION,
                format!("Requested resource not found: Index: {name} not found"),
            )),
        }
    }

    pub(crate) fn describe_contributor_insights(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &DescribeContributorInsightsInput,
    ) -> Result<DescribeContributorInsightsOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.describe(tx, &name)?;
        let index = self.insight_index(&table, input.index_name.as_ref())?;
        let mode = table.insights.get(&index);
        let status = if mode.is_some() { "ENABLED" } else { "DISABLED" };
        Ok(DescribeContributorInsightsOutput {
            table_name: Some(table.name.clone()),
            index_name: input.index_name.clone(),
            contributor_insights_status: Some(status.into()),
            contributor_insights_mode: mode.cloned(),
            ..DescribeContributorInsightsOutput::default()
        })
    }

    pub(crate) fn list_contributor_insights(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListContributorInsightsInput,
    ) -> Result<ListContributorInsightsOutput, Error> {
        let limit = input.max_results.map_or(INSIGHTS_MAX, |most| most as usize).max(1);
        if limit > INSIGHTS_MAX {
            return Err(invalid(format!(
                "1 validation error detected: Value '{limit}' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to {INSIGHTS_MAX}"
            )));
        }
        let place = cx.token_place(&[input.table_name.as_deref().unwrap_or("")]);
        let after = match &input.next_token {
            None => None,
            Some(token) => {
                let last = cx.door.open_token(&place, token);
                let last = last.as_deref().and_then(|last| last.split_once(' '));
                let last = last.ok_or_else(|| invalid("The provided NextToken is invalid"))?;
                Some((last.0.to_owned(), last.1.to_owned()))
            }
        };
        let mut names = Vec::new();
        match &input.table_name {
            Some(name) => names.push(TableName::parse(cx, name)?),
            None => {
                let scope = Scope::AccountRegion(cx.account, cx.region.clone());
                let mut scan = tx.scan(&crate::rows::HEADS, &scope);
                if let Some((table, _)) = &after {
                    scan = scan.from(table.as_str());
                }
                for name in scan.keys() {
                    let (account, region) = (cx.account, cx.region.clone());
                    names.push(TableName { account, region, name: name? });
                }
            }
        }
        // By table, and then by index, the table's own first.
        let (mut all, mut last, mut more) = (Vec::new(), String::new(), false);
        'tables: for name in names {
            let table = self.tables.describe(tx, &name)?;
            for (index, mode) in &table.insights {
                if after.as_ref().is_some_and(|(of, done)| *of == table.name && index <= done) {
                    continue;
                }
                if all.len() == limit {
                    more = true;
                    break 'tables;
                }
                last = format!("{} {index}", table.name);
                all.push(ContributorInsightsSummary {
                    table_name: Some(table.name.clone()),
                    index_name: Some(index.clone()).filter(|index| !index.is_empty()),
                    contributor_insights_status: Some("ENABLED".into()),
                    contributor_insights_mode: Some(mode.clone()),
                });
            }
        }
        Ok(ListContributorInsightsOutput {
            contributor_insights_summaries: Some(all),
            next_token: more.then(|| cx.door.seal_token(&place, &last)),
        })
    }
}
