//! Roles that belong to a service of AWS: one for each service, with a name, a path and a trust policy
//! that nobody chooses, and that nobody but this module changes.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html>

use crate::account::{ROLES_MAX, check_quota};
use crate::error::{conflict, invalid};
use crate::holder::{Holds, note_use};
use crate::{ask, view};
use api::{Cx, Error, Tx};
use directory::{
    Holder, Kind, PoliciesRow, ROLE_DELETIONS, ROLE_PROFILES, ROLES, RoleDeletionRow, RoleRow,
    key_of, managed, new_unique_id, touch,
};
use gen_iam::*;
use std::collections::{BTreeMap, BTreeSet};
use store::Scope;

pub(crate) const PATH: &str = "/aws-service-role/";
const SESSION_S: u32 = 3_600;

/// Service, without `.amazonaws.com`; its role's name behind `AWSServiceRoleFor`; the policy that goes
/// with the role, where this cloud has its content. In the order of the services.
const ROLES_OF_SERVICES: &[(&str, &str, &str)] = &[
    ("access-analyzer", "AccessAnalyzer", "AccessAnalyzerServiceRolePolicy"),
    ("airflow", "AmazonMWAA", "AmazonMWAAServiceRolePolicy"),
    ("apprunner", "AppRunner", "AppRunnerServiceRolePolicy"),
    ("appsync", "AppSync", "AWSAppSyncServiceRolePolicy"),
    ("autoscaling", "AutoScaling", "AutoScalingServiceRolePolicy"),
    ("backup", "Backup", "AWSBackupServiceLinkedRolePolicyForBackup"),
    ("batch", "Batch", "BatchServiceRolePolicy"),
    ("cloudtrail", "CloudTrail", "CloudTrailServiceRolePolicy"),
    (
        "codestar-notifications",
        "CodeStarNotifications",
        "AWSCodeStarNotificationsServiceRolePolicy",
    ),
    ("cognito-idp", "AmazonCognitoIdp", "AmazonCognitoIdpServiceRolePolicy"),
    ("config", "Config", "AWSConfigServiceRolePolicy"),
    (
        "custom-resource.application-autoscaling",
        "ApplicationAutoScaling_CustomResource",
        "AWSApplicationAutoScalingCustomResourcePolicy",
    ),
    (
        "dynamodb.application-autoscaling",
        "ApplicationAutoScaling_DynamoDBTable",
        "AWSApplicationAutoscalingDynamoDBTablePolicy",
    ),
    (
        "ec2.application-autoscaling",
        "ApplicationAutoScaling_EC2SpotFleetRequest",
        "AWSApplicationAutoscalingEC2SpotFleetRequestPolicy",
    ),
    ("ecs", "ECS", "AmazonECSServiceRolePolicy"),
    (
        "ecs.application-autoscaling",
        "ApplicationAutoScaling_ECSService",
        "AWSApplicationAutoscalingECSServicePolicy",
    ),
    ("eks", "AmazonEKS", "AmazonEKSServiceRolePolicy"),
    ("eks-fargate", "AmazonEKSForFargate", "AmazonEKSForFargateServiceRolePolicy"),
    ("eks-nodegroup", "AmazonEKSNodegroup", "AWSServiceRoleForAmazonEKSNodegroup"),
    ("elasticache", "ElastiCache", "ElastiCacheServiceRolePolicy"),
    ("elasticbeanstalk", "ElasticBeanstalk", "AWSElasticBeanstalkServiceRolePolicy"),
    ("elasticloadbalancing", "ElasticLoadBalancing", "AWSElasticLoadBalancingServiceRolePolicy"),
    ("elasticmapreduce", "EMRCleanup", "AmazonEMRCleanupPolicy"),
    (
        "elasticmapreduce.application-autoscaling",
        "ApplicationAutoScaling_EMRInstanceGroup",
        "AWSApplicationAutoscalingEMRInstanceGroupPolicy",
    ),
    ("email.cognito-idp", "AmazonCognitoIdpEmailService", "AmazonCognitoIdpEmailServiceRolePolicy"),
    ("es", "AmazonElasticsearchService", "AmazonElasticsearchServiceRolePolicy"),
    ("events", "CloudWatchEvents", "CloudWatchEventsServiceRolePolicy"),
    ("globalaccelerator", "GlobalAccelerator", "AWSGlobalAcceleratorSLRPolicy"),
    ("guardduty", "AmazonGuardDuty", "AmazonGuardDutyServiceRolePolicy"),
    ("kafka", "Kafka", "KafkaServiceRolePolicy"),
    (
        "lambda.application-autoscaling",
        "ApplicationAutoScaling_LambdaConcurrency",
        "AWSApplicationAutoscalingLambdaConcurrencyPolicy",
    ),
    ("logger.cloudfront", "CloudFrontLogger", "AWSCloudFrontLogger"),
    (
        "maintenance.elasticbeanstalk",
        "ElasticBeanstalkMaintenance",
        "AWSElasticBeanstalkMaintenance",
    ),
    (
        "managedupdates.elasticbeanstalk",
        "ElasticBeanstalkManagedUpdates",
        "AWSElasticBeanstalkManagedUpdatesServiceRolePolicy",
    ),
    ("opensearchservice", "AmazonOpenSearchService", "AmazonOpenSearchServiceRolePolicy"),
    ("ops.apigateway", "APIGateway", "APIGatewayServiceRolePolicy"),
    ("organizations", "Organizations", "AWSOrganizationsServiceTrustPolicy"),
    ("rds", "RDS", "AmazonRDSServiceRolePolicy"),
    (
        "rds.application-autoscaling",
        "ApplicationAutoScaling_RDSCluster",
        "AWSApplicationAutoscalingRDSClusterPolicy",
    ),
    ("redshift", "Redshift", "AmazonRedshiftServiceLinkedRolePolicy"),
    ("replication.dynamodb", "DynamoDBReplication", "DynamoDBReplicationServiceRolePolicy"),
    ("replication.ecr", "ECRReplication", "ECRReplicationServiceRolePolicy"),
    ("replicator.lambda", "LambdaReplicator", "AWSLambdaReplicator"),
    (
        "sagemaker.application-autoscaling",
        "ApplicationAutoScaling_SageMakerEndpoint",
        "AWSApplicationAutoscalingSageMakerEndpointPolicy",
    ),
    ("spot", "EC2Spot", "AWSEC2SpotServiceRolePolicy"),
    ("spotfleet", "EC2SpotFleet", "AWSEC2SpotFleetServiceRolePolicy"),
    ("ssm", "AmazonSSM", "AmazonSSMServiceRolePolicy"),
    ("support", "Support", "AWSSupportServiceRolePolicy"),
    ("transitgateway", "VPCTransitGateway", "AWSVPCTransitGatewayServiceRolePolicy"),
    ("trustedadvisor", "TrustedAdvisor", "AWSTrustedAdvisorServiceRolePolicy"),
];

