//! JSON to protobuf and back, by the description of the messages.
//!
//! The mapping is protobuf's own for JSON with etcd's choices: names as in the `.proto` files
//! (on input camelCase too), 64-bit numbers as strings, bytes in base64, what is unset left
//! out, what is unknown ignored.

use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use tonic::Status;

use super::json;

/// Made when the first request comes: most members never see one.
static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

/// The services as they are described.
pub struct Schema {
    pool: DescriptorPool,
}

/// The one schema.
pub fn schema() -> &'static Schema {
    &SCHEMA
}

impl Schema {
    pub fn new() -> Self {
        // Written by the build of these very files; a test decodes it.
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap_or_default();
        Self { pool }
    }

    #[cfg(test)]
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// A method by its path without the first slash, if this member has it.
    pub fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, name) = path.split_once('/')?;
        let service = self.pool.get_service_by_name(service)?;
        service.methods().find(|method| method.name() == name)
    }
}

/// A request from its JSON.
pub fn from_json(message: MessageDescriptor, json: &[u8]) -> Result<Bytes, Status> {
    let nonsense =
        |error: &dyn std::fmt::Display| Status::invalid_argument(format!("proto: {error}"));
    let object = json::read(json, &message).map_err(|error| nonsense(&error))?;
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(message, object, &options)
        .map_err(|error| nonsense(&error))?;
    Ok(message.encode_to_vec().into())
}

/// A response as JSON.
pub fn to_json(message: MessageDescriptor, encoded: Bytes) -> Result<Vec<u8>, Status> {
    let broken = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
    let message = DynamicMessage::decode(message, encoded).map_err(|error| broken(&error))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut json = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut json, &options).map_err(|error| broken(&error))?;
    Ok(json.into_inner())
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb as pb;

    use super::*;

    fn message(name: &str) -> MessageDescriptor {
        schema().pool.get_message_by_name(name).unwrap()
    }

    fn range(json: &str) -> Result<pb::RangeRequest, Status> {
        let encoded = from_json(message("etcdserverpb.RangeRequest"), json.as_bytes())?;
        Ok(pb::RangeRequest::decode(encoded).unwrap())
    }

    #[test]
    fn the_descriptions_can_be_read() {
        assert!(DescriptorPool::decode(proto::DESCRIPTORS).unwrap().services().len() > 5);
        let watch = schema().method("etcdserverpb.Watch/Watch").unwrap();
        assert!(watch.is_client_streaming() && watch.is_server_streaming());
        assert!(schema().method("etcdserverpb.Watch/Nothing").is_none());
        assert!(schema().method("etcdserverpb.Nothing/Watch").is_none());
        assert!(schema().method("Watch").is_none());
    }

    #[test]
    fn input_is_taken_as_etcd_takes_it() {
        for json in [
            r#"{"key":"YQ==","limit":"7","sort_order":"DESCEND","keys_only":true}"#,
            r#"{"key":"YQ","limit":7,"sortOrder":2,"keysOnly":true,"nosuch":{"a":[1]}}"#,
            r#"{"limit":7.0,"sort_order":"DESCEND","keysOnly":true,"key":"YQ==","revision":null}"#,
        ] {
            let request = range(json).unwrap();
            assert_eq!((&request.key[..], request.limit), (&b"a"[..], 7), "{json}");
            assert_eq!((request.sort_order, request.keys_only), (2, true), "{json}");
        }
        // Both alphabets of base64, and names of enum values that a later etcd may have.
        for json in [r#"{"key":"+/8="}"#, r#"{"key":"-_8","sort_order":"BOGUS"}"#] {
            assert_eq!(&range(json).unwrap().key[..], b"\xfb\xff", "{json}");
        }
        assert_eq!(range(r#"{"sort_order":77}"#).unwrap().sort_order, 77);
    }

    #[test]
    fn nonsense_is_an_invalid_argument() {
        for json in [
            r#"{"key":"a b"}"#,
            r#"{"key":5}"#,
            r#"{"limit":1.5}"#,
            r#"{"limit":"x"}"#,
            r#"{"limit":"9223372036854775808"}"#,
            r#"{"keys_only":"true"}"#,
            r#"{"key":["YQ=="]}"#,
            "[]",
            "null",
            "{",
        ] {
            let error = range(json).expect_err(json);
            assert_eq!(error.code(), tonic::Code::InvalidArgument, "{json}");
        }
        let txn = |json: &str| from_json(message("etcdserverpb.TxnRequest"), json.as_bytes());
        txn(r#"{"success":[{"request_put":{},"request_range":{}}]}"#).expect_err("two of one");
        let nested = |depth: usize| {
            let (open, close) = (r#"{"success":[{"request_txn":"#, "}]}");
            txn(&format!("{}{{}}{}", open.repeat(depth), close.repeat(depth)))
        };
        nested(20).unwrap();
        nested(100_000).expect_err("no end of nesting");
    }

    #[test]
    fn output_has_etcds_names_and_nothing_unset() {
        let header = Some(pb::ResponseHeader {
            cluster_id: u64::MAX,
            member_id: 1,
            revision: -1,
            raft_term: 0,
        });
        let kv = proto::mvccpb::KeyValue {
            key: Bytes::from_static(b"\xfb\xff<"),
            create_revision: 1 << 60,
            ..Default::default()
        };
        let response = pb::RangeResponse { header, kvs: vec![kv], more: true, count: 0 };
        let encoded = response.encode_to_vec().into();
        let json = to_json(message("etcdserverpb.RangeResponse"), encoded).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            concat!(
                r#"{"header":{"cluster_id":"18446744073709551615","member_id":"1","revision":"-1"},"#,
                r#""kvs":[{"key":"+/88","create_revision":"1152921504606846976"}],"more":true}"#
            )
        );
        let member = pb::Member { id: 7, peer_ur_ls: vec!["x".into()], ..Default::default() };
        let json = to_json(message("etcdserverpb.Member"), member.encode_to_vec().into()).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"ID":"7","peerURLs":["x"]}"#);
        let alarm = pb::AlarmMember { member_id: 7, alarm: 1 };
        let json = to_json(message("etcdserverpb.AlarmMember"), alarm.encode_to_vec().into());
        assert_eq!(
            String::from_utf8(json.unwrap()).unwrap(),
            r#"{"memberID":"7","alarm":"NOSPACE"}"#
        );
    }
}
