// Command detect tells whether a text was marked by the watermark sampler. It reads token ids from standard input, as
// `forge tokenize` prints them, and needs the key but no model:
//
//	forge tokenize -m model.gguf -f text.txt | go run ./examples/sampler-watermark/detect -key 42
//
// z says how many standard deviations the green tokens are above the share that chance gives. A z above 4 comes by chance
// in one of 30,000 texts; its exit status is then 0, else 1.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

func main() {
	key := flag.Uint64("key", 0, "the secret that the text was made with, watermark_key")
	gamma := flag.Float64("gamma", 0.25, "the share of green tokens, watermark_gamma")
	least := flag.Float64("z", 4, "the z from which a text counts as marked")
	flag.Parse()
	tokens, err := readTokens(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "detect:", err)
		os.Exit(2)
	}
	green, n := count(tokens, uint32(*key), *gamma)
	if n == 0 {
		fmt.Fprintln(os.Stderr, "detect: fewer than two tokens: there is nothing to count")
		os.Exit(2)
	}
	z := (float64(green) - *gamma*float64(n)) / math.Sqrt(float64(n)**gamma*(1-*gamma))
	fmt.Printf("green %d of %d, z %.2f, by chance in one of %.3g texts\n", green, n, z, 2/math.Erfc(z/math.Sqrt2))
	if z < *least {
		os.Exit(1)
	}
}

// readTokens takes numbers with spaces, commas or brackets between them.
func readTokens(r io.Reader) ([]uint32, error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<26)
	var tokens []uint32
	for s.Scan() {
		for _, word := range strings.FieldsFunc(s.Text(), func(r rune) bool { return strings.ContainsRune(" ,[]\t", r) }) {
			id, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q is not a token id", word)
			}
			tokens = append(tokens, uint32(id))
		}
	}
	return tokens, s.Err()
}

// count gives how many tokens are green after the one before them. A pair that comes again says nothing new and is left out,
// or a text that repeats itself would look marked.
func count(tokens []uint32, key uint32, gamma float64) (green, n int) {
	seen := map[[2]uint32]bool{}
	for i := 1; i < len(tokens); i++ {
		pair := [2]uint32{tokens[i-1], tokens[i]}
		if seen[pair] {
			continue
		}
		seen[pair] = true
		n++
		word := philox(key, [4]uint32{pair[0], pair[1] / 4})[pair[1]%4]
		if float64(word) < gamma*(1<<32) {
			green++
		}
	}
	return green, n
}

// philox is Philox4x32-10 of Salmon et al., Parallel random numbers: as easy as 1, 2, 3, with the second key word 0.
func philox(key uint32, x [4]uint32) [4]uint32 {
	k0, k1 := key, uint32(0)
	for range 10 {
		a, b := 0xD2511F53*uint64(x[0]), 0xCD9E8D57*uint64(x[2])
		x = [4]uint32{uint32(b>>32) ^ x[1] ^ k0, uint32(b), uint32(a>>32) ^ x[3] ^ k1, uint32(a)}
		k0, k1 = k0+0x9E3779B9, k1+0xBB67AE85
	}
	return x
}
