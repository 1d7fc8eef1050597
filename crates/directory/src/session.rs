//! Temporary credentials: making them, and forgetting them long after their end.

use crate::ids::{new_access_key_id, new_secret, new_session_token};
use crate::rows::{
    SESSION_ENDS, SESSIONS, SessionHolder, SessionKeyRow, SessionPoliciesRow, SessionRow, TagRow,
};
use api::{Error, Tx};
use base::{AccountId, Entropy};
use std::collections::BTreeSet;
use store::Scope;

/// An ended session is kept for a day, in which its holder is told that it expired; then its key
/// was never issued.
const KEPT_AFTER_END_S: i64 = 24 * 3600;
/// How many old sessions a new one takes away: more than one, so that they grow fewer.
const SWEPT_AT_ONCE: usize = 4;

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub account: AccountId,
    pub holder: SessionHolder,
    pub arn: String,
    pub duration_s: i64,
    /// `Some` limits the session to what these allow.
    pub policies: Option<SessionPoliciesRow>,
    pub tags: Vec<TagRow>,
    pub transitive_tag_keys: BTreeSet<String>,
    pub source_identity: Option<String>,
    pub mfa: bool,
    /// Further condition keys.
    pub keys: Vec<SessionKeyRow>,
    /// The token shall have at least so many characters.
    pub token_length_min: usize,
}

/// Makes the session's credentials, from the time of the transaction on. Gives the access key id.
pub fn issue(
    tx: &mut Tx,
    entropy: &dyn Entropy,
    new: NewSession,
) -> Result<(String, SessionRow), Error> {
    sweep(tx)?;
    let id = new_access_key_id("ASIA", new.account, entropy);
    let row = SessionRow {
        account: new.account,
        secret: new_secret(entropy),
        token: new_session_token(new.token_length_min, entropy),
        issued: tx.now(),
        expires: tx.now().plus_secs(new.duration_s),
        holder: new.holder,
        arn: new.arn,
        policies: new.policies,
        tags: new.tags,
        transitive_tag_keys: new.transitive_tag_keys,
        source_identity: new.source_identity,
        mfa: new.mfa,
        keys: new.keys,
    };
    tx.put(&SESSIONS, &Scope::Global, &id, &row)?;
    tx.put(&SESSION_ENDS, &Scope::Global, &(row.expires, id.as_str()), &())?;
    Ok((id, row))
}

fn sweep(tx: &mut Tx) -> Result<(), Error> {
    let limit = tx.now().plus_secs(-KEPT_AFTER_END_S);
    let old = tx.scan(&SESSION_ENDS, &Scope::Global).to(&(limit,)).keys().take(SWEPT_AT_ONCE);
    let old: Vec<_> = old.collect::<Result<_, _>>()?;
    for (end, id) in old {
        tx.delete(&SESSIONS, &Scope::Global, &id)?;
        tx.delete(&SESSION_ENDS, &Scope::Global, &(end, id))?;
    }
    Ok(())
}