/// Services whose role may have a suffix of the customer's.
const WITH_SUFFIX: [&str; 1] = ["autoscaling"];

/// What the service is called in the table, and its row.
fn find(service: &str) -> Result<&'static (&'static str, &'static str, &'static str), Error> {
    let short = service.strip_suffix(".amazonaws.com").unwrap_or_default();
    let at = ROLES_OF_SERVICES.binary_search_by(|(own, ..)| own.cmp(&short)).map_err(|_| {
        invalid(format!("The service principal {service} has no service-linked role."))
    })?;
    Ok(&ROLES_OF_SERVICES[at])
}

/// The role that `CreateServiceLinkedRole` would make: for the question whether one may.
pub(crate) fn resource(service: &str, suffix: Option<&str>) -> String {
    match find(service) {
        Ok((_, name, _)) => format!("role{PATH}{service}/{}", full_name(name, suffix)),
        Err(_) => format!("role{PATH}{service}/*"),
    }
}

fn full_name(name: &str, suffix: Option<&str>) -> String {
    let suffix = suffix.map(|suffix| format!("_{suffix}")).unwrap_or_default();
    format!("AWSServiceRoleFor{name}{suffix}")
}

/// Refuses a change to a role that belongs to a service.
pub(crate) fn check_modifiable(row: &RoleRow) -> Result<(), Error> {
    if !row.path.starts_with(PATH) {
        return Ok(());
    }
    let message = format!(
        "Cannot perform the operation on the protected role '{}' - this role is only modifiable by AWS",
        row.name
    );
    Err(Error::new(&errors::UNMODIFIABLE_ENTITY_EXCEPTION, message))
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateServiceLinkedRoleInput,
) -> Result<CreateServiceLinkedRoleOutput, Error> {
    let service = &input.aws_service_name;
    let (short, name, policy) = find(service)?;
    let suffix = input.custom_suffix.as_deref();
    if suffix.is_some() && !WITH_SUFFIX.contains(short) {
        return Err(invalid(format!("Custom suffix is not allowed for {service}")));
    }
    let name = full_name(name, suffix);
    if RoleRow::find(tx, cx.account, &name)?.is_some() {
        let message = format!(
            "Service role name {name} has been taken in this account, please try a different suffix."
        );
        return Err(invalid(message));
    }
    check_quota(tx, cx, &ROLES, ("RolesPerAccount", ROLES_MAX))?;
    let path = format!("{PATH}{service}/");
    let arn = format!("arn:{}:iam::aws:policy/aws-service-role/{policy}", cx.partition().as_str());
    let mut policies = PoliciesRow::new(None);
    if managed(&arn).is_some() {
        note_use(tx, cx, &arn, Holder::Role, &name, |used| used.attached = true)?;
        policies.attached = BTreeSet::from([arn]);
    }
    let row = RoleRow {
        id: new_unique_id(Kind::Role, &*cx.entropy),
        arn: ask::arn(cx, &format!("role{path}{name}")),
        name,
        path,
        created: tx.now(),
        tags: Vec::new(),
        policies,
        trust: format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
        ),
        description: input.description.clone(),
        session_s_max: SESSION_S,
        trust_ids: BTreeMap::new(),
    };
    row.put(tx, cx)?;
    Ok(CreateServiceLinkedRoleOutput { role: Some(view::role(tx, &row)?) })
}

