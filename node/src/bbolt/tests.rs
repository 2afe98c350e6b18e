use std::collections::BTreeMap;
use std::io::Cursor;

use proptest::prelude::*;

use super::{Error, Reader, Writer};

type Model = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

fn write(model: &Model) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    for (name, entries) in model {
        let entries = entries.iter().map(|(key, value)| Ok((key.clone(), value.clone())));
        writer.bucket::<Error>(name, entries).unwrap();
    }
    let (file, size) = writer.finish().unwrap();
    assert_eq!(file.get_ref().len() as u64, size);
    file.into_inner()
}

fn read(bytes: &[u8]) -> Result<Model, Error> {
    let mut reader = Reader::open(Cursor::new(bytes))?;
    let mut model = Model::new();
    for name in reader.buckets() {
        let entries = reader.entries(&name).collect::<Result<_, _>>()?;
        model.insert(name, entries);
    }
    Ok(model)
}

fn numbered(count: u32, key_bytes: usize, value_bytes: usize) -> Model {
    let entry = |number: u32| {
        let mut key = number.to_be_bytes().to_vec();
        key.resize(4 + key_bytes, b'k');
        (key, vec![number as u8; value_bytes])
    };
    Model::from([(b"key".to_vec(), (0..count).map(entry).collect())])
}

fn any_model() -> impl Strategy<Value = Model> {
    let key = || proptest::collection::vec(any::<u8>(), 1..60);
    let value = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..80),
        1 => proptest::collection::vec(any::<u8>(), 3_000..14_000),
    ];
    let entries = proptest::collection::btree_map(key(), value, 0..120);
    proptest::collection::btree_map(key(), entries, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read(model in any_model()) {
        prop_assert_eq!(read(&write(&model)).unwrap(), model);
    }

    #[test]
    fn any_bytes_behind_a_meta_page_are_refused_or_read(
        model in any_model(),
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = write(&model);
        for (place, byte) in noise {
            let place = 8192 + place.index(bytes.len() - 8192);
            bytes[place] = byte;
        }
        let _ = read(&bytes);
    }
}

#[test]
fn trees_of_every_height_have_their_leaves() {
    // Two levels of branch pages come with long keys; the counts around a full page matter.
    for count in (0..12).chain(200..210).chain([5_000]) {
        for (key_bytes, value_bytes) in [(1, 0), (13, 100), (1_500, 10), (9_000, 1)] {
            let model =
                numbered(count.min(8_000_000 / (key_bytes as u32 + 1)), key_bytes, value_bytes);
            assert_eq!(read(&write(&model)).unwrap(), model, "{count} {key_bytes}");
        }
    }
}

#[test]
fn every_branch_page_has_two_children() {
    for count in 1..600 {
        let bytes = write(&numbered(count, 1_200, 2_000));
        for page in bytes.chunks(4096).skip(2) {
            if page[8] == 1 {
                assert!(page[10] >= 2 || page[11] > 0, "{count}");
            }
        }
    }
}

#[test]
fn no_flipped_byte_and_no_cut_panics() {
    let mut model = numbered(60, 20, 40);
    model.insert(b"meta".to_vec(), BTreeMap::from([(b"a".to_vec(), b"b".to_vec())]));
    let bytes = write(&model);
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= [0x01, 0x80, 0xff][place % 3];
        let _ = read(&damaged);
    }
    for length in (0..bytes.len()).step_by(61) {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn the_second_meta_page_serves_when_the_first_is_broken() {
    let model = numbered(10, 4, 4);
    let mut bytes = write(&model);
    bytes[20] ^= 1;
    assert_eq!(read(&bytes).unwrap(), model);
    bytes[4096 + 60] ^= 1;
    assert!(matches!(read(&bytes), Err(Error::NoMeta(_))));
}

#[test]
fn a_cycle_ends() {
    let bytes = write(&numbered(600, 20, 40));
    let branch = bytes.chunks(4096).position(|page| page[8] == 1 && page[9] == 0).unwrap();
    let mut damaged = bytes.clone();
    // Its first child is itself.
    damaged[branch * 4096 + 24..][..8].copy_from_slice(&(branch as u64).to_le_bytes());
    let error = read(&damaged).unwrap_err().to_string();
    assert!(error.contains("in use twice"), "{error}");
}

#[test]
fn a_run_of_pages_beyond_the_end_is_refused_before_it_is_read() {
    let mut bytes = write(&numbered(3, 4, 4));
    bytes[2 * 4096 + 12..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.contains("runs over the end"), "{error}");
}

#[test]
fn input_out_of_order_and_impossible_keys_are_refused() {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    let mut bucket = writer.begin(b"b");
    bucket.put(b"2".to_vec(), Vec::new()).unwrap();
    assert!(matches!(bucket.put(b"2".to_vec(), Vec::new()), Err(Error::OutOfOrder)));
    assert!(matches!(bucket.put(Vec::new(), Vec::new()), Err(Error::KeyLength(0))));
    assert!(matches!(bucket.put(vec![9; 40_000], Vec::new()), Err(Error::KeyLength(_))));
}
