//! Tensors by name in safetensors files, which are written whole or not at all. Those that only ergodic reads end with a seal: their
//! last tensor is the SHA-256 of all bytes before it.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::File,
    io::{BufWriter, Error as IoError, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use bytemuck::Pod;
use nalgebra::RealField;
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    settings::{Settings, difference},
};

/// The tensor that ends a sealed file.
const SEAL: &str = "sha256";
const SEAL_BYTES: usize = 32;
/// As the crate safetensors has it.
const MOST_HEADER_BYTES: u64 = 100_000_000;
const PIECE_BYTES: usize = 1 << 16;

/// A number that a tensor can hold.
pub(crate) trait Number: Pod {
    const DTYPE: Dtype;
}

impl Number for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl Number for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

impl Number for u64 {
    const DTYPE: Dtype = Dtype::U64;
}

impl Number for u32 {
    const DTYPE: Dtype = Dtype::U32;
}

impl Number for u8 {
    const DTYPE: Dtype = Dtype::U8;
}

trait Bytes {
    fn bytes(&self) -> &[u8];
}

impl<T: Number> Bytes for Cow<'_, [T]> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

/// Tensors to be written.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    tensors: Vec<Tensor<'a>>,
}

struct Tensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    values: Box<dyn Bytes + 'a>,
}

impl<'a> Draft<'a> {
    pub(crate) fn put<T: Number>(&mut self, name: impl Into<String>, shape: &[usize], values: impl Into<Cow<'a, [T]>>) {
        let (name, values) = (name.into(), values.into());
        debug_assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        self.tensors.push(Tensor { name, dtype: T::DTYPE, shape: shape.into(), values: Box::new(values) });
    }

    /// What defines the run: [`Tensors::expect_settings`].
    pub(crate) fn put_settings(&mut self, settings: &Settings) -> Result<()> {
        let text = serde_json::to_vec(settings).map_err(|e| Error::Unsupported(format!("settings that are no JSON: {e}")))?;
        self.put("settings", &[text.len()], text);
        Ok(())
    }

    /// Writes the tensors, in the order of the crate safetensors (wide types first, then by name), with these texts in the header.
    pub(crate) fn write(mut self, path: &Path, texts: HashMap<String, String>) -> Result<()> {
        self.tensors.sort_by(|l, r| r.dtype.cmp(&l.dtype).then_with(|| l.name.cmp(&r.name)));
        self.store(path, texts, false)
    }

    /// Writes the tensors in the order in which they were put, with one text in the header, and the seal.
    pub(crate) fn seal(self, path: &Path, key: &str, text: String) -> Result<()> {
        self.store(path, HashMap::from([(key.into(), text)]), true)
    }

    fn store(self, path: &Path, texts: HashMap<String, String>, sealed: bool) -> Result<()> {
        little_endian()?;
        let (mut infos, mut end) = (Vec::new(), 0);
        let mut describe = |name: &str, dtype, shape: &[usize], bytes: usize| {
            infos.push((name.into(), TensorInfo { dtype, shape: shape.into(), data_offsets: (end, end + bytes) }));
            end += bytes;
        };
        for Tensor { name, dtype, shape, values } in &self.tensors {
            describe(name, *dtype, shape, values.bytes().len());
        }
        if sealed {
            describe(SEAL, Dtype::U8, &[SEAL_BYTES], SEAL_BYTES);
        }
        let texts = Some(texts).filter(|texts| !texts.is_empty());
        let header = Metadata::new(texts, infos).map_err(IoError::other).and_then(|header| Ok(serde_json::to_vec(&header)?));
        let written = header.and_then(|header| write(path, header, &self.tensors, sealed));
        written.map_err(|source| Error::Write { path: path.into(), source })
    }
}

