//! Policies that AWS keeps: those that people attach most. They are the same in every account, so
//! they stand in the binary, as documents, and are parsed when first asked for.
//!
//! Deliberately absent: the rest of AWS's thousand and more, and their older versions.

use crate::ids::{Kind, new_unique_id};
use base::SeededEntropy;
use policy::Policy;
use std::sync::{Arc, OnceLock};

/// A policy of AWS's own, in its newest version.
#[derive(Debug)]
pub struct ManagedPolicy {
    pub name: &'static str,
    pub path: &'static str,
    pub version: u32,
    /// Seconds since 1970.
    pub created_s: i64,
    pub updated_s: i64,
    pub document: &'static str,
    parsed: OnceLock<Option<Arc<Policy>>>,
}

macro_rules! managed {
    ($path:literal, $name:literal, $version:literal, $created:literal, $updated:literal) => {
        ManagedPolicy {
            name: $name,
            path: $path,
            version: $version,
            created_s: $created,
            updated_s: $updated,
            document: include_str!(concat!("../managed/", $name, ".json")),
            parsed: OnceLock::new(),
        }
    };
}

impl ManagedPolicy {
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:iam::aws:policy{}{}", self.path, self.name)
    }

    /// Made from the name, since AWS does not publish its own.
    pub fn id(&self) -> String {
        let seed = self.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        new_unique_id(Kind::Policy, &SeededEntropy::new(seed))
    }

    /// `None` only if the document in the binary is broken, which a test excludes.
    pub fn parsed(&self) -> Option<Arc<Policy>> {
        let parse = || Policy::parse(policy::Kind::Inline, self.document).ok().map(Arc::new);
        self.parsed.get_or_init(parse).clone()
    }
}

/// The policy of that ARN, in any partition.
pub fn managed(arn: &str) -> Option<&'static ManagedPolicy> {
    let (_, rest) = arn.strip_prefix("arn:")?.split_once(':')?;
    let full = rest.strip_prefix("iam::aws:policy")?;
    let (_, name) = full.rsplit_once('/')?;
    let at = MANAGED.binary_search_by(|own| own.name.cmp(name)).ok()?;
    let found = &MANAGED[at];
    (full.strip_suffix(name) == Some(found.path)).then_some(found)
}

