//! Who may use a service, and when it was last used by whom.

use crate::error::invalid;
use crate::page::Pager;
use crate::sources::{self, Entity, Source};
use api::{Cx, Error, Tx};
use base::Timestamp;
use directory::{
    ACCESS_JOBS, AccessJobRow, GROUP_MEMBERS, Holder, POLICY_USES, entity_uses, key_of, role, user,
};
use gen_iam::*;
use policy::{Kind, Policy as Document};
use store::Scope;

/// Namespaces and names of the services that reports tell of, in the order of the namespaces.
const SERVICES: &[(&str, &str)] = &[
    ("apigateway", "Amazon API Gateway"),
    ("athena", "Amazon Athena"),
    ("autoscaling", "Amazon EC2 Auto Scaling"),
    ("cloudformation", "AWS CloudFormation"),
    ("cloudfront", "Amazon CloudFront"),
    ("cloudwatch", "Amazon CloudWatch"),
    ("codebuild", "AWS CodeBuild"),
    ("codecommit", "AWS CodeCommit"),
    ("codepipeline", "AWS CodePipeline"),
    ("cognito-identity", "Amazon Cognito Identity"),
    ("cognito-idp", "Amazon Cognito User Pools"),
    ("dynamodb", "Amazon DynamoDB"),
    ("ec2", "Amazon EC2"),
    ("ecr", "Amazon Elastic Container Registry"),
    ("ecs", "Amazon Elastic Container Service"),
    ("elasticbeanstalk", "AWS Elastic Beanstalk"),
    ("elasticloadbalancing", "AWS Elastic Load Balancing"),
    ("elasticmapreduce", "Amazon Elastic MapReduce"),
    ("events", "Amazon EventBridge"),
    ("firehose", "Amazon Data Firehose"),
    ("glue", "AWS Glue"),
    ("iam", "AWS Identity and Access Management"),
    ("kinesis", "Amazon Kinesis Data Streams"),
    ("kms", "AWS Key Management Service"),
    ("lambda", "AWS Lambda"),
    ("logs", "Amazon CloudWatch Logs"),
    ("redshift", "Amazon Redshift"),
    ("s3", "Amazon S3"),
    ("sagemaker", "Amazon SageMaker"),
    ("secretsmanager", "AWS Secrets Manager"),
    ("sns", "Amazon SNS"),
    ("sqs", "Amazon SQS"),
    ("ssm", "AWS Systems Manager"),
    ("states", "AWS Step Functions"),
    ("sts", "AWS Security Token Service"),
    ("xray", "AWS X-Ray"),
];

fn grants(source: &Source, service: &str) -> bool {
    Document::parse(Kind::Inline, &source.document)
        .is_ok_and(|policy| policy.grants_service(service))
}

pub(crate) fn list_granting(
    tx: &Tx,
    cx: &Cx,
    input: &ListPoliciesGrantingServiceAccessInput,
) -> Result<ListPoliciesGrantingServiceAccessOutput, Error> {
    let entity = sources::entity(tx, cx, &input.arn)?;
    let sources = sources::of(tx, cx, &entity)?;
    let joined = input.service_namespaces.join(",");
    let pager = Pager::new(cx, &[&input.arn, &joined], input.marker.as_deref(), None)?;
    let entry = |service: &String| {
        let found = sources.iter().filter(|source| grants(source, service));
        let policies = found.map(|source| PolicyGrantingServiceAccess {
            policy_name: source.name.clone(),
            policy_type: if source.arn.is_some() { "MANAGED" } else { "INLINE" }.to_owned(),
            policy_arn: source.arn.clone(),
            // Only of an inline policy AWS says whose it is.
            entity_type: source.arn.is_none().then(|| source.holder.0.to_owned()),
            entity_name: source.arn.is_none().then(|| source.holder.1.clone()),
        });
        ListPoliciesGrantingServiceAccessEntry {
            service_namespace: Some(service.clone()),
            policies: Some(policies.collect()),
        }
    };
    let names = input.service_namespaces.iter().enumerate();
    let page = pager.take(names.map(|(at, name)| Ok((format!("{at:03}"), entry(name)))))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    let policies_granting_service_access = page.items;
    Ok(ListPoliciesGrantingServiceAccessOutput {
        policies_granting_service_access,
        is_truncated,
        marker,
    })
}

/// Somebody whose uses count.
struct Member {
    info: EntityInfo,
}

fn of_user(tx: &Tx, cx: &Cx, name: &str) -> Result<Option<Member>, Error> {
    Ok(user(tx, cx.account, name)?.map(|row| Member {
        info: EntityInfo {
            arn: row.arn,
            name: row.name,
            r#type: "USER".to_owned(),
            id: row.id,
            path: Some(row.path),
        },
    }))
}

fn of_role(tx: &Tx, cx: &Cx, name: &str) -> Result<Option<Member>, Error> {
    Ok(role(tx, cx.account, name)?.map(|row| Member {
        info: EntityInfo {
            arn: row.arn,
            name: row.name,
            r#type: "ROLE".to_owned(),
            id: row.id,
            path: Some(row.path),
        },
    }))
}

/// The users of a group.
fn of_group(tx: &Tx, cx: &Cx, name: &str) -> Result<Vec<Member>, Error> {
    let (scope, key) = (Scope::Account(cx.account), key_of(name));
    let mut found = Vec::new();
    for member in tx.scan(&GROUP_MEMBERS, &scope).prefix(&(key.as_str(),)).keys() {
        found.extend(of_user(tx, cx, &member?.1)?);
    }
    Ok(found)
}

