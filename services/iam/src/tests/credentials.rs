//! What users have beside access keys.

use super::{World, call, fine, finish, refused};
use base::Timestamp;
use directory::mfa_code;
use gen_iam::*;

const CERTIFICATE: &str = include_str!("pem/certificate.pem");
const KEY: &str = include_str!("pem/key.pem");
const OTHER_KEY: &str = include_str!("pem/other_key.pem");

fn alice(world: &World) {
    fine(call!(world write create_user CreateUserInput { user_name: "alice" }));
}

#[test]
fn an_async_operation_that_opens_no_transaction_has_asked_for_nothing() {
    let world = World::new();
    let cx = world.async_cx("CreateLoginProfile");
    let refused = cx.check_asked_at_all().expect_err("nothing was asked");
    assert_eq!(refused.status(), 500);
    cx.read(|_| Ok(())).expect("what the caller may read");
    cx.check_asked_at_all().expect("it asked");
}

#[test]
fn passwords() {
    let world = World::new();
    alice(&world);
    let make = |password: &str| {
        let input = CreateLoginProfileInput {
            user_name: Some("alice".into()),
            password: Some(password.into()),
            password_reset_required: Some(true),
        };
        finish(world.iam.create_login_profile(&world.async_cx("CreateLoginProfile"), &input))
    };
    let violation = "PasswordPolicyViolation";
    refused(make("Ab1!"), violation, "Password should have a minimum length of 8");
    let weak = "Password does not conform to the account password policy.";
    refused(make("abcdefgh"), violation, weak);
    let profile = fine(make("Abcdefg1")).login_profile;
    assert_eq!((&*profile.user_name, profile.password_reset_required), ("alice", Some(true)));
    refused(
        make("Abcdefg1"),
        "EntityAlreadyExists",
        "Login Profile for user alice already exists.",
    );

    fine(call!(world write update_account_password_policy UpdateAccountPasswordPolicyInput {
        require_symbols: Some(true), password_reuse_prevention: Some(2),
    }));
    let world = world.for_user("alice");
    let change = |old: &str, new: &str| {
        let input = ChangePasswordInput { old_password: old.into(), new_password: new.into() };
        finish(world.iam.change_password(&world.async_cx("ChangePassword"), &input))
    };
    refused(change("wrong", "Abcdefg1!"), "AccessDenied", "The old password was incorrect.");
    refused(change("Abcdefg1", "Abcdefg2"), violation, "Password should have at least one symbol");
    fine(change("Abcdefg1", "Abcdefg1!"));
    fine(change("Abcdefg1!", "Abcdefg2!"));
    refused(
        change("Abcdefg2!", "Abcdefg1!"),
        violation,
        "Password was used before and cannot be used again yet.",
    );
    let shown = fine(call!(world read get_login_profile GetLoginProfileInput {})).login_profile;
    assert_eq!(shown.password_reset_required, Some(false));
    refused(
        call!(world write delete_user DeleteUserInput { user_name: "alice" }),
        "DeleteConflict",
        "Cannot delete entity, must delete login profile first.",
    );
    fine(call!(world write delete_login_profile DeleteLoginProfileInput {}));
    refused(
        call!(world read get_login_profile GetLoginProfileInput {}),
        "NoSuchEntity",
        "Login Profile for User alice cannot be found.",
    );
}

