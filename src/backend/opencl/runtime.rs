//! A context and its one in-order queue on one device: memory, transfers and what was counted of them.

use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use opencl_sys as cl;
use opencl_sys::cl_int;

use super::device::Device;
use super::error::{OpenClError, Result};
use super::library::{Api, Handle};
use super::profile::{KernelTime, Profile};

/// What was done so far; differences of two readings show what happened in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Kernels started.
    pub launches: u64,
    /// Times that the host waited for the device.
    pub blocking: u64,
    /// Bytes that went to the device.
    pub written: u64,
    /// Bytes that came back.
    pub read: u64,
    /// Buffers made.
    pub allocations: u64,
    /// Programs compiled; those that came from the cache do not count.
    pub builds: u64,
}

impl std::ops::Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            launches: self.launches - earlier.launches,
            blocking: self.blocking - earlier.blocking,
            written: self.written - earlier.written,
            read: self.read - earlier.read,
            allocations: self.allocations - earlier.allocations,
            builds: self.builds - earlier.builds,
        }
    }
}

#[derive(Default)]
struct Counts {
    launches: AtomicU64,
    blocking: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
    allocations: AtomicU64,
    builds: AtomicU64,
}

/// The context, the queue and the device that they are on.
pub struct Runtime {
    pub(super) api: &'static Api,
    /// The device.
    pub device: Device,
    context: Handle,
    queue: Handle,
    counts: Counts,
    /// Bytes of all buffers.
    used: AtomicU64,
    staging: Mutex<Staging>,
    pub(super) profile: Option<Mutex<Profile>>,
    /// For tests: after so many launches every call fails as on a device that was lost.
    lose_after: u64,
}

/// Host memory that transfers to the device read from. They do not wait, so it has to stay as it is until the queue
/// has passed them: which it has when anything after them was waited for.
#[derive(Default)]
struct Staging {
    in_flight: Vec<Vec<u8>>,
    free: Vec<Vec<u8>>,
    /// The first failure that could not be reported where it happened (see [`Runtime::unmap`]).
    failed: Option<OpenClError>,
}

/// Transfers in flight beyond which the host waits, so that a caller that never reads back does not pile them up.
const MOST_IN_FLIGHT: usize = 64;

impl Runtime {
    /// Opens a device. With `profile` the time of every kernel is taken; `lose_after` is for tests.
    ///
    /// # Errors
    /// A device that cannot run the kernels, or that refuses.
    pub fn new(device: Device, profile: bool, lose_after: Option<u64>) -> Result<Self> {
        device.check()?;
        let api = Api::get()?;
        let failed =
            |call: &str, status| OpenClError::Call { call: call.into(), device: device.name.clone(), status };
        let mut status = cl::CL_SUCCESS;
        // SAFETY: one device id, no properties and no callback; the result is checked.
        let context = unsafe {
            (api.create_context)(ptr::null(), 1, &device.id.0, ptr::null_mut(), ptr::null_mut(), &mut status)
        };
        if status != cl::CL_SUCCESS || context.is_null() {
            return Err(failed("clCreateContext", status));
        }
        let properties = if profile { cl::CL_QUEUE_PROFILING_ENABLE } else { 0 };
        // SAFETY: the context was made for this device. Without CL_QUEUE_OUT_OF_ORDER the queue is in order.
        let queue = unsafe { (api.create_command_queue)(context, device.id.0, properties, &mut status) };
        if status != cl::CL_SUCCESS || queue.is_null() {
            // SAFETY: made above and not in use.
            unsafe { (api.release_context)(context) };
            return Err(failed("clCreateCommandQueue", status));
        }
        Ok(Self {
            api,
            device,
            context: Handle(context),
            queue: Handle(queue),
            counts: Counts::default(),
            used: AtomicU64::new(0),
            staging: Mutex::default(),
            profile: profile.then(Mutex::default),
            lose_after: lose_after.unwrap_or(u64::MAX),
        })
    }

    pub(super) fn context(&self) -> Handle {
        self.context
    }

