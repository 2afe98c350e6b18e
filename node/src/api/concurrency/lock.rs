//! The Lock service.

use bytes::Bytes;
use proto::v3lockpb::lock_server::Lock;
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::outwards;
use super::place::{Wish, in_line};
use crate::api::Service;

const EXPIRED: &str = "mutex: session is expired";

#[tonic::async_trait]
impl Lock for Service {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        self.refuse_learner()?;
        let (caller, patience, LockRequest { name, lease }) = Caller::of(self, request);
        let wish = Wish { name, lease, value: Bytes::new(), expired: EXPIRED };
        let response = in_line(caller, patience, wish, |place| async move {
            let header = place.first().await?;
            Ok(LockResponse { header, key: place.key })
        });
        Ok(Response::new(response.await?))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        self.refuse_learner()?;
        let (caller, _, UnlockRequest { key }) = Caller::of(self, request);
        let deleted = caller.delete(key).await.map_err(outwards)?;
        Ok(Response::new(UnlockResponse { header: deleted.header }))
    }
}
