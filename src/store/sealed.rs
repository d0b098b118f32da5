//! A safetensors file whose last tensor is the SHA-256 of all bytes before it: written whole or not at all, and read only where it
//! is sound.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use bytemuck::Pod;
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use sha2::{Digest, Sha256};

/// A result whose error is the reason, as the end of a sentence about the file.
pub(crate) type Why<T> = Result<T, String>;

/// The tensor that ends a file.
const SEAL: &str = "sha256";
const SEAL_BYTES: usize = 32;
/// Headers are a few KiB; a longer one is not of this crate.
const MOST_HEADER_BYTES: u64 = 1 << 20;
const READ_BYTES: usize = 1 << 16;

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

/// Tensors to be written, in the order in which they were put.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    infos: Vec<(String, TensorInfo)>,
    data: Vec<Box<dyn Bytes + 'a>>,
    end: usize,
}

impl<'a> Draft<'a> {
    pub(crate) fn put<T: Number>(&mut self, name: &str, shape: &[usize], values: impl Into<Cow<'a, [T]>>) {
        let values = values.into();
        debug_assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        self.describe(name, T::DTYPE, shape, values.bytes().len());
        self.data.push(Box::new(values));
    }

    fn describe(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: usize) {
        let data_offsets = (self.end, self.end + bytes);
        self.infos.push((name.into(), TensorInfo { dtype, shape: shape.into(), data_offsets }));
        self.end += bytes;
    }

    /// Writes the tensors with a text in the header under this key: to a temporary file in the same folder, which then takes the
    /// place of the file at `path` in one step.
    pub(crate) fn write(mut self, path: &Path, key: &str, text: String) -> Why<()> {
        little_endian()?;
        self.describe(SEAL, Dtype::U8, &[SEAL_BYTES], SEAL_BYTES);
        let texts = [(key.to_owned(), text)].into_iter().collect();
        let metadata = Metadata::new(Some(texts), self.infos).map_err(|e| format!("cannot be written: {e}"))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|e| format!("cannot be written: {e}"))?;
        // The data stands at a multiple of eight bytes.
        header.resize(header.len().next_multiple_of(8), b' ');
        write(path, &header, &self.data).map_err(|e| format!("cannot be written: {e}"))
    }
}

fn write(path: &Path, header: &[u8], data: &[Box<dyn Bytes + '_>]) -> std::io::Result<()> {
    let folder = folder(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut sha = Sha256::new();
    let mut out = BufWriter::with_capacity(READ_BYTES, &mut file);
    let length = (header.len() as u64).to_le_bytes();
    for bytes in [&length[..], header].into_iter().chain(data.iter().map(|values| values.bytes())) {
        sha.update(bytes);
        out.write_all(bytes)?;
    }
    out.write_all(&sha.finalize())?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The new name is on the disk only once its folder is.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Checks that a file can be written there later.
pub(crate) fn check_place(path: &Path) -> Why<()> {
    if path.file_name().is_none() || path.is_dir() {
        return Err("must be the name of a file".into());
    }
    tempfile::tempfile_in(folder(path)).map(drop).map_err(|e| format!("cannot be written: its folder refuses: {e}"))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Numbers are copied as they stand in memory.
fn little_endian() -> Why<()> {
    if cfg!(target_endian = "little") {
        Ok(())
    } else {
        Err("is not supported on machines whose numbers are big-endian".into())
    }
}

/// A file whose seal fits. Its tensors are read one at a time.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: File,
    metadata: Metadata,
    data_at: u64,
}

impl Sealed {
    pub(crate) fn open(path: &Path) -> Why<Self> {
        little_endian()?;
        let read = |e: std::io::Error| format!("cannot be read: {e}");
        let mut file = File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        let foreign = || "is cut short, or no checkpoint of ergodic".to_owned();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| foreign())?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MOST_HEADER_BYTES || 8 + header_bytes + SEAL_BYTES as u64 > bytes {
            return Err(foreign());
        }
        file.rewind().map_err(read)?;
        if !is_sealed(&mut file, bytes).map_err(read)? {
            return Err(
                "is damaged or cut short, or no checkpoint of ergodic: its checksum does not fit. Use another copy".into()
            );
        }
        let mut header = vec![0; header_bytes as usize];
        file.seek(SeekFrom::Start(8)).and_then(|_| file.read_exact(&mut header)).map_err(read)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|_| foreign())?;
        let data_at = 8 + header_bytes;
        if data_at + metadata.data_len() as u64 != bytes {
            return Err(foreign());
        }
        Ok(Self { file, metadata, data_at })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The first number of a tensor's shape.
    pub(crate) fn rows(&self, name: &str) -> Why<usize> {
        self.info(name)?.shape.first().copied().ok_or_else(|| format!("has no rows in `{name}`"))
    }

    fn info(&self, name: &str) -> Why<&TensorInfo> {
        self.metadata.info(name).ok_or_else(|| format!("has no tensor `{name}`"))
    }

    /// The values of a tensor, which must be of this type and shape; nothing is allocated otherwise.
    pub(crate) fn take<T: Number>(&mut self, name: &str, shape: &[usize]) -> Why<Vec<T>> {
        let TensorInfo { dtype, shape: found, data_offsets } = self.info(name)?;
        if (*dtype, found.as_slice()) != (T::DTYPE, shape) {
            return Err(format!("has {dtype:?} {found:?} in `{name}` where {:?} {shape:?} is needed", T::DTYPE));
        }
        let at = self.data_at + data_offsets.0 as u64;
        let mut values = vec![T::zeroed(); shape.iter().product()];
        let read =
            self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(bytemuck::cast_slice_mut(&mut values)));
        read.map_err(|e| format!("cannot be read: {e}"))?;
        Ok(values)
    }
}

/// Whether the last bytes of the file are the SHA-256 of those before, read in small pieces.
fn is_sealed(file: &mut File, bytes: u64) -> std::io::Result<bool> {
    let mut sealed = Read::by_ref(file).take(bytes - SEAL_BYTES as u64);
    let (mut sha, mut piece) = (Sha256::new(), vec![0; READ_BYTES]);
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
