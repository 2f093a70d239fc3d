# Makes the vectors of this folder with the Python package gguf, which is not ours and shares no code with it:
#
#     python3 make_vectors.py        (gguf 0.19.0, numpy 2.4.6)
#
# decode_<type>.bin  n times (one block, its float32 values): what dequantize gives. Unscaled types have one-element blocks.
# encode_<type>.bin  n times (float32 values, one block): what quantize gives.
# all_kinds.gguf     a file by GGUFWriter with every value kind and several tensors; its content is spelled out in reader_test.go.
import pathlib
import warnings

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

warnings.simplefilter("ignore")
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(20240607)

# Where the half-precision scales are in each block.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0],
}
# Largest, smallest and largest subnormal, infinities, quiet and signalling NaN, zeros; the last is an ordinary one.
HALVES = [0x7BFF, 0xFBFF, 0x0001, 0x83FF, 0x0400, 0x7C00, 0xFC00, 0x7E00, 0xFD55, 0x0000, 0x8000, 0x2E66]


def noise(n, size):
    return rng.integers(0, 256, (n, size), dtype=np.uint8)


def put_half(block, at, bits):
    block[at], block[at + 1] = bits & 255, bits >> 8


def decode_blocks(t):
    size = gguf.GGML_QUANT_SIZES[t][1]
    fills = [np.full(size, v, np.uint8) for v in (0x00, 0xFF, 0x7F, 0x80, 0x55)]
    blocks = fills + list(noise(8, size))  # the scales of the noise are noise too
    if t == T.MXFP4:
        for e in (0, 1, 2, 3, 120, 127, 128, 250, 251, 252, 253, 254, 255):
            b = noise(1, size)[0]
            b[0] = e
            blocks.append(b)
        return blocks
    at = SCALES[t]
    for h in HALVES:
        for which in ([at[:1], at[1:], at] if len(at) == 2 else [at]):
            b = noise(1, size)[0]
            for a in at:
                put_half(b, a, int(rng.integers(0x2000, 0x3800)) | int(rng.integers(0, 2)) << 15)
            for a in which:
                put_half(b, a, h)
            blocks.append(b)
    for fill in (0x00, 0xFF):  # least and largest sub-scales, either sign of the scale
        for sign in (0x0000, 0x8000):
            b = np.full(size, fill, np.uint8)
            for a in at:
                put_half(b, a, 0x3555 | sign)
            blocks.append(b)
    return blocks


def floats16():
    # Every sign and exponent with the edges of the fraction.
    return np.array([s | e << 10 | f for s in (0, 0x8000) for e in range(32) for f in (0, 1, 0x1FF, 0x200, 0x3FF)], np.uint16)


def floats32():
    # Every sign and exponent, fractions on, just under and just over the rounding points of 7 and 10 bits; and noise.
    fractions = [0, 1, 0xFFF, 0x1000, 0x1001, 0x2000, 0x2FFF, 0x3000, 0x3001, 0x7FFF, 0x8000, 0x8001, 0x17FFF, 0x18000, 0x18001,
                 0x400000, 0x555555, 0x7FEFFF, 0x7FF000, 0x7FFFFF]
    edge = np.array([s << 31 | e << 23 | f for s in (0, 1) for e in [0, 1, 2, *range(98, 146), 253, 254, 255] for f in fractions], np.uint32)
    return np.concatenate([edge, rng.integers(0, 1 << 32, 500, dtype=np.uint32)]).view(np.float32)


def write(name, *parts):
    (here / name).write_bytes(np.concatenate(parts, axis=1).tobytes())


def rows(a, n):
    return np.ascontiguousarray(a).view(np.uint8).reshape(n, -1)


def decode_vectors():
    for t in [*SCALES, T.MXFP4]:
        blocks = np.stack(decode_blocks(t))
        values = np.concatenate([gguf.dequantize(b.reshape(1, -1), t) for b in blocks])
        write(f"decode_{t.name.lower()}.bin", blocks, rows(values, len(blocks)))
    f32 = floats32()
    write("decode_f32.bin", rows(f32, len(f32)), rows(gguf.dequantize(f32, T.F32), len(f32)))
    f16 = floats16()
    write("decode_f16.bin", rows(f16, len(f16)), rows(gguf.dequantize(rows(f16, len(f16)), T.F16), len(f16)))
    bf16 = (f32.view(np.uint32) >> 16).astype(np.uint16)
    write("decode_bf16.bin", rows(bf16, len(bf16)), rows(gguf.dequantize(rows(bf16, len(bf16)), T.BF16), len(bf16)))


def encode_vectors():
    f32 = floats32()
    for t in (T.F16, T.BF16):
        write(f"encode_{t.name.lower()}.bin", rows(f32, len(f32)), rows(gguf.quantize(f32.reshape(-1, 1), t), len(f32)))
    for t in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.MXFP4):
        x = rng.standard_normal((48, 32)).astype(np.float32)
        x *= np.float32(2) ** rng.integers(-12, 9, (48, 1)).astype(np.float32)
        x[0], x[1], x[2] = 0, 1, -1
        x[3] = np.arange(32) - 16  # ties of the legacy formats
        x[4] = np.abs(x[4])
        x[5] = -np.abs(x[5])
        x[6, 1:] = 0
        x[7] = np.arange(32) / 32
        x[8] *= np.float32(1e-7)  # the scale is subnormal in half precision
        x[9] = (np.arange(32) * 8 - 127) / 2  # ties of Q8_0
        write(f"encode_{t.name.lower()}.bin", rows(x, 48), rows(gguf.quantize(x, t), 48))


def all_kinds():
    w = gguf.GGUFWriter(here / "all_kinds.gguf", "forge-test")
    w.add_uint8("k.uint8", 250)
    w.add_int8("k.int8", -5)
    w.add_uint16("k.uint16", 65000)
    w.add_int16("k.int16", -30000)
    w.add_uint32("k.uint32", 4000000000)
    w.add_int32("k.int32", -2000000000)
    w.add_float32("k.float32", 0.1)
    w.add_bool("k.bool", True)
    w.add_string("k.string", "grüße, 世界")
    w.add_uint64("k.uint64", 2**64 - 1)
    w.add_int64("k.int64", -(2**63))
    w.add_float64("k.float64", 0.1)
    w.add_array("k.strings", ["a", "", "ccc"])
    w.add_array("k.ints", [1, -2, 3])
    w.add_array("k.floats", [0.5, -0.25])
    w.add_array("k.bools", [True, False])
    w.add_array("k.nested", [[1, 2], [3], [-4, 5, 6]])
    x = np.arange(64, dtype=np.float32).reshape(2, 32) - 20
    w.add_tensor("a.f32", x)
    w.add_tensor("b.f16", x.astype(np.float16))
    for t in (T.Q4_0, T.Q8_0):
        q = gguf.quantize(x, t)
        w.add_tensor("c." + t.name.lower(), q, raw_dtype=t)
    w.add_tensor("d.vector", np.array([1, 2, 3], np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


decode_vectors()
encode_vectors()
all_kinds()