    pub(super) fn queue(&self) -> Handle {
        self.queue
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let c = &self.counts;
        Counters {
            launches: get(&c.launches),
            blocking: get(&c.blocking),
            written: get(&c.written),
            read: get(&c.read),
            allocations: get(&c.allocations),
            builds: get(&c.builds),
        }
    }

    pub(super) fn count_launch(&self) {
        self.counts.launches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_build(&self) {
        self.counts.builds.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps a launch's event until its time is asked for.
    pub(super) fn keep_event(&self, kernel: &'static str, event: Handle) {
        if let Some(profile) = &self.profile {
            profile.lock().unwrap_or_else(PoisonError::into_inner).pending.push((kernel, event));
        }
    }

    /// Reads the times of launches that are done, so that their events do not pile up.
    fn collect_times(&self) {
        let Some(profile) = &self.profile else { return };
        let profile = &mut *profile.lock().unwrap_or_else(PoisonError::into_inner);
        for (kernel, event) in profile.pending.drain(..) {
            let time = profile.times.entry(kernel).or_default();
            time.launches += 1;
            time.nanoseconds += self.event_time(event);
            // SAFETY: a launch gave the event to us, and no one else has it.
            unsafe { (self.api.release_event)(event.0) };
        }
    }

    /// Nanoseconds from start to end; 0 if the driver does not report it.
    fn event_time(&self, event: Handle) -> u64 {
        let ask = |what| {
            let mut at: cl::cl_ulong = 0;
            let to = ptr::from_mut(&mut at).cast();
            // SAFETY: an event of a queue with profiling, and room for the number that is asked for.
            let status = unsafe {
                (self.api.get_event_profiling_info)(event.0, what, size_of_val(&at), to, ptr::null_mut())
            };
            (status == cl::CL_SUCCESS).then_some(at)
        };
        match (ask(cl::CL_PROFILING_COMMAND_START), ask(cl::CL_PROFILING_COMMAND_END)) {
            (Some(start), Some(end)) => end.saturating_sub(start),
            _ => 0,
        }
    }

    /// Forgets the times of what is done.
    pub(super) fn forget_times(&self) -> Result<()> {
        self.times()?;
        if let Some(profile) = &self.profile {
            profile.lock().unwrap_or_else(PoisonError::into_inner).times.clear();
        }
        Ok(())
    }

    /// The time of every kernel so far, the longest first.
    pub(super) fn times(&self) -> Result<Vec<(&'static str, KernelTime)>> {
        self.finish()?;
        self.collect_times();
        let Some(profile) = &self.profile else { return Ok(Vec::new()) };
        let profile = profile.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times: Vec<_> = profile.times.iter().map(|(&name, &time)| (name, time)).collect();
        times.sort_by_key(|(_, time)| std::cmp::Reverse(time.nanoseconds));
        Ok(times)
    }

    /// What a call answered, unless the device is to be taken for lost.
    pub(super) fn answer(&self, status: cl_int) -> cl_int {
        let lost = self.counts.launches.load(Ordering::Relaxed) >= self.lose_after;
        if lost { cl::CL_OUT_OF_RESOURCES } else { status }
    }

    /// `Ok` for success; otherwise the call is named.
    pub(super) fn check(&self, call: &'static str, status: cl_int) -> Result<()> {
        let status = self.answer(status);
        if status == cl::CL_SUCCESS {
            return Ok(());
        }
        Err(OpenClError::Call { call: call.to_owned(), device: self.device.name.clone(), status })
    }

    /// Memory of `bytes` bytes (at least 16), where the host can map it at no cost if the two share their memory.
    ///
    /// # Errors
    /// Beyond the device's limits, or what the driver answers.
    pub(super) fn create_buffer(&self, bytes: usize, what: &'static str) -> Result<Handle> {
        let bytes = bytes.max(16);
        let (limit, total) = (self.device.max_buffer, self.device.memory);
        if bytes as u64 > limit {
            let device = self.device.name.clone();
            return Err(OpenClError::BufferTooLarge { device, what, bytes: bytes as u64, limit });
        }
        let used = self.used.fetch_add(bytes as u64, Ordering::Relaxed);
        if used.saturating_add(bytes as u64) > total {
            self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
            let device = self.device.name.clone();
            return Err(OpenClError::TooLarge { device, what, bytes: bytes as u64, used, total });
        }
        // Memory that both can reach costs nothing where there is one memory. A card's kernels would read it through
        // its bus.
        let shared = if self.device.unified { cl::CL_MEM_ALLOC_HOST_PTR } else { 0 };
        let flags = cl::CL_MEM_READ_WRITE | shared;
        let mut status = cl::CL_SUCCESS;
        // SAFETY: the context lives as long as `self`; no host pointer is given.
        let mem =
            unsafe { (self.api.create_buffer)(self.context.0, flags, bytes, ptr::null_mut(), &mut status) };
        if let Err(e) = self.check("clCreateBuffer", status) {
            self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
            return Err(e);
        }
        self.counts.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(Handle(mem))
    }

    /// The first `texels` times four elements of a buffer as an image; `None` if the device does not take it so.
    pub(super) fn create_image(
        &self,
        mem: Handle,
        element: cl::cl_channel_type,
        texels: usize,
    ) -> Option<Handle> {
        let create = self.api.create_image.filter(|_| (1..=self.device.image_texels).contains(&texels))?;
        let format =
            cl::cl_image_format { image_channel_order: cl::CL_RGBA, image_channel_data_type: element };
        let desc = cl::cl_image_desc {
            image_type: cl::CL_MEM_OBJECT_IMAGE1D_BUFFER,
            image_width: texels,
            image_height: 0,
            image_depth: 0,
            image_array_size: 0,
            image_row_pitch: 0,
            image_slice_pitch: 0,
            num_mip_levels: 0,
            num_samples: 0,
            buffer: mem.0,
        };
        let mut status = cl::CL_SUCCESS;
        // SAFETY: both descriptions live until the call returns; a buffer that is too short is refused by the driver.
        let image = unsafe {
            create(self.context.0, cl::CL_MEM_READ_ONLY, &format, &desc, ptr::null_mut(), &mut status)
        };
        (status == cl::CL_SUCCESS && !image.is_null()).then_some(Handle(image))
    }

    /// Gives back what [`Self::create_buffer`] made, when what is in the queue no longer needs it.
    pub(super) fn release_buffer(&self, mem: Handle, bytes: usize) {
        self.used.fetch_sub(bytes.max(16) as u64, Ordering::Relaxed);
        // SAFETY: the caller owns `mem` and forgets it. Commands in the queue keep it alive (OpenCL 1.2, 5.4.1).
        unsafe { (self.api.release_mem_object)(mem.0) };
    }

    /// Fills the first `bytes` (a multiple of 4) with zeros.
    pub(super) fn zero(&self, mem: Handle, bytes: usize) -> Result<()> {
        let zero = 0u32;
        let pattern = ptr::from_ref(&zero).cast();
        // SAFETY: the buffer is as long as the caller says; the pattern is copied before the call returns.
        let status = unsafe {
            (self.api.enqueue_fill_buffer)(
                self.queue.0,
                mem.0,
                pattern,
                4,
                0,
                bytes.next_multiple_of(4),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        self.check("clEnqueueFillBuffer", status)
    }

    /// Puts `bytes` at `offset`, in the queue's order, without waiting.
    ///
    /// # Safety
    /// The buffer has to reach to `offset + bytes.len()`.
    pub(super) unsafe fn write(&self, mem: Handle, offset: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if staging.in_flight.len() >= MOST_IN_FLIGHT {
            self.wait(&mut staging)?;
        }
        let mut copy = staging.free.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(bytes);
        // SAFETY: the caller vouches for the buffer's length. `copy`'s heap memory stays where it is, unchanged, in
        // `in_flight` until the queue has passed this command.
        let status = unsafe {
            (self.api.enqueue_write_buffer)(
                self.queue.0,
                mem.0,
                cl::CL_FALSE,
                offset,
                copy.len(),
                copy.as_ptr().cast(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        staging.in_flight.push(copy);
        self.counts.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.check("clEnqueueWriteBuffer", status)
    }

    /// Waits for all earlier work and copies what is at `offset`.
    ///
    /// # Safety
    /// The buffer has to reach to `offset + to.len()`.
    pub(super) unsafe fn read(&self, mem: Handle, offset: usize, to: &mut [u8]) -> Result<()> {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(e) = &staging.failed {
            return Err(e.clone());
        }
        if to.is_empty() {
            return self.wait(&mut staging);
        }
        // SAFETY: the caller vouches for the buffer's length; the call blocks until `to` is written.
        let status = unsafe {
            (self.api.enqueue_read_buffer)(
                self.queue.0,
                mem.0,
                cl::CL_TRUE,
                offset,
                to.len(),
                to.as_mut_ptr().cast(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        self.check("clEnqueueReadBuffer", status)?;
        self.counts.blocking.fetch_add(1, Ordering::Relaxed);
        self.counts.read.fetch_add(to.len() as u64, Ordering::Relaxed);
        staging.passed();
        self.collect_times();
        Ok(())
    }

    /// Waits for all that is in the queue.
    pub(super) fn finish(&self) -> Result<()> {
        self.wait(&mut self.staging.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wait(&self, staging: &mut Staging) -> Result<()> {
        // SAFETY: the queue lives as long as `self`.
        let status = unsafe { (self.api.finish)(self.queue.0) };
        self.check("clFinish", status)?;
        self.counts.blocking.fetch_add(1, Ordering::Relaxed);
        staging.passed();
        Ok(())
    }

    /// Lets the host see the first `bytes` of a buffer, when all earlier work is done.
    ///
    /// # Safety
    /// The buffer has to have as many. Until [`Self::unmap`] no command may use it.
    pub(super) unsafe fn map(&self, mem: Handle, bytes: usize) -> Result<*mut u8> {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status = cl::CL_SUCCESS;
        // SAFETY: the caller vouches for the length; the call blocks until the memory can be used.
        let at = unsafe {
            (self.api.enqueue_map_buffer)(
                self.queue.0,
                mem.0,
                cl::CL_TRUE,
                cl::CL_MAP_READ | cl::CL_MAP_WRITE,
                0,
                bytes.max(16),
                0,
                ptr::null(),
                ptr::null_mut(),
                &mut status,
            )
        };
        self.check("clEnqueueMapBuffer", status)?;
        self.counts.blocking.fetch_add(1, Ordering::Relaxed);
        staging.passed();
        Ok(at.cast())
    }

    /// Gives a mapped buffer back to the device. A failure is kept for the next call that reads: there is no caller to
    /// report it to where a guard is dropped.
    ///
    /// # Safety
    /// `at` has to be what [`Self::map`] gave for `mem`, and must not be used any more.
    pub(super) unsafe fn unmap(&self, mem: Handle, at: *mut u8) {
        // SAFETY: as the caller vouches.
        let status = unsafe {
            (self.api.enqueue_unmap_mem_object)(
                self.queue.0,
                mem.0,
                at.cast::<c_void>(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        if let Err(e) = self.check("clEnqueueUnmapMemObject", status) {
            self.staging.lock().unwrap_or_else(PoisonError::into_inner).failed.get_or_insert(e);
        }
    }
}

impl Staging {
    /// Everything that was in flight has passed the queue.
    fn passed(&mut self) {
        self.free.append(&mut self.in_flight);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.collect_times();
        if self.finish().is_err() {
            // What the queue may still read from must stay.
            let staging = self.staging.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(&mut staging.in_flight));
        }
        // SAFETY: both were made in `new` and are released once; buffers, programs and kernels hold an `Arc` of
        // `self`, so that none is left.
        unsafe {
            (self.api.release_command_queue)(self.queue.0);
            (self.api.release_context)(self.context.0);
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runtime({})", self.device.name)
    }
}