/// To a temporary file in the same folder, which then takes the place of the file at `path` in one step.
fn write(path: &Path, mut header: Vec<u8>, tensors: &[Tensor<'_>], sealed: bool) -> std::io::Result<()> {
    // The data stands at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let folder = folder(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut sha = sealed.then(Sha256::new);
    let mut out = BufWriter::with_capacity(PIECE_BYTES, &mut file);
    let length = (header.len() as u64).to_le_bytes();
    for bytes in [&length[..], &header].into_iter().chain(tensors.iter().map(|tensor| tensor.values.bytes())) {
        sha.iter_mut().for_each(|sha| sha.update(bytes));
        out.write_all(bytes)?;
    }
    sha.map_or(Ok(()), |sha| out.write_all(&sha.finalize()))?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The new name is on the disk only once its folder is.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Checks that a file can be written there later.
pub(crate) fn check_place(path: &Path) -> Result<()> {
    let checked = if path.file_name().is_none() || path.is_dir() {
        Err(IoError::new(ErrorKind::InvalidInput, "it must be the name of a file"))
    } else {
        let refused = |e: IoError| IoError::new(e.kind(), format!("its folder refuses: {e}"));
        tempfile::tempfile_in(folder(path)).map(drop).map_err(refused)
    };
    checked.map_err(|source| Error::Write { path: path.into(), source })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Numbers are copied as they stand in memory.
fn little_endian() -> Result<()> {
    if cfg!(target_endian = "little") {
        Ok(())
    } else {
        Err(Error::Unsupported("safetensors files need a machine whose numbers are little-endian".into()))
    }
}

/// A safetensors file. Its tensors are read one at a time.
#[derive(Debug)]
pub(crate) struct Tensors {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_at: u64,
}

impl Tensors {
    /// Opens a file whose header fits its length: tensors stand side by side to its end, each as long as type and shape say.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        little_endian()?;
        let unsound =
            |why: &str| wrong(path, format!("is damaged or cut short, or no safetensors file: {why}. Use another copy"));
        let read = |source: IoError| match source.kind() {
            ErrorKind::UnexpectedEof => unsound("it ends within its header"),
            _ => Error::File { path: path.into(), source },
        };
        let mut file = File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(read)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MOST_HEADER_BYTES || 8 + header_bytes > bytes {
            return Err(unsound("it is shorter than its header says"));
        }
        let (mut header, data_at) = (vec![0; header_bytes as usize], 8 + header_bytes);
        file.read_exact(&mut header).map_err(read)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| unsound(&e.to_string()))?;
        if metadata.data_len() as u64 != bytes - data_at {
            return Err(unsound("it is not as long as its header says"));
        }
        Ok(Self { path: path.into(), file, metadata, data_at })
    }

    /// This file, where its seal fits.
    pub(crate) fn sealed(self) -> Result<Self> {
        let bytes = self.data_at + self.metadata.data_len() as u64;
        match is_sealed(&self.file, bytes) {
            Ok(true) => Ok(self),
            Ok(false) => {
                Err(self.wrong("is damaged, or was not written by ergodic: its checksum does not fit. Use another copy"))
            }
            Err(e) => Err(self.unreadable(e)),
        }
    }

    /// An error whose reason is the end of a sentence about this file.
    pub(crate) fn wrong(&self, why: impl Into<String>) -> Error {
        wrong(&self.path, why.into())
    }

    fn unreadable(&self, source: IoError) -> Error {
        Error::File { path: self.path.clone(), source }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Refuses a file that does not say what it holds in these words.
    pub(crate) fn expect(&self, key: &str, format: &str) -> Result<()> {
        match self.text(key) {
            Some(found) if found == format => Ok(()),
            found => {
                let found = found.unwrap_or("nothing");
                Err(self.wrong(format!("is no checkpoint of this kind: its metadata say {key} = {found}, not {format}")))
            }
        }
    }

    /// Refuses the file of a run with other settings, by their names.
    pub(crate) fn expect_settings(&self, here: &Settings) -> Result<()> {
        let text: Vec<u8> = self.take("settings", &[self.rows("settings")?])?;
        let found =
            serde_json::from_slice(&text).map_err(|e| self.wrong(format!("holds settings that cannot be read: {e}")))?;
        match difference(&found, here) {
            None => Ok(()),
            Some(what) => {
                Err(self.wrong(format!("is of another run: {what}. Resume with the settings that the run was built with")))
            }
        }
    }

    /// A whole number among the texts.
    pub(crate) fn counter<T: FromStr>(&self, name: &str) -> Result<T> {
        let value = self.text(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| self.wrong(format!("lacks the counter {name}")))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        let missing = || self.wrong(format!("has no tensor `{name}`; it has {:?}", self.metadata.offset_keys()));
        self.metadata.info(name).ok_or_else(missing)
    }

    pub(crate) fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.info(name)?.shape)
    }

    /// The first number of a tensor's shape.
    pub(crate) fn rows(&self, name: &str) -> Result<usize> {
        self.shape(name)?.first().copied().ok_or_else(|| self.wrong(format!("has no rows in `{name}`")))
    }

    /// The values of a tensor, which must be of this type and shape; nothing is allocated otherwise.
    pub(crate) fn take<T: Number>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let TensorInfo { dtype, shape: found, data_offsets } = self.info(name)?;
        if (*dtype, found.as_slice()) != (T::DTYPE, shape) {
            let needed = T::DTYPE;
            return Err(self.wrong(format!(
                "has {dtype} {found:?} in `{name}` where {needed} {shape:?} is needed: it is of another run or model"
            )));
        }
        let (mut file, mut values) = (&self.file, vec![T::zeroed(); shape.iter().product()]);
        let at = file.seek(SeekFrom::Start(self.data_at + data_offsets.0 as u64));
        let read = at.and_then(|_| file.read_exact(bytemuck::cast_slice_mut(&mut values)));
        read.map(|()| values).map_err(|e| self.unreadable(e))
    }

    /// The values of a tensor of this shape in f32 or f64, as `T` rounds them, all of which must be finite.
    pub(crate) fn finite<T: RealField>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let wide: Vec<f64> = match self.info(name)?.dtype {
            Dtype::F32 => self.take::<f32>(name, shape)?.into_iter().map(f64::from).collect(),
            Dtype::F64 => self.take(name, shape)?,
            other => return Err(self.wrong(format!("has {other} in `{name}` where F32 or F64 is needed"))),
        };
        let values: Vec<T> = wide.into_iter().map(nalgebra::convert).collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.wrong(format!("holds a number in `{name}` that is not finite (number {at}, from 0)"))),
            None => Ok(values),
        }
    }
}

fn wrong(path: &Path, why: String) -> Error {
    Error::Format { path: path.into(), why }
}

/// Whether the last bytes of the file are the SHA-256 of those before, read in small pieces.
fn is_sealed(mut file: &File, bytes: u64) -> std::io::Result<bool> {
    let Some(sealed_bytes) = bytes.checked_sub(SEAL_BYTES as u64) else { return Ok(false) };
    file.rewind()?;
    let mut sealed = file.take(sealed_bytes);
    let (mut sha, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        match sealed.read(&mut piece)? {
            0 => break,
            n => sha.update(&piece[..n]),
        }
    }
    let mut seal = [0; SEAL_BYTES];
    file.read_exact(&mut seal)?;
    Ok(sha.finalize()[..] == seal)
}
