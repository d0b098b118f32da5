//! A GPU: opened or borrowed, with its limits, its errors and its waits.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{Error, Result};

/// How long to wait for what is in flight once something went wrong.
const LAST_WORK: Duration = Duration::from_secs(5);

/// An open device. Clones share it.
#[derive(Debug, Clone)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    faults: Arc<Mutex<Faults>>,
    /// The last buffer that was read through. It is used again where it fits: a driver's memory does not shrink when buffers go.
    staging: Arc<Mutex<Option<wgpu::Buffer>>>,
}

#[derive(Debug, Default)]
struct Faults {
    lost: Option<String>,
    error: Option<String>,
}

impl Gpu {
    /// Opens the fastest adapter: a discrete GPU, else an integrated one, else a virtual one, else a software rasteriser.
    ///
    /// Honours `WGPU_BACKEND` (vulkan, metal, dx12), `WGPU_ADAPTER_NAME` (a part of the name) and `WGPU_POWER_PREF` (low takes
    /// an integrated GPU first). Logs what it took.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none, with what was tried; [`Error::NoDevice`] where the driver refuses.
    pub fn open() -> Result<Self> {
        pollster::block_on(Self::open_async())
    }

    /// As [`open`](Self::open), for a program with its own executor.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_async() -> Result<Self> {
        let asked = std::env::var("WGPU_BACKEND").ok();
        let backends = match &asked {
            None => wgpu::Backends::PRIMARY,
            Some(names) => wgpu::Backends::from_comma_list(names),
        };
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let mut adapters = instance.enumerate_adapters(backends).await;

