package receipt

import (
	"context"
	"fmt"

	"forge/host"
)

// cancelled is the finish of a run that its user stopped: where it would have ended is not known.
const cancelled = "cancelled"

// Verdict says how far a second run went the same way.
type Verdict struct {
	Equal      int    // tokens that are equal, from the first on
	Difference string // the first difference in words, empty where there is none
}

// Proved tells whether the run is the receipt's.
func (v *Verdict) Proved() bool { return v.Difference == "" }

// String is the sentence for the user.
func (v *Verdict) String() string {
	if v.Proved() {
		return fmt.Sprintf("proved: %d tokens equal", v.Equal)
	}
	return fmt.Sprintf("disproved after %d equal tokens: %s", v.Equal, v.Difference)
}

// Replay runs the receipt's request again in an engine that was opened with its model and its Set, and compares token by token. It
// stops at the first difference.
func (r *Receipt) Replay(ctx context.Context, e *host.Engine) (*Verdict, error) {
	v := &Verdict{}
	req := &host.Request{
		Prompt: r.Prompt, MaxTokens: r.MaxTokens, Settings: r.Settings, Samplers: r.Chain, Seed: r.Seed, Stop: r.Stop, IgnoreEOS: r.IgnoreEOS,
	}
	if r.Finish == cancelled {
		if len(r.Tokens) == 0 {
			return v, nil
		}
		req.MaxTokens = len(r.Tokens)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	req.OnToken = func(id uint32, from, to uint64) {
		if v.Difference == "" {
			v.Difference = r.differs(v.Equal, Draw{id, from, to})
		}
		if v.Difference != "" {
			stop()
			return
		}
		v.Equal++
	}
	res, err := e.Generate(running, req)
	if err != nil {
		return nil, err
	}
	switch {
	case v.Difference != "":
	case ctx.Err() != nil:
		return nil, fmt.Errorf("stopped after %d equal tokens of %d", v.Equal, len(r.Tokens))
	case v.Equal < len(r.Tokens):
		v.Difference = fmt.Sprintf("token %d (position %d) is %d in the receipt, and the run ends before it (%s)",
			v.Equal+1, len(r.Prompt)+v.Equal, r.Tokens[v.Equal].ID, res.Finish)
	case r.Finish != cancelled && res.Finish != r.Finish:
		v.Difference = fmt.Sprintf("the receipt says that it ended by %q, the run ends by %q", r.Finish, res.Finish)
	}
	return v, nil
}

// differs compares the i-th token.
func (r *Receipt) differs(i int, got Draw) string {
	at := fmt.Sprintf("token %d (position %d)", i+1, len(r.Prompt)+i)
	switch {
	case i >= len(r.Tokens):
		return fmt.Sprintf("the receipt ends before %s, which is %d in the run", at, got.ID)
	case got.ID != r.Tokens[i].ID:
		return fmt.Sprintf("%s is %d in the receipt, and %d in the run", at, r.Tokens[i].ID, got.ID)
	case got != r.Tokens[i]:
		return fmt.Sprintf("%s is %d in both, but the receipt draws %d to %d, and the run %d to %d", at, got.ID, r.Tokens[i].From, r.Tokens[i].To, got.From, got.To)
	}
	return ""
}
