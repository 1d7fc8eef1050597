//! Browser forms.

use crate::encode::Response;
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::identify::Target;
use crate::payload::RequestStream;
use api::Error;

impl Gateway {
    pub(crate) async fn post_form<'g>(
        &'g self,
        _peer: &Peer,
        _head: &Head<'_>,
        _target: Target<'g, '_>,
        _body: RequestStream,
        _seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        Err(Error::not_implemented("PostObject"))
    }
}
