//! Buffers, transfers, and what is kept on disk.

use super::*;

#[test]
fn a_mapped_buffer_is_the_buffer_itself() {
    let Some(gpu) = gpu("a_mapped_buffer_is_the_buffer_itself") else { return };
    let (mut x, mut acc) = (tensor(gpu, 1, 2, 3).unwrap(), gpu.tensor(2, 3).unwrap());
    let written = [1.0f32, -2.0, 3.5, 0.0, 5.0, 6.0];
    let place;
    {
        let mut mapped = acc.buffer_mut().map().unwrap();
        place = mapped.as_ptr();
        assert!(mapped.iter().all(|&b| b == 0), "fresh memory is zero");
        for (to, v) in mapped.as_chunks_mut::<4>().0.iter_mut().zip(written) {
            *to = v.to_le_bytes();
        }
    }
    // What the host wrote, a kernel reads; what the kernel writes, the host reads.
    gpu.add(&x, &mut acc).unwrap();
    let expected: Vec<f32> = written.iter().zip(numbers(1, 6)).map(|(a, b)| a + b).collect();
    assert_eq!(values(gpu, &acc).unwrap(), expected);
    let mapped = acc.buffer_mut().map().unwrap();
    // Where both share one memory, the host always sees the same.
    assert!(!gpu.device().unified || mapped.as_ptr() == place);
    let seen: Vec<f32> = mapped.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!(seen[..6], expected);
    drop(mapped);
    gpu.add(&acc, &mut x).unwrap();
    let twice: Vec<f32> = expected.iter().zip(numbers(1, 6)).map(|(a, b)| b + a).collect();
    assert_eq!(values(gpu, &x).unwrap(), twice);
}

#[test]
fn operations_only_queue_and_a_download_waits_once() {
    let Some(_) = gpu("operations_only_queue_and_a_download_waits_once") else { return };
    // A device of its own: other tests count on theirs.
    let gpu = OpenClBackend::new(options()).unwrap();
    let w = gpu.prepare(&stored(DType::Q4_0, 65, 64, 1).unwrap(), DType::Q4_0).unwrap();
    let (mut x, mut out) = (gpu.tensor(1, 64).unwrap(), gpu.tensor(1, 65).unwrap());
    let mut step = |ids: &[u32]| {
        let before = gpu.counters();
        gpu.embed(&w, ids, &mut x).unwrap();
        gpu.linear(&x, &mut [LinearPart { weight: &w, bias: None, out: &mut out }]).unwrap();
        let queued = gpu.counters() - before;
        let mut row = [0.0; 65];
        gpu.download(&out, 0, &mut row).unwrap();
        (queued, gpu.counters() - before)
    };
    step(&[3]);
    let (queued, done) = step(&[7]);
    assert_eq!(queued, Counters { launches: 2, written: 4, ..Counters::default() });
    assert_eq!(done, Counters { blocking: 1, read: 65 * 4, ..queued });
    // The largest value comes back as two numbers. Its memory is made once.
    gpu.largest(&out, 0, &mut []).unwrap();
    let before = gpu.counters();
    gpu.largest(&out, 0, &mut []).unwrap();
    let expected = Counters { launches: 2, blocking: 1, read: 8, ..Counters::default() };
    assert_eq!(gpu.counters() - before, expected);
}

#[test]
fn a_large_weight_is_split_by_rows_and_too_large_ones_are_refused() {
    let Some(_) = gpu("a_large_weight_is_split_by_rows_and_too_large_ones_are_refused") else { return };
    // 64 rows of 64 f32 values are 16 KiB: two tiles a buffer.
    let gpu = OpenClBackend::new(OpenClOptions { max_buffer: Some(40_000), ..options() }).unwrap();
    let tensor = stored(DType::F32, 300, 64, 1).unwrap();
    let w = gpu.prepare(&tensor, DType::F32).unwrap();
    assert_eq!((w.parts.len(), w.rows(), w.parts[2].rows), (3, 300, 44));
    for operation in [
        Operation::Linear { format: DType::F32, tokens: 2, cols: 64, outs: 300 },
        Operation::Embed { format: DType::Q8_0, vocab: 700, cols: 64, tokens: 9 },
    ] {
        let error = operation.error(&gpu).unwrap();
        assert!(error <= BOUND, "{operation:?}: {error:e}");
    }
    let wide = HostTensor::from_f32("w", Shape::from([2, 1000]), &[0.0; 2000]).unwrap();
    let refused = gpu.prepare(&wide, DType::F32).err().unwrap().to_string();
    assert!(refused.contains("40000") && refused.contains("a smaller format of the weights"), "{refused}");
    let refused = gpu.alloc(DType::F32, 20_000).err().unwrap().to_string();
    assert!(refused.contains("buffers of up to 40000 bytes"), "{refused}");
}

#[test]
fn programs_come_out_of_the_cache_and_damaged_ones_are_built_anew() {
    let Some(_) = gpu("programs_come_out_of_the_cache_and_damaged_ones_are_built_anew") else { return };
    let dir = tempfile::tempdir().unwrap();
    let cache = DeviceCache::new(Some(dir.path().to_owned()));
    let start = || {
        // Without the self-test, which compiles some kernels several times.
        let options =
            OpenClOptions { cache: cache.clone(), preset: Some(Preset::Fast), ..OpenClOptions::default() };
        let gpu = OpenClBackend::new(options).unwrap();
        let error = Operation::RmsNorm { rows: 2, cols: 65 }.error(&gpu).unwrap();
        assert!(error <= BOUND, "{error:e}");
        gpu.counters().builds
    };
    let first = start();
    assert!(first > 0);
    assert_eq!(start(), 0);
    let entries: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(entries.len() as u64, first);
    for (i, path) in entries.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        match i % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.iter_mut().for_each(|b| *b ^= 0x55),
            _ => bytes.clear(),
        }
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(start(), first);
    assert_eq!(start(), 0);
}