/// Whose uses a report on that ARN tells of, and the policies that let them.
fn subject(tx: &Tx, cx: &Cx, arn: &str) -> Result<(Vec<Member>, Vec<Source>), Error> {
    if arn.split(':').nth(5).is_some_and(|resource| resource.starts_with("policy/")) {
        let document = sources::managed_document(tx, cx, arn)?.ok_or_else(|| {
            let message = format!("The entity with arn {arn} cannot be found.");
            Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
        })?;
        let mut members = Vec::new();
        for found in tx.scan(&POLICY_USES, &Scope::Account(cx.account)).prefix(&(arn,)).keys() {
            let (_, kind, name) = found?;
            match kind {
                kind if kind == Holder::User as u8 => members.extend(of_user(tx, cx, &name)?),
                kind if kind == Holder::Role as u8 => members.extend(of_role(tx, cx, &name)?),
                _ => members.extend(of_group(tx, cx, &name)?),
            }
        }
        let holder = ("USER", String::new());
        let (id, name) = (arn.to_owned(), arn.to_owned());
        return Ok((members, vec![Source { id, name, arn: None, holder, document }]));
    }
    let entity = sources::entity(tx, cx, arn)?;
    let members = match &entity {
        Entity::User(row) => of_user(tx, cx, &row.name)?.into_iter().collect(),
        Entity::Role(row) => of_role(tx, cx, &row.name)?.into_iter().collect(),
        Entity::Group(row) => of_group(tx, cx, &row.name)?,
    };
    let sources = sources::of(tx, cx, &entity)?;
    Ok((members, sources))
}

pub(crate) fn generate(
    tx: &mut Tx,
    cx: &Cx,
    input: &GenerateServiceLastAccessedDetailsInput,
) -> Result<GenerateServiceLastAccessedDetailsOutput, Error> {
    subject(tx, cx, &input.arn)?;
    let granularity = input.granularity.clone().unwrap_or_else(|| "SERVICE_LEVEL".to_owned());
    let id = cx.entropy.uuid();
    let row = AccessJobRow { arn: input.arn.clone(), granularity, created: tx.now() };
    tx.put(&ACCESS_JOBS, &Scope::Account(cx.account), id.as_str(), &row)?;
    Ok(GenerateServiceLastAccessedDetailsOutput { job_id: Some(id) })
}

fn job(tx: &Tx, cx: &Cx, id: &str) -> Result<AccessJobRow, Error> {
    tx.get(&ACCESS_JOBS, &Scope::Account(cx.account), id)?.ok_or_else(|| {
        let message = format!("Job id {id} does not exist.");
        Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
    })
}

/// When each member used the service last, the newest first.
fn uses(
    tx: &Tx,
    cx: &Cx,
    members: &[Member],
    service: &str,
) -> Result<Vec<(Timestamp, String, usize)>, Error> {
    let mut found = Vec::new();
    for (index, member) in members.iter().enumerate() {
        for (own, row) in entity_uses(tx, cx.account, &member.info.id)? {
            if own == service {
                found.push((row.at, row.region, index));
            }
        }
    }
    found.sort_by_key(|(at, _, index)| (std::cmp::Reverse(*at), *index));
    Ok(found)
}

/// As of now: a report is worked out when it is read, so it is complete at once.
pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetServiceLastAccessedDetailsInput,
) -> Result<GetServiceLastAccessedDetailsOutput, Error> {
    let job = job(tx, cx, &input.job_id)?;
    let (members, sources) = subject(tx, cx, &job.arn)?;
    let pager = Pager::new(cx, &[&input.job_id], input.marker.as_deref(), input.max_items)?;
    let services = SERVICES.iter().filter(|(own, _)| sources.iter().any(|s| grants(s, own)));
    let page = pager.take(services.map(|(namespace, name)| {
        let uses = uses(tx, cx, &members, namespace)?;
        let last = uses.first();
        let shown = ServiceLastAccessed {
            service_name: (*name).to_owned(),
            service_namespace: (*namespace).to_owned(),
            last_authenticated: last.map(|(at, ..)| *at),
            last_authenticated_entity: last.map(|(_, _, index)| members[*index].info.arn.clone()),
            last_authenticated_region: last.map(|(_, region, _)| region.clone()),
            total_authenticated_entities: i32::try_from(uses.len()).ok(),
            tracked_actions_last_accessed: None,
        };
        Ok(((*namespace).to_owned(), shown))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(GetServiceLastAccessedDetailsOutput {
        job_status: "COMPLETED".to_owned(),
        job_type: Some(job.granularity),
        job_creation_date: job.created,
        job_completion_date: job.created,
        services_last_accessed: page.items,
        is_truncated,
        marker,
        error: None,
    })
}

pub(crate) fn get_with_entities(
    tx: &Tx,
    cx: &Cx,
    input: &GetServiceLastAccessedDetailsWithEntitiesInput,
) -> Result<GetServiceLastAccessedDetailsWithEntitiesOutput, Error> {
    let job = job(tx, cx, &input.job_id)?;
    let service = &input.service_namespace;
    if !SERVICES.iter().any(|(own, _)| own == service) {
        return Err(invalid(format!("Invalid service namespace: {service}")));
    }
    let (members, _) = subject(tx, cx, &job.arn)?;
    let parameters = [input.job_id.as_str(), service.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let used = uses(tx, cx, &members, service)?;
    let page = pager.take(used.into_iter().enumerate().map(|(at, (when, _, index))| {
        let entity_info = members[index].info.clone();
        Ok((format!("{at:06}"), EntityDetails { entity_info, last_authenticated: Some(when) }))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(GetServiceLastAccessedDetailsWithEntitiesOutput {
        job_status: "COMPLETED".to_owned(),
        job_creation_date: job.created,
        job_completion_date: job.created,
        entity_details_list: page.items,
        is_truncated,
        marker,
        error: None,
    })
}
