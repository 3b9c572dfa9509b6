use super::*;

#[test]
fn integer_types_are_refused() {
    for dtype in [DType::U8, DType::I32] {
        assert!(quantize_row(dtype, &[], &mut []).is_err());
        assert!(dequantize_row(dtype, &[], &mut []).is_err());
    }
}
