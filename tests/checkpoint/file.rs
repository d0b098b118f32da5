//! Checkpoints as the tests see them: read and written with the safetensors crate, and sealed anew.

use std::{collections::BTreeMap, path::Path};

use safetensors::{
    SafeTensors,
    tensor::{Metadata, TensorInfo},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const SEAL: &str = "sha256";

/// A file in its parts; the seal is made anew when it is written.
#[derive(Clone)]
pub(crate) struct File {
    /// The text in the header.
    pub(crate) text: Value,
    /// In the file's order: name, what the header says, bytes.
    pub(crate) tensors: Vec<(String, TensorInfo, Vec<u8>)>,
}

/// What must be the same in two runs.
#[derive(PartialEq)]
pub(crate) struct Contents {
    text: Value,
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
}

/// These bytes and their SHA-256.
pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &Sha256::digest(bytes)].concat()
}

impl File {
    pub(crate) fn read(path: &Path) -> Self {
        Self::read_bytes(&std::fs::read(path).unwrap())
    }

    pub(crate) fn read_bytes(bytes: &[u8]) -> Self {
        assert_eq!(Sha256::digest(&bytes[..bytes.len() - 32])[..], bytes[bytes.len() - 32..]);
        let (header, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let text = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["ergodic"]).unwrap();
        let of = |name: String| {
            let info = metadata.info(&name).unwrap().clone();
            let data = bytes[8 + header..][info.data_offsets.0..info.data_offsets.1].to_vec();
            (name, info, data)
        };
        let tensors = metadata.offset_keys().into_iter().filter(|name| name != SEAL).map(of).collect();
        Self { text, tensors }
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap().2
    }

    pub(crate) fn write(&self, path: &Path) {
        let mut infos: Vec<_> = self.tensors.iter().map(|(name, info, _)| (name.clone(), info.clone())).collect();
        let end = infos.last().unwrap().1.data_offsets.1;
        infos.push((SEAL.into(), TensorInfo { dtype: safetensors::Dtype::U8, shape: vec![32], data_offsets: (end, end + 32) }));
        let texts = [("ergodic".to_owned(), self.text.to_string())].into_iter().collect();
        let mut header = serde_json::to_vec(&Metadata::new(Some(texts), infos).unwrap()).unwrap();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
        self.tensors.iter().for_each(|(_, _, data)| bytes.extend(data));
        std::fs::write(path, sealed(&bytes)).unwrap();
    }

    /// All but times and the number of slices, which depend on the clock.
    pub(crate) fn contents(self) -> Contents {
        let mut text = self.text;
        if let Some(warm_up) = text.get_mut("warm_up").and_then(|warm_up| warm_up.get_mut("warmed_up")) {
            for name in ["wall", "device", "slices", "redone"] {
                warm_up.as_object_mut().unwrap().remove(name).unwrap();
            }
        }
        let counters = text["counters"].as_object_mut().unwrap();
        for name in ["wall_nanoseconds", "device_nanoseconds", "slices", "slices_redone"] {
            counters.remove(name).unwrap();
        }
        let tensors = self.tensors.into_iter().map(|(name, info, data)| (name, (info.shape, data)));
        Contents { text, tensors: tensors.collect() }
    }
}

impl Contents {
    pub(crate) fn tensor(&self, name: &str) -> &[u8] {
        &self.tensors[name].1
    }

    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        assert_eq!(self.text, other.text);
        assert!(self.tensors.keys().eq(other.tensors.keys()));
        for (name, tensor) in &self.tensors {
            assert!(*tensor == other.tensors[name], "`{name}` differs");
        }
    }
}
