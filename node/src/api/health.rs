//! The standard gRPC health check.
//!
//! A member serves as long as it runs, except while it defragments with the feature gate
//! `StopGRPCServiceOnDefrag` open.

use proto::health::health_check_response::ServingStatus;
use proto::health::health_server::Health;
use proto::health::{HealthCheckRequest, HealthCheckResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Service;

fn response(serving: bool) -> HealthCheckResponse {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status as i32 }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if request.get_ref().service.is_empty() {
            Ok(Response::new(response(*self.member.serving.borrow())))
        } else {
            Err(Status::not_found("unknown service"))
        }
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = request.get_ref().service.is_empty();
        let mut serving = self.member.serving.subscribe();
        let (replies, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            if !known {
                let status = ServingStatus::ServiceUnknown as i32;
                let _ = replies.send(Ok(HealthCheckResponse { status })).await;
                return replies.closed().await;
            }
            loop {
                let now = response(*serving.borrow_and_update());
                if replies.send(Ok(now)).await.is_err() {
                    return;
                }
                tokio::select! {
                    changed = serving.changed() => if changed.is_err() { return },
                    () = replies.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
