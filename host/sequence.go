package host

import (
	"bytes"
	"context"
	"math"
	"time"

	"forge/host/plugin"
)

// Request asks for one continuation.
type Request struct {
	Prompt    []uint32       // token ids, BOS included
	MaxTokens int            // -1: until the context is full
	Settings  map[string]any // sampler config keys: temp, top_k, ...
	Samplers  []string       // the chain's entries in order; nil: the plugin set's default
	// Constraint has config keys of constraints: grammar, json_schema, ... Whichever plugin has a key applies.
	Constraint map[string]any
	// Constraints name plugins of kind constraint that apply whatever is set; keys of theirs may stand in Settings.
	Constraints []string
	Seed        uint64
	Stop        []string // texts that end the answer and are not part of it
	IgnoreEOS   bool
	Logprobs    int // how many best ids to report for each step
	// Chances is how many candidates to report for each token with the probabilities that it was picked by, after the
	// samplers before the one that picks; that one must be granted logprobs.
	Chances int
	// KeepSpecial writes control tokens out as text instead of leaving them out.
	KeepSpecial bool
	// Session, if set, keeps the sequence's cache for the next request that begins with the same tokens.
	Session *Session
	// OnText gets the text as it comes, whole characters only. It is called from the loop: it must not block for long.
	OnText func(text []byte)
	// OnLogits gets each row that a token is taken from, before sampling; it holds during the call.
	OnLogits func(logits []float32)
	// OnToken gets each token that was picked or forced, those too that a constraint takes back later.
	OnToken func(Pick)
	// Observe gets what each entry of the chain left behind, row by row.
	Observe func(plugin.Observation)
}

// Session is a sequence kept between requests: a dialogue.
type Session struct {
	tables *pageTables
	tokens []uint32
}

// Logprob is one id with the natural logarithm of its probability before sampling.
type Logprob struct {
	ID      uint32
	Logprob float64
}

// Chances are the logarithms of the probabilities that a token was picked by, its own first: 0 of one that was no choice.
type Chances struct {
	Logprob float64
	Top     []Logprob // the most probable
}

// Pick is a token at its position. The generator's counter stood at From before, and at To after it was picked.
type Pick struct {
	ID       uint32
	Pos      int
	From, To uint64
}

// Result is a finished continuation.
type Result struct {
	Text     string
	Tokens   []uint32
	Prompt   []uint32
	Finish   string // stop, length or cancelled
	Logprobs [][]Logprob
	Chances  []Chances // of each token
	Timings  Timings

	TokenLogprobs []float64 // of each token itself, which need not be among the likeliest; where Logprobs are wanted
}

// Timings of one request.
type Timings struct {
	PromptTokens  int // computed, not taken from a session
	PromptTime    time.Duration
	DecodeTokens  int // steps after the first token
	DecodeTime    time.Duration
	ToFirstToken  time.Duration
	SequencesPeak int // how many sequences shared the steps
}

// PromptRate and DecodeRate are tokens a second.
func (t Timings) PromptRate() float64 { return rate(t.PromptTokens, t.PromptTime) }

// DecodeRate is the rate of the steps after the first token.
func (t Timings) DecodeRate() float64 { return rate(t.DecodeTokens, t.DecodeTime) }

func rate(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// sequence is a request in the loop.
type sequence struct {
	ctx     context.Context
	always  context.Context // ctx without its cancellation
	req     *Request
	chain   *plugin.Chain
	params  *plugin.Params
	tables  *pageTables
	tokens  []uint32 // prompt and what was generated
	id      uint64
	draw    uint64
	drawn   uint64 // the counter after the last token
	chances plugin.Chances
	index   int32 // in the current batch
	rows    int   // of this sequence in the current batch

	constraints *constraining // nil: none

	decode  plugin.DecodeState
	held    []byte // text that may be the beginning of a stop text, or that a constraint may take back
	text    bytes.Buffer
	piece   []byte
	result  Result
	started time.Time
	first   time.Time
	done    chan error
}

// nPrompt is the number of prompt tokens.
func (s *sequence) nPrompt() int { return len(s.req.Prompt) }

// show lets out what is held of the text, up to a stop text, without what may begin one or be taken back. At the last
// call nothing more comes.
func (s *sequence) show(last bool) {
	if at := firstStop(s.held, s.req.Stop); at >= 0 {
		s.flush(at)
		s.held = s.held[:0]
		return
	}
	keep := 0
	if !last {
		keep = stopPrefix(s.held, s.req.Stop)
	}
	if s.constraints != nil {
		keep = max(keep, s.constraints.unsure)
	}
	s.flush(max(0, len(s.held)-keep))
}

// showRest lets out all that is held: the sequence has ended.
func (s *sequence) showRest() {
	if s.constraints != nil {
		s.constraints.unsure = 0
	}
	s.show(true)
}

func (s *sequence) flush(n int) {
	if n == 0 {
		return
	}
	s.text.Write(s.held[:n])
	if s.req.OnText != nil {
		s.req.OnText(s.held[:n])
	}
	s.held = append(s.held[:0], s.held[n:]...)
}

// firstStop finds the earliest stop text.
func firstStop(text []byte, stops []string) int {
	best := -1
	for _, stop := range stops {
		if stop == "" {
			continue
		}
		if at := bytes.Index(text, []byte(stop)); at >= 0 && (best < 0 || at < best) {
			best = at
		}
	}
	return best
}

// stopPrefix is the length of the longest end of text that begins a stop text.
func stopPrefix(text []byte, stops []string) int {
	best := 0
	for _, stop := range stops {
		for n := min(len(stop)-1, len(text)); n > best; n-- {
			if string(text[len(text)-n:]) == stop[:n] {
				best = n
				break
			}
		}
	}
	return best
}

// topLogprobs gives the k best ids of a row, best first, equal ones by ascending id, with log softmax values, and the
// logarithm that these are relative to.
func topLogprobs(logits []float32, k int) (best []Logprob, lse float64) {
	k = min(k, len(logits))
	best = make([]Logprob, 0, k+1)
	top := float32(math.Inf(-1))
	for i, l := range logits {
		top = max(top, l)
		if len(best) == k && !(float64(l) > best[k-1].Logprob) {
			continue
		}
		at := len(best)
		for at > 0 && float64(l) > best[at-1].Logprob {
			at--
		}
		best = append(best, Logprob{})
		copy(best[at+1:], best[at:])
		best[at] = Logprob{uint32(i), float64(l)}
		best = best[:min(len(best), k)]
	}
	lse = LogSumExp(logits)
	for i := range best {
		best[i].Logprob -= lse
	}
	return best, lse
}

// LogSumExp is the logarithm of the sum of exponentials, in float64.
func LogSumExp(logits []float32) float64 {
	top := math.Inf(-1)
	for _, l := range logits {
		top = max(top, float64(l))
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - top)
	}
	return top + math.Log(sum)
}
