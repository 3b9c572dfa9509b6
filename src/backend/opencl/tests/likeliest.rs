//! The likeliest tokens, found on the device.

use super::*;

#[test]
fn the_largest_value_is_the_one_that_the_host_would_find() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for gpu in all("the_largest_value_is_the_one_that_the_host_would_find") {
        let mut rows = vec![
            vec![1.0],
            vec![-inf],
            vec![nan],
            vec![-0.0, 0.0],
            vec![0.0, -0.0],
            vec![2.0, 5.0, 5.0, nan, nan],
            vec![3.0, inf, inf],
            vec![-inf; 5000],
            numbers(3, 128_256),
            vec![1.0; 3000],
        ];
        let mut late = numbers(4, 70_000);
        late[69_999] = 7.0;
        late[65_000] = 7.0;
        late[33] = nan;
        rows.push(late);
        for row in rows {
            let mut x = gpu.tensor(2, row.len()).unwrap();
            gpu.upload(&row, &mut x, 1).unwrap();
            assert_eq!(gpu.largest(&x, 1, &mut []).unwrap(), Largest::of(&row), "{} values", row.len());
        }
    }
}

#[test]
fn the_largest_few_are_those_that_the_host_would_find() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for gpu in all("the_largest_few_are_those_that_the_host_would_find") {
        let noise = numbers(3, 128_256);
        let change = |f: &dyn Fn(usize, f32) -> f32| -> Vec<f32> {
            noise.iter().enumerate().map(|(i, &v)| f(i, v)).collect()
        };
        // Which are found on the device, as the bytes that come back show: not where too many are alike.
        let rows = [
            (noise.clone(), true),
            (numbers(4, 32_000), true),
            (change(&|i, v| if i % 7919 == 3 { inf } else { v }), true),
            (change(&|i, v| if i == 70_000 || i == 90_000 { nan } else { v }), true),
            // Many ties at the bar: 129 values in all groups are 1, of which 40 with the lowest indices count.
            (change(&|i, v| if i % 1000 == 7 { 1.0 } else { v.min(0.9) }), true),
            (change(&|i, _| if i < 30 { i as f32 } else { -inf }), false),
            (change(&|_, _| 0.5), false),
            (numbers(5, 500), false),
        ];
        for (row, (values, on_device)) in rows.into_iter().enumerate() {
            let mut x = gpu.tensor(2, values.len()).unwrap();
            gpu.upload(&values, &mut x, 1).unwrap();
            for count in [2, 40, 62] {
                let (mut scratch, mut got, mut right) = (values.clone(), Top::default(), Top::default());
                scratch.fill(7.0);
                gpu.top(&x, 1, count, &mut scratch, &mut got).unwrap();
                right.find(&values, count);
                assert_eq!(got.nan(), right.nan(), "row {row}, {count}");
                if right.nan().is_none() {
                    assert_eq!(got.sorted(), right.sorted(), "row {row}, {count}");
                }
                assert_eq!(scratch[0] == 7.0, on_device, "row {row}, {count}");
            }
        }
    }
}