        let low_power = std::env::var("WGPU_POWER_PREF").is_ok_and(|v| v.eq_ignore_ascii_case("low"));
        adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 1,
            wgpu::DeviceType::IntegratedGpu => 2 * u8::from(!low_power),
            wgpu::DeviceType::VirtualGpu => 3,
            wgpu::DeviceType::Other => 4,
            wgpu::DeviceType::Cpu => 5,
        });
        let name = std::env::var("WGPU_ADAPTER_NAME").ok();
        let wanted =
            |info: &wgpu::AdapterInfo| name.as_ref().is_none_or(|name| info.name.to_lowercase().contains(&name.to_lowercase()));
        let found: Vec<_> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
        let Some(adapter) = adapters.into_iter().find(|adapter| wanted(&adapter.get_info())) else {
            let mut tried = match asked {
                Some(names) => format!("WGPU_BACKEND={names}"),
                None => "Vulkan, Metal and DX12".into(),
            };
            if let Some(name) = name {
                tried += &format!(" with WGPU_ADAPTER_NAME={name} (found: {found:?})");
            }
            return Err(Error::NoAdapter { tried });
        };
        Self::from_adapter(&adapter).await
    }

    /// Opens a given adapter with WebGPU's default limits, larger buffers where it offers them, and timestamps where it has them.
    ///
    /// # Errors
    /// [`Error::NoDevice`] where the driver refuses.
    pub async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        let offered = adapter.limits();
        let limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default().or_worse_values_from(&offered)
        };
        let info = adapter.get_info();
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP;
        if info.device_type == wgpu::DeviceType::Cpu {
            wanted |= wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        }
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("ergodic"),
                required_features: adapter.features() & wanted,
                required_limits: limits,
                ..Default::default()
            })
            .await
            .map_err(|e| Error::NoDevice { adapter: info.name.clone(), reason: e.to_string() })?;
        let gpu = Self::from_parts(device, queue, info);
        gpu.install_handlers();
        log::info!("{}", gpu.describe());
        Ok(gpu)
    }

    /// Borrows a device that the program owns (a game, a window). Its error handlers are left as they are: install your own, as
    /// wgpu's default for uncaptured errors panics.
    pub fn from_parts(device: wgpu::Device, queue: wgpu::Queue, info: wgpu::AdapterInfo) -> Self {
        Self { device, queue, info, faults: Arc::default(), staging: Arc::default() }
    }

    fn install_handlers(&self) {
        let faults = self.faults.clone();
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{error}");
            lock(&faults).error.get_or_insert(error.to_string());
        }));
        let faults = self.faults.clone();
        self.device.set_device_lost_callback(move |reason, message| {
            lock(&faults).lost.get_or_insert(format!("{reason:?} {message}"));
        });
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Whether this is a software rasteriser.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The size of subgroups where each is known to be of neighbours in a workgroup, which is so on software; else 0.
    pub(crate) fn subgroup(&self) -> usize {
        let offered = self.device.features().contains(wgpu::Features::SUBGROUP);
        let is_one_size = self.info.subgroup_min_size == self.info.subgroup_max_size;
        if self.is_software() && offered && is_one_size { self.info.subgroup_min_size as usize } else { 0 }
    }

    /// Whether the host reads what a shader writes where it stands, which is memory of its own on software; else by way of a copy.
    pub(crate) fn maps_storage(&self) -> bool {
        self.is_software() && self.device.features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
    }

    /// One line: name, backend, driver, and whether it is software.
    pub fn describe(&self) -> String {
        let wgpu::AdapterInfo { name, backend, driver, driver_info, .. } = &self.info;
        let software = if self.is_software() { ", software" } else { "" };
        format!("{name} ({backend}{software}; {driver} {driver_info})")
    }

    /// A buffer of at least 16 bytes (a binding may not be empty).
    pub(crate) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let size = bytes.max(16).next_multiple_of(8);
        self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    }

    /// A buffer that shaders read, with these contents.
    pub(crate) fn buffer_with(&self, label: &str, contents: &[u8]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffer(label, contents.len() as u64, usage);
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// Two timestamps and the buffer to resolve them into, where the device has timestamps.
    pub(crate) fn stamps(&self) -> Option<(wgpu::QuerySet, wgpu::Buffer)> {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY).then(|| {
            let set = self.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            (set, self.buffer("timestamps", 16, usage))
        })
    }

    /// Copies a part of a buffer to the host.
    pub(crate) fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        at: u64,
        bytes: u64,
        timeout: Duration,
    ) -> Result<Vec<T>> {
        self.read_parts(buffer, &[(at, bytes)], timeout)
    }

    /// Copies parts of a buffer, each from where and how many bytes, to the host, one after the other.
    pub(crate) fn read_parts<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        parts: &[(u64, u64)],
        timeout: Duration,
    ) -> Result<Vec<T>> {
        let bytes = parts.iter().map(|(_, bytes)| bytes).sum();
        let fitting = lock(&self.staging).take().filter(|staging| (bytes..4 * bytes + 4096).contains(&staging.size()));
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = fitting.unwrap_or_else(|| self.buffer("staging", bytes, usage));
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        let mut to = 0;
        for &(at, bytes) in parts {
            encoder.copy_buffer_to_buffer(buffer, at, &staging, to, bytes);
            to += bytes;
        }
        let submission = self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        // Without an answer it stays out of use: the device may write to it yet.
        self.wait(&submission, timeout, 0)?;
        let values = self.mapped(&staging, bytes)?;
        staging.unmap();
        *lock(&self.staging) = Some(staging);
        Ok(values)
    }

    /// The contents of a buffer whose mapping has been waited for.
    pub(crate) fn mapped<T: bytemuck::Pod>(&self, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<T>> {
        Ok(bytemuck::pod_collect_to_vec(&self.view(staging, bytes)?))
    }

    /// The same, as it is mapped.
    pub(crate) fn view(&self, staging: &wgpu::Buffer, bytes: u64) -> Result<wgpu::BufferView> {
        staging.get_mapped_range(0..bytes).map_err(|e| Error::Device(e.to_string()))
    }

    /// An error that the device reported since the last call, if any.
    pub(crate) fn check(&self, good_steps: u64) -> Result<()> {
        if lock(&self.faults).error.is_some() {
            self.drain();
        }
        let mut faults = lock(&self.faults);
        if let Some(reason) = &faults.lost {
            return Err(Error::DeviceLost { good_steps, reason: reason.clone() });
        }
        match faults.error.take() {
            Some(error) => Err(Error::Device(error)),
            None => Ok(()),
        }
    }

    /// Whether the device is known to be lost.
    pub(crate) fn is_lost(&self) -> bool {
        lock(&self.faults).lost.is_some()
    }

    /// A lost device may show as an invalid buffer or submission first: its loss is told when it is polled with nothing in flight.
    fn drain(&self) {
        let _ = self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(LAST_WORK) });
    }

    /// Waits for a submission.
    pub(crate) fn wait(&self, submission: &wgpu::SubmissionIndex, timeout: Duration, good_steps: u64) -> Result<()> {
        let waited =
            self.device.poll(wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: Some(timeout) });
        self.check(good_steps)?;
        match waited {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => Err(Error::Timeout { good_steps, seconds: timeout.as_secs_f64() }),
            Err(e) => {
                self.drain();
                self.check(good_steps)?;
                Err(Error::Device(e.to_string()))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