/// Sorted by name.
pub static MANAGED: [ManagedPolicy; 70] = [
    managed!("/", "AWSCloudFormationFullAccess", 1, 1564177835, 1564177835),
    managed!("/", "AWSCodeBuildAdminAccess", 20, 1480619084, 1770919311),
    managed!("/", "AWSCodeCommitFullAccess", 13, 1436461339, 1770919223),
    managed!("/", "AWSCodeCommitPowerUser", 18, 1436461609, 1770919044),
    managed!("/", "AWSCodePipeline_FullAccess", 3, 1596494308, 1710435983),
    managed!("/service-role/", "AWSElasticBeanstalkEnhancedHealth", 4, 1454973447, 1523311973),
    managed!("/", "AWSElasticBeanstalkMulticontainerDocker", 5, 1454973329, 1777490831),
    managed!("/", "AWSElasticBeanstalkWebTier", 9, 1454972934, 1777490836),
    managed!("/", "AWSElasticBeanstalkWorkerTier", 8, 1454973122, 1777490826),
    managed!("/", "AWSKeyManagementServicePowerUser", 2, 1423248040, 1488848111),
    managed!("/service-role/", "AWSLambdaBasicExecutionRole", 1, 1428591823, 1428591823),
    managed!("/service-role/", "AWSLambdaDynamoDBExecutionRole", 1, 1428592169, 1428592169),
    managed!("/service-role/", "AWSLambdaKinesisExecutionRole", 2, 1428592456, 1542658164),
    managed!("/service-role/", "AWSLambdaRole", 1, 1423248088, 1423248088),
    managed!("/service-role/", "AWSLambdaSQSQueueExecutionRole", 1, 1529013045, 1529013045),
    managed!("/service-role/", "AWSLambdaVPCAccessExecutionRole", 3, 1455232526, 1704494306),
    managed!("/", "AWSLambda_FullAccess", 7, 1605647648, 1770919251),
    managed!("/", "AWSLambda_ReadOnlyAccess", 5, 1605647432, 1770919375),
    managed!("/", "AWSStepFunctionsFullAccess", 1, 1484171492, 1484171492),
    managed!("/", "AWSXRayDaemonWriteAccess", 2, 1535497233, 1707861510),
    managed!("/", "AdministratorAccess", 1, 1423247986, 1423247986),
    managed!("/", "AmazonAPIGatewayAdministrator", 1, 1436463285, 1436463285),
    managed!("/", "AmazonAPIGatewayInvokeFullAccess", 2, 1436463372, 1545157510),
    managed!("/service-role/", "AmazonAPIGatewayPushToCloudWatchLogs", 1, 1447285306, 1447285306),
    managed!("/", "AmazonAthenaFullAccess", 15, 1480524361, 1770919389),
    managed!("/", "AmazonCognitoPowerUser", 9, 1427217296, 1770919209),
    managed!("/", "AmazonDynamoDBFullAccess", 15, 1423248011, 1611941910),
    managed!("/", "AmazonDynamoDBReadOnlyAccess", 15, 1423248012, 1731951495),
    managed!("/", "AmazonEC2ContainerRegistryFullAccess", 3, 1450717608, 1607126659),
    managed!("/", "AmazonEC2ContainerRegistryPowerUser", 3, 1450717533, 1576010888),
    managed!("/", "AmazonEC2ContainerRegistryReadOnly", 3, 1450717455, 1576011392),
    managed!("/service-role/", "AmazonEC2ContainerServiceRole", 2, 1428596059, 1470920881),
    managed!("/service-role/", "AmazonEC2ContainerServiceforEC2Role", 10, 1426790718, 1770919192),
    managed!("/", "AmazonEC2FullAccess", 5, 1423248015, 1543285016),
    managed!("/", "AmazonEC2ReadOnlyAccess", 5, 1423248017, 1770919397),
    managed!("/service-role/", "AmazonECSTaskExecutionRolePolicy", 1, 1510858102, 1510858102),
    managed!("/", "AmazonECS_FullAccess", 22, 1510090614, 1788360427),
    managed!("/service-role/", "AmazonElasticMapReduceRole", 10, 1423248080, 1593037460),
    managed!("/service-role/", "AmazonElasticMapReduceforEC2Role", 3, 1423248081, 1502495850),
    managed!("/", "AmazonEventBridgeFullAccess", 7, 1562854135, 1770919105),
    managed!("/", "AmazonKinesisFirehoseFullAccess", 1, 1444243526, 1444243526),
    managed!("/", "AmazonKinesisFullAccess", 1, 1423248029, 1423248029),
    managed!("/", "AmazonKinesisReadOnlyAccess", 1, 1423248030, 1423248030),
    managed!("/", "AmazonMachineLearningFullAccess", 1, 1428600341, 1428600341),
    managed!("/", "AmazonRDSFullAccess", 14, 1423248052, 1692313217),
    managed!("/", "AmazonRedshiftFullAccess", 5, 1423248050, 1657236673),
    managed!("/", "AmazonRoute53FullAccess", 7, 1423248054, 1770919240),
    managed!("/", "AmazonS3FullAccess", 2, 1423248058, 1632773797),
    managed!("/", "AmazonS3ReadOnlyAccess", 3, 1423248059, 1691703099),
    managed!("/", "AmazonSNSFullAccess", 2, 1423248065, 1727217125),
    managed!("/", "AmazonSNSReadOnlyAccess", 2, 1423248066, 1727215992),
    managed!("/", "AmazonSQSFullAccess", 1, 1423248067, 1423248067),
    managed!("/", "AmazonSQSReadOnlyAccess", 4, 1423248068, 1716574604),
    managed!("/", "AmazonSSMFullAccess", 4, 1432921187, 1574280536),
    managed!("/", "AmazonSSMManagedInstanceCore", 2, 1552670532, 1558630461),
    managed!("/", "AmazonSageMakerFullAccess", 29, 1511960879, 1770919112),
    managed!("/", "AmazonVPCFullAccess", 13, 1423248076, 1770919244),
    managed!("/", "AutoScalingFullAccess", 2, 1484249518, 1517954353),
    managed!("/", "CloudFrontFullAccess", 15, 1423247990, 1785429747),
    managed!("/", "CloudWatchAgentServerPolicy", 3, 1520384804, 1707237457),
    managed!("/", "CloudWatchFullAccess", 4, 1423248000, 1669555429),
    managed!("/", "CloudWatchLogsFullAccess", 8, 1423248002, 1770919233),
    managed!("/", "CloudWatchReadOnlyAccess", 25, 1423248001, 1790096227),
    managed!("/", "ElasticLoadBalancingFullAccess", 9, 1537476127, 1771873027),
    managed!("/", "IAMFullAccess", 2, 1423248038, 1561146000),
    managed!("/", "IAMReadOnlyAccess", 4, 1423248039, 1516907487),
    managed!("/", "IAMUserChangePassword", 5, 1479169516, 1770919137),
    managed!("/", "PowerUserAccess", 12, 1423247987, 1770919154),
    managed!("/", "ReadOnlyAccess", 190, 1423247988, 1790271428),
    managed!("/", "SecretsManagerReadWrite", 6, 1522865129, 1787701030),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parse_and_are_found() {
        for own in &MANAGED {
            assert!(own.parsed().is_some(), "{}", own.name);
            let arn = own.arn("aws-cn");
            assert_eq!(managed(&arn).map(|found| found.name), Some(own.name), "{arn}");
            assert!(own.created_s <= own.updated_s, "{}", own.name);
        }
        assert!(MANAGED.is_sorted_by_key(|own| own.name));
        for bad in [
            "",
            "arn:aws:iam::aws:policy/service-role/AdministratorAccess",
            "arn:aws:iam::aws:policy/x",
        ] {
            assert!(managed(bad).is_none(), "{bad}");
        }
    }
}
