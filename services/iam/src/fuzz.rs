//! What the fuzz target runs, and a unit test from a fixed seed: any form, to every operation.

use crate::Iam;
use api::testing::World;
use gen_iam::Handler;
use smithy::model::Protocol;

/// The body of a request.
pub fn fuzz_request(world: &World, data: &[u8]) {
    let request = [b"POST /\n\n", data].concat();
    api::fuzz::request(world, &Handler(Iam), Protocol::AwsQuery, &request);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22000000000000%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";
    const GRANT: &str = "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A*%22%2C%22Resource%22%3A%22*%22%7D%7D";
    const SAML: &str = "%3CEntityDescriptor%20xmlns%3D%22urn%3Aoasis%3Anames%3Atc%3ASAML%3A2.0%3Ametadata%22%20entityID%3D%22a%22%3E%3CIDPSSODescriptor%2F%3E%3C%2FEntityDescriptor%3E";

    #[test]
    fn a_second_of_noise() {
        let forms = [
            "Action=CreateUser&UserName=ann&Path=/a/b/&Tags.member.1.Key=k&Tags.member.1.Value=v".to_owned(),
            format!("Action=CreateRole&RoleName=r&AssumeRolePolicyDocument={TRUST}&MaxSessionDuration=3600"),
            format!("Action=PutRolePolicy&RoleName=r&PolicyName=p&PolicyDocument={GRANT}"),
            format!("Action=CreatePolicy&PolicyName=p&PolicyDocument={GRANT}"),
            format!("Action=CreateSAMLProvider&Name=s&SAMLMetadataDocument={SAML}"),
            "Action=CreateOpenIDConnectProvider&Url=https://a.b/c&ClientIDList.member.1=x&ThumbprintList.member.1=0123456789012345678901234567890123456789".into(),
            "Action=CreateLoginProfile&UserName=ann&Password=Aa1!aaaaaa".into(),
            "Action=UploadServerCertificate&ServerCertificateName=c&CertificateBody=-----BEGIN&PrivateKey=x".into(),
            "Action=UploadSSHPublicKey&UserName=ann&SSHPublicKeyBody=ssh-rsa%20AAAA".into(),
            "Action=UploadSigningCertificate&UserName=ann&CertificateBody=-----BEGIN%20CERTIFICATE-----".into(),
            "Action=ListUsers&PathPrefix=/&MaxItems=1&Marker=00ff".into(),
            format!("Action=SimulateCustomPolicy&PolicyInputList.member.1={GRANT}&ActionNames.member.1=s3:GetObject&ContextEntries.member.1.ContextKeyName=aws:SourceIp&ContextEntries.member.1.ContextKeyType=ip&ContextEntries.member.1.ContextKeyValues.member.1=1.2.3.4"),
            "Action=UpdateAccountPasswordPolicy&MinimumPasswordLength=8".into(),
            "Action=AttachRolePolicy&RoleName=r&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess".into(),
            "Action=EnableMFADevice&UserName=ann&SerialNumber=arn:aws:iam::000000000000:mfa/x&AuthenticationCode1=123456&AuthenticationCode2=654321".into(),
        ];
        let seeds: Vec<&[u8]> = forms.iter().map(|form| form.as_bytes()).collect();
        let words: [&[u8]; 10] = [
            b"%",
            b"&",
            b"=",
            b".member.1",
            b"%22",
            b"%7B",
            b"999999999999",
            b"arn:",
            b"/",
            b"%00",
        ];
        let world = World::new(5);
        base::noise::run(5, 6_000, &seeds, &words, |data| fuzz_request(&world, data));
    }
}