/// Nothing here uses such a role yet, so it can always go, at once.
pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteServiceLinkedRoleInput,
) -> Result<DeleteServiceLinkedRoleOutput, Error> {
    let row = RoleRow::load(tx, cx, &input.role_name)?;
    let Some(service) = row.path.strip_prefix(PATH) else {
        return Err(invalid(format!("The role {} is not a service-linked role.", row.name)));
    };
    let (scope, key) = (Scope::Account(cx.account), key_of(&row.name));
    if tx.first(&ROLE_PROFILES, &scope, &(key.as_str(),))?.is_some() {
        return Err(conflict("remove roles from instance profile first"));
    }
    for arn in &row.policies.attached {
        note_use(tx, cx, arn, Holder::Role, &row.name, |used| used.attached = false)?;
    }
    tx.delete(&ROLES, &scope, &key)?;
    touch(tx, cx.account, &*cx.entropy)?;
    let task = format!("task{PATH}{service}{}/{}", row.name, cx.entropy.uuid());
    let deletion = RoleDeletionRow { role: row.name, at: tx.now() };
    tx.put(&ROLE_DELETIONS, &scope, task.as_str(), &deletion)?;
    Ok(DeleteServiceLinkedRoleOutput { deletion_task_id: task })
}

pub(crate) fn deletion_status(
    tx: &Tx,
    cx: &Cx,
    input: &GetServiceLinkedRoleDeletionStatusInput,
) -> Result<GetServiceLinkedRoleDeletionStatusOutput, Error> {
    let id = &input.deletion_task_id;
    if !tx.exists(&ROLE_DELETIONS, &Scope::Account(cx.account), id)? {
        let message = format!("The deletion task {id} cannot be found.");
        return Err(Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message));
    }
    Ok(GetServiceLinkedRoleDeletionStatusOutput { status: "SUCCEEDED".to_owned(), reason: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(ROLES_OF_SERVICES.is_sorted_by_key(|(service, ..)| service));
    }
}
