package randmodel

// Peaked is a small dense model whose distributions are as narrow as a real model's, to measure what rounding does to them.
// Its matrices fit the blocks of every format.
//
// Its logits are normal numbers of the deviation Peak, which gives distributions of 2.3 to 3.2 nats; SmolLM2-135M's on prose
// have 2.9 to 3.9. With a Peak of 1 they would be nearly flat, and a divergence would say nothing of what happens to likely
// tokens.
func Peaked() Shape {
	return Shape{
		Arch: "llama", NVocab: 4096, NCtx: 2048, NEmbd: 512, NLayer: 4, NHead: 8, NHeadKV: 2, HeadDim: 64, NFF: 1536,
		Eps: 1e-5, RopeBase: 1e4, Spread: 1, Peak: 3.5, Seed: 13,
	}
}