/// The bytes of a seed in base 32.
fn seed(text: &[u8]) -> Vec<u8> {
    let value = |b: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|own| *own == b);
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.iter().filter_map(|b| value(*b)) {
        bits = bits << 5 | digit as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

#[test]
fn second_factors() {
    let world = World::new();
    alice(&world);
    let made = fine(call!(world write create_virtual_mfa_device CreateVirtualMFADeviceInput {
        virtual_mfa_device_name: "phone",
    }));
    let device = made.virtual_mfa_device;
    let serial = "arn:aws:iam::111122223333:mfa/phone";
    assert_eq!(device.serial_number, serial);
    assert!(device.qr_code_png.is_some_and(|png| png.starts_with(b"\x89PNG")));
    let seed = seed(&device.base32_string_seed.expect("a seed"));
    refused(
        call!(world write create_virtual_mfa_device CreateVirtualMFADeviceInput { virtual_mfa_device_name: "phone" }),
        "EntityAlreadyExists",
        "MFADevice entity at the same path and name already exists.",
    );
    let step = Timestamp::from_secs(1_700_000_000).to_secs() / 30;
    let enable = |first: &str, second: &str| {
        call!(world write enable_mfa_device EnableMFADeviceInput {
            user_name: "alice", serial_number: serial, authentication_code1: first, authentication_code2: second,
        })
    };
    refused(
        enable("000000", "000000"),
        "InvalidAuthenticationCode",
        "Authentication code for device is not valid.",
    );
    let (first, second) = (mfa_code(&seed, step - 1), mfa_code(&seed, step));
    fine(enable(&first, &second));
    let list = || {
        fine(
            call!(world read list_mfa_devices ListMFADevicesInput { user_name: "alice".to_owned() }),
        )
    };
    assert_eq!(list().mfa_devices[0].serial_number, serial);
    let assigned = fine(call!(world read list_virtual_mfa_devices ListVirtualMFADevicesInput {
        assignment_status: "Assigned".to_owned(),
    }));
    let of = assigned.virtual_mfa_devices[0].user.as_ref().expect("a user");
    assert_eq!(of.user_name, "alice");
    refused(
        call!(world write delete_virtual_mfa_device DeleteVirtualMFADeviceInput { serial_number: serial }),
        "DeleteConflict",
        "MFA VirtualDevice in use. Must deactivate first.",
    );
    refused(
        call!(world write delete_user DeleteUserInput { user_name: "alice" }),
        "DeleteConflict",
        "Cannot delete entity, must delete MFA device first.",
    );
    fine(
        call!(world write update_user UpdateUserInput { user_name: "alice", new_user_name: "Bob".to_owned() }),
    );
    let found = fine(call!(world read get_mfa_device GetMFADeviceInput { serial_number: serial }));
    assert_eq!(found.user_name.as_deref(), Some("Bob"));
    fine(call!(world write deactivate_mfa_device DeactivateMFADeviceInput {
        user_name: "bob".to_owned(), serial_number: serial,
    }));
    fine(
        call!(world write delete_virtual_mfa_device DeleteVirtualMFADeviceInput { serial_number: serial }),
    );
    refused(
        call!(world read get_mfa_device GetMFADeviceInput { serial_number: serial }),
        "NoSuchEntity",
        &format!("VirtualMFADevice with serial number {serial} doesn't exist."),
    );
}

#[test]
fn server_certificates() {
    let world = World::new();
    let upload = |body: &str, key: &str| {
        call!(world write upload_server_certificate UploadServerCertificateInput {
            server_certificate_name: "web", certificate_body: body, private_key: key, path: "/x/".to_owned(),
        })
    };
    refused(
        upload(CERTIFICATE, OTHER_KEY),
        "KeyPairMismatch",
        "Public key certificate and private key doesn't match.",
    );
    let parse = "Unable to parse certificate. Please ensure the certificate is in PEM format.";
    for bad in ["x", KEY, &CERTIFICATE[..200], &CERTIFICATE.replace("MII", "MIJ")] {
        refused(upload(bad, KEY), "MalformedCertificate", parse);
    }
    refused(
        upload(CERTIFICATE, "x"),
        "MalformedCertificate",
        "Unable to parse key; the body must be encoded in PEM format.",
    );
    let made = fine(upload(CERTIFICATE, KEY)).server_certificate_metadata.expect("metadata");
    assert_eq!(made.arn, "arn:aws:iam::111122223333:server-certificate/x/web");
    assert_eq!(made.expiration.map(|t| t.iso8601_secs()).as_deref(), Some("2098-02-01T08:23:36Z"));
    assert!(made.server_certificate_id.starts_with("ASCA"));
    fine(call!(world write update_server_certificate UpdateServerCertificateInput {
        server_certificate_name: "web", new_server_certificate_name: "net".to_owned(),
    }));
    let got = fine(
        call!(world read get_server_certificate GetServerCertificateInput { server_certificate_name: "NET" }),
    );
    assert_eq!(got.server_certificate.certificate_body, CERTIFICATE);
    let listed = fine(call!(world read list_server_certificates ListServerCertificatesInput {}));
    assert_eq!(listed.server_certificate_metadata_list.len(), 1);
    fine(
        call!(world write delete_server_certificate DeleteServerCertificateInput { server_certificate_name: "net" }),
    );
    refused(
        call!(world read get_server_certificate GetServerCertificateInput { server_certificate_name: "net" }),
        "NoSuchEntity",
        "The Server Certificate with name net cannot be found.",
    );
}

#[test]
fn keys_of_users() {
    let world = World::new();
    alice(&world);
    let upload = || {
        call!(world write upload_signing_certificate UploadSigningCertificateInput {
            user_name: "alice".to_owned(), certificate_body: CERTIFICATE,
        })
    };
    let certificate = fine(upload()).certificate;
    refused(upload(), "DuplicateCertificate", "The certificate is already in use.");
    fine(call!(world write update_signing_certificate UpdateSigningCertificateInput {
        user_name: "alice".to_owned(), certificate_id: certificate.certificate_id.clone(), status: "Inactive",
    }));
    let list = fine(call!(world read list_signing_certificates ListSigningCertificatesInput {
        user_name: "alice".to_owned(),
    }));
    assert_eq!(list.certificates[0].status, "Inactive");

    // A key of 512 bits, made for this test.
    let body = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDB0aBwIkDZ2xAf0l1W5pJ9ZfR0kXqj7G1cWmJ2uYpXbU5v4bqk8oXQ1s3kq0m1Wl8m9mN4XxkT2oXWw2v3r1hP a@b";
    let upload = |body: &str| call!(world write upload_ssh_public_key UploadSSHPublicKeyInput { user_name: "alice", ssh_public_key_body: body });
    let key = fine(upload(body)).ssh_public_key.expect("a key");
    assert_eq!(key.fingerprint.len(), 47);
    assert!(key.ssh_public_key_id.starts_with("APKA") && key.ssh_public_key_id.len() == 20);
    refused(
        upload(body),
        "DuplicateSSHPublicKey",
        "The SSH public key is already associated with the user.",
    );
    assert!(upload("ssh-ed25519 AAAA").is_err());
    let pem = fine(call!(world read get_ssh_public_key GetSSHPublicKeyInput {
        user_name: "alice", ssh_public_key_id: key.ssh_public_key_id.clone(), encoding: "PEM",
    }));
    assert!(
        pem.ssh_public_key
            .is_some_and(|k| k.ssh_public_key_body.starts_with("-----BEGIN PUBLIC KEY-----\nMF"))
    );

    let make = |service: &str| {
        call!(world write create_service_specific_credential CreateServiceSpecificCredentialInput {
            user_name: "alice", service_name: service,
        })
    };
    let credential =
        fine(make("codecommit.amazonaws.com")).service_specific_credential.expect("one");
    assert_eq!(credential.service_user_name.as_deref(), Some("alice-at-111122223333"));
    fine(make("codecommit.amazonaws.com"));
    refused(
        make("codecommit.amazonaws.com"),
        "LimitExceeded",
        "Cannot exceed quota for ServiceSpecificCredentialsPerUser: 2",
    );
    refused(
        make("s3.amazonaws.com"),
        "NotSupportedService",
        "No such service s3.amazonaws.com is supported for Service Specific Credentials",
    );
    let reset = fine(
        call!(world write reset_service_specific_credential ResetServiceSpecificCredentialInput {
            user_name: "alice".to_owned(), service_specific_credential_id: credential.service_specific_credential_id.clone(),
        }),
    );
    assert_ne!(
        reset.service_specific_credential.and_then(|own| own.service_password),
        credential.service_password
    );
    let list = fine(
        call!(world read list_service_specific_credentials ListServiceSpecificCredentialsInput {
            all_users: Some(true),
        }),
    );
    assert_eq!(list.service_specific_credentials.map(|list| list.len()), Some(2));
    refused(
        call!(world write delete_user DeleteUserInput { user_name: "alice" }),
        "DeleteConflict",
        "Cannot delete entity, must delete signing certificates first.",
    );
}

#[test]
fn credential_reports() {
    let world = World::new();
    alice(&world);
    let get = || call!(world read get_credential_report GetCredentialReportInput {});
    refused(
        get(),
        "ReportNotPresent",
        "No report exists. Please call GenerateCredentialReport first.",
    );
    let make = || {
        fine(call!(world write generate_credential_report GenerateCredentialReportInput {})).state
    };
    assert_eq!(make().as_deref(), Some("STARTED"));
    assert_eq!(make().as_deref(), Some("COMPLETE"));
    let report = fine(get());
    let content = report.content.expect("content");
    let text = std::str::from_utf8(&content).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let fields = lines[0].split(',').count();
    assert!(lines.iter().all(|line| line.split(',').count() == fields), "{text}");
    assert!(lines[1].starts_with("<root_account>,arn:aws:iam::111122223333:root,"));
    assert!(lines[2].starts_with("alice,arn:aws:iam::111122223333:user/alice,2023-11-14T22:13:20+00:00,false,N/A,N/A,N/A,false,false,"));
    world.clock.advance_ms(4 * 3_600_000);
    assert_eq!(get().err().map(|error| error.code().to_owned()).as_deref(), Some("ReportExpired"));
    assert_eq!(make().as_deref(), Some("STARTED"));
}
