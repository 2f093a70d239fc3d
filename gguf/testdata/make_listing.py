# Lists a model file as the Python package gguf sees it, for TestModels to compare with:
#
#     python3 make_listing.py ../../models/NAME.gguf > NAME.txt        (gguf 0.19.0, numpy 2.4.6)
#
# A line per key: name, number of the kind (of the elements for an array, after 9/), number of elements, digest of the value
# as it is in the file. A line per tensor: name, type, dimensions, offset, bytes, digest of its first and last four rows as
# float32 by gguf.dequantize.
import hashlib
import sys

import gguf
import numpy as np


def digest(*parts):
    return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()[:16]


r = gguf.GGUFReader(sys.argv[1])
for name, f in r.fields.items():
    if name.startswith("GGUF."):
        continue  # the header, which the package lists among the keys
    kinds = [t.value for t in f.types]
    if kinds[0] == 9:
        print("key", name, f"9/{kinds[1]}", f.parts[4][0], digest(*f.parts[5:]))
    elif kinds[0] == 8:
        print("key", name, 8, 1, digest(f.parts[-1]))
    else:
        print("key", name, kinds[0], 1, digest(*f.parts[3:]))
start = r.data_offset
for t in r.tensors:
    rows = t.data.reshape(-1, t.data.shape[-1])
    some = np.concatenate([rows[:4], rows[-4:]])
    values = gguf.dequantize(some, t.tensor_type)
    dims = ",".join(str(d) for d in t.shape)
    print("tensor", t.name, t.tensor_type.name, dims, t.data_offset - start, t.n_bytes, digest(values))
